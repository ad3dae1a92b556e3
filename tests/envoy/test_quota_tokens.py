"""Tokens: calls are charged when they are over, and what was reserved for them comes back."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import pytest

from tests.envoy.quotas import ask, in_force, limit, one, quota, standing
from tests.testkit.load import fire, tally
from tests.testkit.model_api import ModelApi
from tests.testkit.waiting import eventually, holds

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.envoy.conftest import StartStack
    from tests.envoy.stack import Stack

pytestmark = [pytest.mark.envoy, pytest.mark.redis]

TOKENS = 10_000
RESERVE = 100


@pytest.fixture
async def model() -> AsyncIterator[ModelApi]:
    """The origin of these tests."""
    async with ModelApi() as api:
        yield api


async def start(start_stack: StartStack, model: ModelApi, **fields: Any) -> Stack:
    """A stack with the model API behind it, and so many tokens for each key."""
    stack = await start_stack()
    edge = (stack.manifests / "edge.yaml").read_text()
    (stack.manifests / "edge.yaml").write_text(edge.replace(str(stack.shop.port), str(model.port)))
    cost = {"response": {"reserve": RESERVE}}
    stack.write("quota.yaml", quota(limit("tokens", tokens=TOKENS, cost=cost, **fields)))
    amount = fields.get("tokens", TOKENS)
    await in_force(stack, f'"tokens";q={amount};w=31622400')

    async def reached() -> None:
        assert (await one(stack, "probe", path="/sale?tokens=1")).body.startswith(b'{"text"')

    await holds(reached)
    return stack


async def account(stack: Stack, key: str = "anna") -> tuple[int, int]:
    """Units used, and held in reserve."""
    window = (await standing(stack, key))["tokens"]
    return window["used"], window["held"]


async def settles(stack: Stack, used: int, key: str = "anna") -> None:
    """Waits until all is settled, and so many units are used."""

    async def settled() -> None:
        assert await account(stack, key) == (used, 0)

    await holds(settled)


async def test_once_the_tokens_are_spent_nothing_reaches_the_model(
    start_stack: StartStack, model: ModelApi
) -> None:
    stack = await start(start_stack, model)
    answer = await one(stack, "anna", path="/sale?tokens=9950")
    assert answer.status == 200
    await settles(stack, 9950)
    calls = model.calls
    refused = await one(stack, "anna", path="/sale?tokens=1")  # 50 left, 100 to be reserved
    assert refused.status == 429
    assert refused.header("ratelimit") is not None
    assert model.calls == calls
    await settles(stack, 9950)


async def test_streams_cut_anywhere(start_stack: StartStack, model: ModelApi) -> None:
    stack = await start(start_stack, model)
    asks = [ask(stack, "anna", path=f"/sale?stream=1&tokens=70&seed={n}") for n in range(40)]
    answers = await fire(asks, concurrency=20)
    assert tally(answers) == {"200": 40}
    assert all(a.body.rstrip().endswith(b"data: [DONE]") for a in answers)
    await settles(stack, 40 * 70)
    assert set(model.accepted_encodings[-40:]) == {""}


async def test_no_client_can_overdraw_by_calling_at_once(
    start_stack: StartStack, model: ModelApi
) -> None:
    stack = await start(start_stack, model)
    asks = [ask(stack, "anna", path=f"/sale?tokens={RESERVE}") for _ in range(400)]
    answers = await fire(asks, concurrency=100)
    # Each costs what was reserved for it, so there is room for exactly so many.
    many = TOKENS // RESERVE
    assert tally(answers) == {"200": many, "429": 400 - many}
    await settles(stack, TOKENS)


async def test_whoever_leaves_gives_back_what_was_reserved(
    start_stack: StartStack, model: ModelApi
) -> None:
    stack = await start(start_stack, model)
    chance = random.Random(7)

    async def leave(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", stack.ports["edge-a"])
        hang = "head" if number % 4 == 0 else "1"
        path = f"/sale?stream=1&tokens=70&hang={hang}&seed={number}"
        writer.write(ask(stack, "anna", path=path).encode())
        if hang == "1":
            await reader.read(chance.randrange(1, 3000))
        else:
            await eventually(lambda: model.hanging > 0, what="a call that has not begun")
        writer.close()

    await asyncio.gather(*(leave(number) for number in range(40)))
    await eventually(lambda: model.hanging == 0, what="Envoy to end the calls")
    await settles(stack, 0)


async def test_whoever_leaves_before_the_verdict_holds_nothing(
    start_stack: StartStack, model: ModelApi
) -> None:
    stack = await start(start_stack, model)
    calls = model.calls
    stack.redis.pause()
    waiting = [
        (await asyncio.open_connection("127.0.0.1", stack.ports["edge-a"]))[1] for _ in range(40)
    ]
    for writer in waiting:
        writer.write(ask(stack, "anna", path="/sale?tokens=70").encode())

    async def under_way() -> int:
        stats = await stack.envoys["edge-a"].stats(r"http\.edge-\d+\.downstream_rq_active$")
        return sum(stats.values())

    async def all_wait() -> bool:
        return await under_way() == len(waiting)

    async def none_waits() -> bool:
        return await under_way() == 0

    await eventually(all_wait, what="all requests to wait")
    for writer in waiting:
        writer.close()
    await eventually(none_waits, what="Envoy to notice that all have left")
    stack.redis.resume()
    await settles(stack, 0)
    assert (await one(stack, "anna", path="/sale?tokens=70")).status == 200
    await settles(stack, 70)
    assert model.calls == calls + 1


async def test_answers_that_tell_no_cost(start_stack: StartStack, model: ModelApi) -> None:
    stack = await start(start_stack, model)
    for number, (query, used, event) in enumerate(
        (
            ("status=500+Oops&tokens=70", 0, "released"),
            ("tokens=70&break=1", 0, "released"),
            ("status=404+Not+Found", 0, "released"),
            ("gzip=1&tokens=70", RESERVE, "unreadable"),
            ("text=1", RESERVE, "no_usage"),
        )
    ):
        before = (await counts(stack)).get(event, 0)
        await one(stack, f"anna-{number}", path=f"/sale?{query}")
        await settles(stack, used, f"anna-{number}")

        async def counted(event: str = event, before: int = before) -> None:
            seen = await counts(stack)
            assert seen.get(event, 0) == before + 1, seen
            # Whatever was let through is settled or given back, and nothing twice.
            assert seen.get("allowed") == seen.get("settled", 0) + seen.get("released", 0), seen
            assert not seen.get("settle_lost"), seen

        await holds(counted)


async def counts(stack: Stack) -> dict[str, int]:
    """The filter's own counters of the limit, by outcome."""
    stats = await stack.envoys["edge-a"].stats(r"sluice_quota\.shop\.api\.tokens\.")
    return {name.rpartition(".")[2]: number for name, number in stats.items()}


async def test_a_lost_reservation_comes_back_by_itself(
    start_stack: StartStack, model: ModelApi
) -> None:
    stack = await start(start_stack, model)
    cost = {"response": {"reserve": RESERVE, "reserveTtl": "10s"}}
    stack.write("quota.yaml", quota(limit("short", tokens=TOKENS, cost=cost)))
    await in_force(stack, f'"short";q={TOKENS};w=31622400')

    reader, writer = await asyncio.open_connection("127.0.0.1", stack.ports["edge-a"])
    writer.write(ask(stack, "anna", path="/sale?stream=1&tokens=70&hang=1").encode())
    await reader.read(1)
    assert (await standing(stack, "anna"))["short"]["held"] == RESERVE
    stack.envoys["edge-a"].kill()
    writer.close()

    async def back() -> None:
        window = (await standing(stack, "anna"))["short"]
        assert (window["used"], window["held"]) == (0, 0)

    await holds(back)
