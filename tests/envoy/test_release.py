"""Many requests that wait for Redis at once, and are let go in one moment.

Envoy resumes and answers requests only after the filter's callback has returned, and then one
inside the other: so many of them that the native stack is full end the whole process. The filter
releases a batch at a time; here far more than a batch wait, with the whole filter chain behind.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.testkit.load import Load, fire, tally
from tests.testkit.waiting import holds

if TYPE_CHECKING:
    from collections import Counter

    from controlplane.local import EnvoyProcess
    from tests.envoy.conftest import StartStack
    from tests.envoy.stack import Stack

pytestmark = [pytest.mark.envoy, pytest.mark.redis]

WARM = 64


async def one_worker(start_stack: StartStack, stock: int) -> Stack:
    """A sale in a single VM, which releases them all, with passes, so that responses are touched.

    The link to Redis has been in use.
    """
    stack = await start_stack(redis={"appendonly": True}, redis_spec={"timeout": "10s"}, workers=1)
    stack.write_sale(stock=stock, **{"pass": {"cookieName": "ticket", "ttl": "1h"}})
    await stack.open()
    warm = await fire(stack.asks(f"warm-{n}" for n in range(WARM)), concurrency=WARM)
    assert tally(warm) == {"200": WARM}
    return stack


async def released(stack: Stack, waiting: int) -> Counter[str]:
    """Piles requests up behind a paused Redis, lets it go on; how they were answered."""
    envoy = stack.envoys["edge-a"]
    asks = stack.asks(f"user-{n}" for n in range(waiting))
    load = Load(asks, concurrency=waiting, deadline=120.0)
    stack.redis.pause()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(load.run())
        try:
            await all_wait(envoy, waiting)
        finally:
            stack.redis.resume()
    assert envoy.running
    said = envoy.log.read_text(errors="replace")
    assert "Wasm VM failed" not in said
    assert len(running.result()) == waiting
    return tally(running.result())


async def all_wait(envoy: EnvoyProcess, waiting: int) -> None:
    """Waits until so many requests are under way, none of them answered."""

    async def under_way() -> None:
        active = await envoy.stats(r"http\..*downstream_rq_active")
        assert max(active.values()) >= waiting, active

    await holds(under_way)


@pytest.mark.parametrize("waiting", [128, 500])
async def test_all_are_let_in_at_once(start_stack: StartStack, waiting: int) -> None:
    stack = await one_worker(start_stack, stock=10_000)
    assert await released(stack, waiting) == {"200": waiting}
    assert len(await stack.permits()) == WARM + waiting
    assert stack.shop.orders.total() == WARM + waiting


@pytest.mark.parametrize("waiting", [128, 500])
async def test_most_are_refused_at_once(start_stack: StartStack, waiting: int) -> None:
    stack = await one_worker(start_stack, stock=WARM + 10)
    assert await released(stack, waiting) == {"200": 10, "410": waiting - 10}
    assert len(await stack.permits()) == WARM + 10


@pytest.mark.parametrize("waiting", [128, 500])
async def test_all_are_told_at_once_that_redis_died(start_stack: StartStack, waiting: int) -> None:
    stack = await one_worker(start_stack, stock=10_000)
    stack.redis.pause()
    load = Load(
        stack.asks(f"user-{n}" for n in range(waiting)), concurrency=waiting, deadline=120.0
    )
    envoy = stack.envoys["edge-a"]
    async with asyncio.TaskGroup() as group:
        running = group.create_task(load.run())
        await all_wait(envoy, waiting)
        stack.redis.kill()
    assert envoy.running
    assert tally(running.result()) == {"503": waiting}
    await stack.redis.start()
    await stack.answers("200", user="afterwards")
