"""Walks through quotas: requests a minute, and tokens a minute.

Windows are those of the clock, so a new minute may begin in the middle of a step. A step that then
does not go as it should is done again, by a consumer who has used nothing yet.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Final

from controlplane.local.demo.steps import StepError, expect, let_in

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import httpx

    from controlplane.local.demo.steps import Steps

QPM: Final = "shop/qpm"
MODEL_API: Final = "shop/model-api"
CHAT: Final = "/v1/chat/completions"
REQUESTS: Final = 10
GOLD: Final = 100
TOKENS: Final = 1000
_PROMPT: Final = 20
_MINUTE: Final = 60
_MANY: Final = 15
_AGAIN: Final = 4
_IN_A_ROW: Final = 8
_LIMITED: Final = 429
_NO_KEY: Final = 400


# --------------------------------------------------------------------------------------- requests


async def requests(steps: Steps) -> None:
    """So many requests a minute pass for each key; the rest do not."""
    await _in_force(steps, lambda: _get(steps, "probe"), f'"per-key";q={REQUESTS};w={_MINUTE}')
    await _in_a_minute(lambda n: _ten_pass(steps, f"alice-{n}"))
    await _in_a_minute(lambda n: _others_are_not_held_up(steps, f"carol-{n}"))
    await _in_a_minute(lambda n: _seen_and_reset(steps, f"dave-{n}"))


async def _ten_pass(steps: Steps, key: str) -> None:
    before = steps.served
    answers = [await _get(steps, key) for _ in range(_MANY)]
    for number, answer in enumerate(answers):
        passes = number < REQUESTS
        expect(answer, let_in(answer) is passes, f"request {number + 1} of {key}")
        left = answer.headers.get("x-ratelimit-remaining")
        expect(answer, left == str(max(0, REQUESTS - number - 1)), f"{left} are said to be left")
    if steps.served - before != REQUESTS:
        raise StepError(f"{steps.served - before} requests reached the shop, not {REQUESTS}")
    window = _refused(answers[-1])
    steps.done(
        f"{_MANY} requests",
        f"{REQUESTS} pass, {_MANY - REQUESTS} get 429: {window}; the shop got {REQUESTS}",
    )


async def _others_are_not_held_up(steps: Steps, key: str) -> None:
    gold = [await _get(steps, f"gold-{key}") for _ in range(_MANY)]
    for answer in gold:
        limit = answer.headers.get("x-ratelimit-limit")
        expect(answer, let_in(answer) and limit == str(GOLD), f"gold-{key} has a limit of {limit}")
    steps.done("gold-*", f"may do {GOLD}, by an override")
    for _ in range(_MANY):
        answer = await steps.ask("/", connection="close")
        expect(answer, let_in(answer) and "ratelimit" not in answer.headers, "no key, no limit")
    steps.done("without a key", f"{_MANY} pass, as the limit does not apply")


async def _seen_and_reset(steps: Steps, key: str) -> None:
    answers = [await _get(steps, key) for _ in range(REQUESTS + 1)]
    expect(answers[-1], answers[-1].status_code == _LIMITED, f"{key} is not limited")
    used = await _used(steps, QPM, key)
    if used != REQUESTS:
        raise StepError(f"sluice quota get shows {used} used by {key}, not {REQUESTS}")
    steps.done("sluice quota get", f"shows the {REQUESTS} that were used")
    await steps.sluice("quota", "reset", QPM, "--key", key)
    await steps.until(f"{key} may come again", lambda: _get(steps, key), let_in)
    steps.done("sluice quota reset", "forgets them; requests pass again")


async def _get(steps: Steps, key: str) -> httpx.Response:
    return await steps.ask("/", x_api_key=key, connection="close")


# ----------------------------------------------------------------------------------------- tokens


async def tokens(steps: Steps) -> None:
    """Once the minute's tokens are spent, the next call is refused, and the model sees nothing."""
    await _in_force(steps, lambda: _call(steps, "probe", 0), f'"tokens";q={TOKENS};w={_MINUTE}')
    before = steps.served
    answer = await steps.ask(CHAT, body=b"{}", connection="close")
    expect(answer, answer.status_code == _NO_KEY, "a call without a key")
    if steps.served != before:
        raise StepError("a call without a key reached the model")
    steps.done("without a key", "refused with 400: this limit asks for one")
    await _in_a_minute(lambda n: _spent(steps, f"alice-{n}"))


async def _spent(steps: Steps, key: str) -> None:
    await _costs(steps, key, 200)
    await _counted(steps, key, 200)
    steps.done("a call", "costs the 200 tokens of its answer's usage")
    await _costs(steps, key, 300, stream=True)
    await _counted(steps, key, 500)
    steps.done("a stream", "costs the 300 of its last event with a usage")
    await _costs(steps, key, TOKENS - 500)
    await _counted(steps, key, TOKENS)
    before = steps.served
    for _ in range(_MANY):
        answer = await _call(steps, key, 0)
        expect(answer, answer.status_code == _LIMITED, f"{key} has spent {TOKENS} tokens")
    if steps.served != before:
        raise StepError(f"{steps.served - before} calls reached the model after that")
    window = _refused(answer)
    steps.done(
        f"{TOKENS} tokens spent",
        f"the next {_MANY} calls get 429: {window}; the model got none of them",
    )
    await _costs(steps, f"{key}-else", 100)
    steps.done("another key", "has its own tokens")


async def _costs(steps: Steps, key: str, total: int, *, stream: bool = False) -> None:
    answer = await _call(steps, key, total - _PROMPT, stream=stream)
    expect(answer, let_in(answer), f"a call of {key} for {total} tokens")
    expect(answer, f'"total_tokens": {total}' in answer.text, f"a usage of {total} tokens")


async def _counted(steps: Steps, key: str, used: int) -> None:
    """See that so much is charged: it is, a moment after the answer has ended."""
    for _ in range(_AGAIN):
        seen = await _used(steps, MODEL_API, key)
        if seen == used:
            return
    raise StepError(f"sluice quota get shows {seen} tokens used by {key}, not {used}")


async def _call(steps: Steps, key: str, max_tokens: int, *, stream: bool = False) -> httpx.Response:
    body = json.dumps({"messages": [], "max_tokens": max_tokens, "stream": stream}).encode()
    kind = "application/json"
    return await steps.ask(CHAT, body=body, x_api_key=key, content_type=kind, connection="close")


# ------------------------------------------------------------------------------------------- both


async def _in_force(
    steps: Steps, ask: Callable[[], Awaitable[httpx.Response]], policy: str
) -> None:
    """Wait until every worker tells of the limit, as it does once it has asked Redis."""

    def told(answer: httpx.Response) -> bool:
        return answer.headers.get("ratelimit-policy") == policy and "ratelimit" in answer.headers

    await steps.until("the limit is in force", ask, told, in_a_row=_IN_A_ROW)
    steps.done("in force", f"every answer tells of it: {policy}")


async def _in_a_minute(step: Callable[[int], Awaitable[None]]) -> None:
    """Do a step; again when it failed and a new minute had begun, with the number of the try."""
    for number in range(_AGAIN):
        minute = time.time() // _MINUTE
        try:
            return await step(number)
        except StepError:
            if time.time() // _MINUTE == minute or number == _AGAIN - 1:
                raise
    return None


def _refused(answer: httpx.Response) -> str:
    """See that a refusal tells of the window: nothing is left, and for how long; what it says."""
    limit: str = answer.headers.get("ratelimit", "")
    left, _, seconds = limit.partition(";r=")[2].partition(";t=")
    expect(answer, answer.status_code == _LIMITED, "a refusal")
    expect(answer, left == "0", f"{limit!r} does not say that nothing is left")
    for wait in (seconds, answer.headers.get("retry-after", "")):
        expect(answer, wait.isdigit() and 0 < int(wait) <= _MINUTE, f"to wait {wait!r} seconds")
    return limit


async def _used(steps: Steps, policy: str, key: str) -> int | None:
    found = await steps.sluice_json("quota", "get", policy, "--key", key)
    (counter,) = found["counters"]
    (window,) = counter["windows"]
    used: int | None = window["used"]
    return used
