"""Redis killed, wiped, paused in mid-sale: never a permit too many, always an answer."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING

import pytest

from tests.testkit.load import Answer, Load, fire, tally
from tests.testkit.waiting import holds

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.envoy.conftest import StartStack
    from tests.envoy.stack import Stack
    from tests.testkit.load import Ask

pytestmark = [pytest.mark.envoy, pytest.mark.redis]

LIMIT = 500
BOTH = ("edge-a", "edge-b")


def crowd(stack: Stack, prefix: str) -> Iterator[Ask]:
    """New users without end."""
    return stack.asks(f"{prefix}-{n}" for n in itertools.count())


def winners(answers: Iterable[Answer]) -> set[str]:
    """The users that were let in."""
    return {dict(a.ask.headers)["authorization"] for a in answers if a.status == 200}


def unanswered(answers: Iterable[Answer]) -> list[Answer]:
    """Requests that got no answer, or one that is none of ours."""
    return [a for a in answers if a.status not in {200, 410, 503}]


async def sell_some(load: Load, at_least: int) -> None:
    """Waits until the load has won some permits."""

    async def sold() -> None:
        assert len(winners(load.answers)) >= at_least

    await holds(sold, every=0.01)


async def until_sold_out(stack: Stack) -> None:
    """Waits until the sale has gone on by itself to its end, on every gateway."""
    await stack.shows(state="SoldOut")
    for name in stack.gateways:
        await stack.answers("Sold out", gateway=name, user="nobody")


async def check_the_books(stack: Stack, answers: list[Answer]) -> None:
    won = winners(answers)
    assert len(won) <= LIMIT
    assert not unanswered(answers), tally(answers)
    assert len(await stack.permits()) == LIMIT
    # Whoever was told so is in, through every proxy.
    again = await fire(
        (stack.ask(user, gateway=name) for user in won for name in stack.gateways), concurrency=50
    )
    assert tally(again) == {"200": len(won) * len(stack.gateways)}


@pytest.mark.parametrize("wiped", [False, True], ids=["kept", "wiped"])
async def test_killed_and_restarted(start_stack: StartStack, *, wiped: bool) -> None:
    stack = await start_stack(redis={"appendonly": True}, gateways=BOTH)
    stack.write_sale(stock=LIMIT)
    await stack.open()

    load = Load(crowd(stack, "u"), concurrency=50, rate=1000)
    async with load:
        await sell_some(load, 100)
        stack.redis.kill()
        await asyncio.sleep(0.5)
        if wiped:
            stack.redis.wipe()
        await stack.redis.start()
        await until_sold_out(stack)
    await check_the_books(stack, load.answers)


async def test_paused_until_all_are_refused(start_stack: StartStack) -> None:
    stack = await start_stack(
        redis={"appendonly": True}, gateways=BOTH, redis_spec={"timeout": "500ms"}
    )
    stack.write_sale(stock=LIMIT)
    await stack.open()

    load = Load(crowd(stack, "u"), concurrency=50, rate=1000)
    async with load:
        await sell_some(load, 100)
        stack.redis.pause()
        # Nobody waits for it to come back.
        answered = len(load.answers)

        async def refused() -> None:
            assert tally(load.answers[answered:])["503"] >= 1000

        await holds(refused)
        stack.redis.resume()
        await until_sold_out(stack)
    await check_the_books(stack, load.answers)


async def test_known_users_do_not_notice(start_stack: StartStack) -> None:
    stack = await start_stack(redis={"appendonly": True})
    stack.write_sale(stock=LIMIT)
    await stack.open()
    users = [f"u-{n}" for n in range(100)]
    await fire(stack.asks(users), concurrency=20)

    async def known() -> None:
        assert tally(await fire(stack.asks(users * 4), concurrency=40)) == {"200": 400}

    await holds(known)
    await stack.polled()  # every worker has read the log
    stack.redis.kill()
    answers = await fire(stack.asks(users * 10), concurrency=50)
    assert tally(answers) == {"200": 1000}
    # The others are told at once, and when to come again.
    strangers = await fire(stack.asks(f"s-{n}" for n in range(100)), concurrency=20)
    assert tally(strangers) == {"503": 100}
    assert {a.header("retry-after") for a in strangers} == {"1"}


async def test_allow_lets_everybody_in_while_redis_is_away(start_stack: StartStack) -> None:
    stack = await start_stack(redis={"appendonly": True})
    stack.write_sale(stock=1, onRedisFailure="Allow")
    await stack.open()
    # By its permit: who passes because an answer came too late has none, and leaves the unit.
    await stack.answers('"x-sluice-permit": "1"', user="first")
    await stack.answers("Sold out", user="second")
    stack.redis.kill()
    await stack.answers("200", user="third")
    await stack.redis.start()
    await stack.answers("Sold out", user="fourth")


async def test_3000_waiting_connections_when_redis_dies(start_stack: StartStack) -> None:
    stack = await start_stack(redis={"appendonly": True}, redis_spec={"timeout": "10s"})
    stack.write_sale(stock=100_000)
    await stack.open()
    await fire(stack.asks(f"warm-{n}" for n in range(100)), concurrency=50)

    stack.redis.pause()
    load = Load(stack.asks(f"u-{n}" for n in range(3000)), concurrency=3000, deadline=120.0)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(load.run())
        envoy = stack.envoys["edge-a"]

        async def all_wait() -> None:
            active = await envoy.stats(r"http\..*downstream_rq_active")
            assert max(active.values()) >= 3000 - len(load.answers)
            assert sum((await envoy.stats(r"http\..*downstream_rq_total")).values()) >= 3100

        await holds(all_wait)
        stack.redis.kill()
    answers = running.result()
    assert len(answers) == 3000
    assert not unanswered(answers), tally(answers)
    assert envoy.running
    await stack.redis.start()
    await stack.answers("200", user="afterwards")
