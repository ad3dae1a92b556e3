"""Redis killed, paused, slow: each limit does as it declares, within the deadline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.envoy.quotas import KEY, ask, limit, one, quota
from tests.testkit.load import fire, tally
from tests.testkit.slow_link import SlowLink
from tests.testkit.waiting import holds

if TYPE_CHECKING:
    from tests.envoy.conftest import StartStack
    from tests.envoy.stack import Stack

pytestmark = [pytest.mark.envoy, pytest.mark.redis]

MODES = {"allow": "Allow", "deny": "Deny", "local": "Local"}
SHARED = 80
WORKERS = 2


def policies() -> list[dict[str, Any]]:
    """One limit for each mode, each for requests that name it."""
    return [
        limit(
            name,
            requests=SHARED,
            onRedisFailure=mode,
            when=[{"headers": [{"name": "x-mode", "value": name}]}],
            key=[KEY],
        )
        for name, mode in MODES.items()
    ]


async def each_in_force(stack: Stack) -> None:
    for name in MODES:
        await holds_policy(stack, name)


async def holds_policy(stack: Stack, name: str) -> None:
    async def told() -> None:
        for _ in range(8):
            answer = await one(stack, "probe", x_mode=name)
            assert answer.header("ratelimit-policy") == f'"{name}";q={SHARED};w=31622400'

    await holds(told)


async def statuses(stack: Stack, name: str, count: int = 400) -> dict[str, int]:
    """What so many requests under one mode are answered."""
    asks = [ask(stack, f"anna-{name}", x_mode=name) for _ in range(count)]
    return dict(tally(await fire(asks, concurrency=20)))


async def counted(stack: Stack, pattern: str) -> int:
    """The filter's own counters that match."""
    stats = await stack.envoys["edge-a"].stats(rf"sluice_quota\.shop\.api\.{pattern}$")
    return sum(stats.values())


async def as_declared(stack: Stack) -> None:
    """Each mode does what it says while Redis is away."""
    assert await statuses(stack, "allow") == {"200": 400}
    assert await statuses(stack, "deny") == {"503": 400}
    local = await statuses(stack, "local")
    # Each worker lets its own share through: both together never more than the limit.
    assert set(local) == {"200", "429"}
    assert 0 < local["200"] <= SHARED
    refused = await one(stack, "anna", x_mode="deny")
    assert refused.header("retry-after") == "1"

    async def told() -> None:
        assert await counted(stack, r"allow\.failed_open_\w+") >= 400
        assert await counted(stack, r"deny\.unavailable") >= 400
        assert await counted(stack, r"local\.local_allowed") == local["200"]

    await holds(told)


async def recovers(stack: Stack) -> None:
    """Redis decides again, for all modes."""
    for name in MODES:

        async def decided(name: str = name) -> None:
            answer = await one(stack, "later", x_mode=name)
            assert answer.status == 200
            assert answer.header("ratelimit") is not None

        await holds(decided)


@pytest.fixture
async def stack(start_stack: StartStack) -> Stack:
    """Two workers and the three limits."""
    made = await start_stack(redis_spec={"timeout": "300ms"}, workers=WORKERS)
    made.write("quota.yaml", quota(*policies()))
    await each_in_force(made)
    return made


async def test_killed(stack: Stack) -> None:
    stack.redis.kill()

    async def away() -> None:  # once the link has noticed
        assert (await one(stack, "probe-2", x_mode="deny")).status == 503

    await holds(away)
    await as_declared(stack)
    await stack.redis.start()
    await recovers(stack)


async def test_paused(stack: Stack) -> None:
    stack.redis.pause()
    answers = await fire([ask(stack, "first", x_mode="deny")] * 50, concurrency=50)
    assert tally(answers) == {"503": 50}
    await as_declared(stack)
    stack.redis.resume()
    await recovers(stack)


@pytest.mark.parametrize(("delay", "deadline"), [(0.05, "2s"), (0.5, "200ms")])
async def test_slow(start_stack: StartStack, delay: float, deadline: str) -> None:
    """Within the deadline a slow Redis decides; beyond it each limit does as it declares."""
    stack = await start_stack(redis_spec={"timeout": deadline}, workers=WORKERS)
    async with SlowLink(stack.redis.address) as link:
        edge = (stack.manifests / "edge.yaml").read_text()
        edge = edge.replace(f"address: {stack.redis.address}", f"address: {link.address}")
        (stack.manifests / "edge.yaml").write_text(edge)
        stack.write("quota.yaml", quota(*policies()))
        await each_in_force(stack)

        async def by_link() -> None:
            assert link.connections >= WORKERS

        await holds(by_link)
        link.delay = delay
        if delay < 0.1:
            answers = await fire([ask(stack, "anna", x_mode="deny")] * 200, concurrency=50)
            assert tally(answers) == {"200": SHARED, "429": 120}
        else:
            answers = await fire([ask(stack, "anna", x_mode="deny")] * 50, concurrency=50)
            assert tally(answers) == {"503": 50}
            await as_declared(stack)
        link.delay = 0.0
        await recovers(stack)
