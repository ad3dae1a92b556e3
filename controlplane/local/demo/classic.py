"""The classic recipe, walked through step by step, each step checked.

Before the start everyone gets "not started"; afterwards a refused user may get in on a later try;
who was let in once is always let in; after three users the fourth is refused for ever; lists can be
read, added to and emptied by command.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from controlplane.local.demo.steps import StepError, expect, let_in, says

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import httpx

    from controlplane.local.demo.steps import Steps

SALE: Final = "shop/laptop"
PATH: Final = "/flashsale"
STOCK: Final = 3
_EARLY: Final = ("first", "second", "third")
_MANY: Final = 40


def by(steps: Steps, user: str, path: str = PATH) -> Callable[[], Awaitable[httpx.Response]]:
    """Make a request of a user, to be sent as often as wanted."""
    return lambda: steps.ask(path, authorization=user)


async def classic(steps: Steps) -> None:
    """Walk the whole recipe."""
    await not_started(steps)
    await _three_get_in(steps)
    await _always_let_in(steps)
    await _fourth_is_refused(steps)
    await _listed(steps)
    await _two_more(steps)
    await _emptied(steps)


async def not_started(steps: Steps) -> None:
    """Everyone is told to wait."""
    await steps.until("everyone is told to wait", by(steps, "early"), says("not started"))
    steps.done("before the start", "everyone is told so")


async def opened(steps: Steps, ask: Callable[[], Awaitable[httpx.Response]]) -> None:
    """Let the sale open, by somebody who insists; it must not do so before its time."""
    start = steps.open_soon()
    await steps.until("the sale opens", ask, let_in)
    if datetime.now(UTC) < start:
        raise StepError("the sale opened before its time")


async def _three_get_in(steps: Steps) -> None:
    first, *others = _EARLY
    await opened(steps, by(steps, first))
    tries = sum([await steps.insist(by(steps, user)) for user in others])
    steps.done("after the start", f"three get in; the last two needed {tries} tries")


async def _always_let_in(steps: Steps) -> None:
    for number in range(_MANY):
        user = _EARLY[number % STOCK]
        answer = await steps.ask(PATH, authorization=user)
        expect(answer, let_in(answer), f"{user} was let in once and now is not")
    steps.done("let in once", f"let in always: {_MANY} tries of the three, none refused")


async def _fourth_is_refused(steps: Steps) -> None:
    for _ in range(_MANY):
        answer = await steps.ask(PATH, authorization="fourth")
        expect(answer, not let_in(answer), f"a fourth user got in, with {STOCK} permits")
    await steps.until("the fourth is told why", by(steps, "fourth"), says("Sold out"))
    steps.done("the fourth", f"refused {_MANY} times out of {_MANY}")


async def _listed(steps: Steps) -> None:
    users = await steps.users(SALE)
    if len(users) != STOCK:
        raise StepError(f"sluice data list shows {len(users)} users, not {STOCK}")
    steps.done("sluice data list", "shows the three")


async def _two_more(steps: Steps) -> None:
    by_hand = "users:\n- id: fourth\n- id: fifth\n"
    await steps.sluice("data", "apply", SALE, stdin=by_hand)
    for user in ("fourth", "fifth"):
        await steps.until(f"{user} is let in by hand", by(steps, user), let_in)
    if len(await steps.users(SALE)) != STOCK + 2:
        raise StepError("sluice data list does not show the two that were added")
    steps.done("sluice data apply", "adds two more, in force at once")


async def _emptied(steps: Steps) -> None:
    await steps.sluice("data", "delete", SALE, "--all", "--yes")
    if await steps.users(SALE):
        raise StepError("sluice data list is not empty after a delete")
    await steps.until("there is room again", by(steps, "sixth"), let_in)
    steps.done("sluice data delete", "empties the list; there is room again")
