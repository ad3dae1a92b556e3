"""Counters as people see and change them, in a real Redis."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from redis import Redis

from controlplane.ledger import scripts
from controlplane.ledger.counters import SCAN_SECONDS, Counters, parse, standing
from controlplane.ledger.quota_counters import Batch, Counter, Meter, Spec, Take, Taken, peek
from controlplane.ledger.quota_keys import CounterKey, Kind, pattern
from tests.testkit.quota_script import MovedScript

if TYPE_CHECKING:
    from collections.abc import Iterable

    from controlplane.ledger.client import RedisClient
    from controlplane.local import RedisServer

pytestmark = pytest.mark.redis

HOUR = 3_600_000
YEAR = 366 * 24 * HOUR
FIXED = Spec(Kind.FIXED, 100, YEAR, ttl_ms=HOUR)
SPECS = {
    "fixed": FIXED,
    "sliding": Spec(Kind.SLIDING, 100, YEAR, ttl_ms=HOUR),
    "bucket": Spec(Kind.BUCKET, 1, YEAR, burst=100, ttl_ms=HOUR),
    "calendar": Spec(Kind.CALENDAR, 100, (0, 2**42, 2**43), ttl_ms=HOUR),
}


@pytest.fixture
def policy() -> str:
    """A policy that no other test counts for."""
    return f"shop/q{uuid.uuid4().hex}"


@pytest.fixture
def counters(client: RedisClient) -> Counters:
    return Counters(client)


async def take(
    client: RedisClient, spec: Spec, key: CounterKey, charge: int = 1, hold: int = 0
) -> Taken:
    batch = Batch.of(Take((Meter(spec, str(key), charge, hold),)))
    reply = batch.read(await client.run(scripts.load("quota"), batch.keys, batch.args))
    answer = reply.answers[0]
    assert isinstance(answer, Taken)
    return answer


def key(policy: str, consumer: str, spec: Spec = FIXED, limit: str = "per-key") -> CounterKey:
    return CounterKey(policy, limit, f"{spec.kind}{YEAR}", consumer)


@pytest.mark.parametrize("name", SPECS)
async def test_a_look_tells_what_the_script_has_told(
    counters: Counters, policy: str, name: str
) -> None:
    spec, mine = SPECS[name], key(policy, "alice", SPECS[name])
    taken = await take(counters.client, spec, mine, charge=7, hold=20)
    before = await counters.client.command("GET", str(mine))
    (seen,) = await counters.read([(spec, mine)])
    assert (seen.used, seen.held, seen.remaining) == (7, 20, 73)
    assert seen.remaining == taken.readings[0].remaining
    assert seen.resets_ms is not None
    assert await counters.client.command("GET", str(mine)) == before


async def test_what_was_never_counted(counters: Counters, policy: str) -> None:
    specs = list(SPECS.values())
    seen = await counters.read([(spec, key(policy, "nobody", spec)) for spec in specs])
    assert [(one.used, one.held, one.remaining) for one in seen] == [(0, 0, 100)] * 4
    assert [one.resets_ms is None for one in seen] == [False, False, True, False]
    assert await counters.read([]) == []


@pytest.mark.parametrize("name", SPECS)
async def test_units_are_charged_and_given_back(counters: Counters, policy: str, name: str) -> None:
    spec, mine = SPECS[name], key(policy, "alice", SPECS[name])
    left = []
    for units in (90, 30, -50, -500):
        await counters.adjust([(spec, mine)], units)
        left += [one.remaining for one in await counters.read([(spec, mine)])]
    assert left == [10, 0, 30, 100]


async def test_all_windows_are_adjusted_as_one(counters: Counters, policy: str) -> None:
    pair = [(FIXED, key(policy, "a")), (SPECS["sliding"], key(policy, "a", SPECS["sliding"]))]
    await counters.adjust(pair, 5)
    assert [one.used for one in await counters.read(pair)] == [5, 5]


async def test_forgotten_counters_begin_anew(counters: Counters, policy: str) -> None:
    for consumer in ("a", "b"):
        await take(counters.client, FIXED, key(policy, consumer), charge=5, hold=5)
    keys = [key(policy, "a"), key(policy, "never")]
    assert await counters.forget(keys) == 1
    assert await counters.forget([]) == 0
    seen = await counters.read([(FIXED, key(policy, consumer)) for consumer in "ab"])
    assert [(one.used, one.held) for one in seen] == [(0, 0), (5, 5)]


async def fill(counters: Counters, policy: str, numbers: Iterable[int], limit: str) -> None:
    for number in numbers:
        mine = key(policy, f"c{number}", limit=limit)
        await take(counters.client, FIXED, mine, charge=number)


async def test_forgetting_everybody_ends_where_it_should(counters: Counters, policy: str) -> None:
    await fill(counters, policy, range(1, 6), "per-key")
    await fill(counters, policy, range(1, 4), "per-key-2")
    await fill(counters, f"{policy}x", range(1, 3), "per-key")
    assert (await counters.forget_all(pattern(policy, "per-key"))).count == 5
    assert (await counters.forget_all(pattern(policy))).count == 3
    gone = await counters.forget_all(pattern(f"{policy}x"))
    assert (gone.count, gone.cursor) == (2, None)


async def test_the_most_used(counters: Counters, policy: str) -> None:
    await fill(counters, policy, (5, 50, 20, 0), "per-key")
    await take(counters.client, FIXED, key(policy, "held"), charge=0, hold=30)
    await counters.client.command("SET", str(key(policy, "strange")), "what is this")
    found = await counters.top(policy, "per-key", f"f{YEAR}", lambda _: FIXED, 3)
    assert [(consumer, one.used, one.held) for consumer, _, one in found.consumers] == [
        ("c50", 50, 0),
        ("held", 0, 30),
        ("c20", 20, 0),
    ]
    assert found.complete
    few = await counters.top(
        policy, "per-key", f"f{YEAR}", lambda one: None if one == "c50" else FIXED, 1
    )
    assert [consumer for consumer, *_ in few.consumers] == ["held"]


async def test_long_ways_are_gone_in_steps(client: RedisClient, policy: str) -> None:
    """As many keys as several steps of SCAN, and a clock that is over after each."""
    names = [str(key(policy, f"c{number}")) for number in range(3000)]
    words = [word for name in names for word in (name, "0 1 0")]
    await client.command("MSET", *words)
    times = iter(range(0, 10**6, int(SCAN_SECONDS)))
    hurried = Counters(client, monotonic=lambda: next(times))
    top = await hurried.top(policy, "per-key", f"f{YEAR}", lambda _: FIXED, 1)
    assert not top.complete
    assert top.counters < 3000
    removed, cursor, calls = 0, 0, 0
    while True:
        done = await hurried.forget_all(pattern(policy), cursor)
        removed, calls = removed + done.count, calls + 1
        if done.cursor is None:
            break
        cursor = done.cursor
    assert removed == 3000
    assert calls > 1


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=st.lists(st.tuples(st.integers(0, 40_000), st.integers(0, 4), st.integers(0, 3))))
def test_a_look_agrees_with_the_script_at_any_time(
    shared_redis_server: RedisServer, steps: list[tuple[int, int, int]]
) -> None:
    """Pauses in us, then units charged and held; windows of a few ms, so that many go by."""
    with Redis(port=shared_redis_server.port) as redis:
        moved = MovedScript(redis)
        start = moved.now_us // 1000
        days = tuple(start + day for day in (0, 7, 20, 31))
        specs = (
            Spec(Kind.FIXED, 5, 13, ttl_ms=20),
            Spec(Kind.SLIDING, 5, 13, ttl_ms=20),
            Spec(Kind.BUCKET, 3, 13, 5, ttl_ms=20),
            Spec(Kind.CALENDAR, 5, days, ttl_ms=20),
        )
        for pause, charge, hold in steps:
            moved.move(pause)
            for spec in specs:
                moved.run(Take((Meter(spec, spec.kind.name, charge, hold),)))
            moved.move(pause // 3)
            for spec in specs:
                (told,) = moved.run(peek((spec, spec.kind.name))).answers
                assert isinstance(told, Taken)
                value = moved.stored().get(spec.kind.name)
                seen = standing(spec, parse(value), moved.now_us)
                assert seen.remaining == told.readings[0].remaining
                resets = seen.resets_ms
                reset_ms = 0 if resets is None else resets - moved.now_us // 1000
                assert reset_ms == told.readings[0].reset_ms


def test_a_bucket_that_never_fills() -> None:
    spec = Spec(Kind.BUCKET, 0, HOUR)
    seen = standing(spec, Counter(1000, 5, 0), 2_000)
    assert (seen.remaining, seen.resets_ms) == (0, None)
