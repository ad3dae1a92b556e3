"""What the script of quotas promises in single cases, and by Redis's own clock.

Beside it, test_quota_model.py goes through random sequences by a clock that the test moves.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from math import inf, nan
from struct import pack
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from redis import Redis, ResponseError
from redis.asyncio import Redis as AsyncRedis

from controlplane.ledger import scripts
from controlplane.ledger.counters import parse, standing
from controlplane.ledger.quota_counters import (
    Batch,
    Counter,
    Item,
    Meter,
    Reading,
    Settle,
    Settled,
    Settlement,
    Spec,
    Take,
    Taken,
    adjust,
    peek,
)
from controlplane.ledger.quota_keys import Kind
from tests.testkit.quota_reference import QuotaReference
from tests.testkit.quota_script import START_US, MovedScript, with_moved_time

if TYPE_CHECKING:
    from collections.abc import Iterator

    from controlplane.local import RedisServer

pytestmark = pytest.mark.redis

YEAR_MS = 366 * 24 * 3600 * 1000
START_MS = START_US // 1000
MONTH = (START_MS - 10_000, START_MS + YEAR_MS, START_MS + 2 * YEAR_MS)
EVERY_KIND = [
    Spec(Kind.FIXED, 50, YEAR_MS),
    Spec(Kind.SLIDING, 50, YEAR_MS),
    Spec(Kind.BUCKET, 1, YEAR_MS, 50),
    Spec(Kind.CALENDAR, 50, MONTH),
]
EVERY_WINDOW = [spec for spec in EVERY_KIND if spec.kind is not Kind.BUCKET]
BIG = 10**9
every_kind = pytest.mark.parametrize("spec", EVERY_KIND, ids=lambda spec: spec.kind.name)
_names = itertools.count()


@pytest.fixture
def redis(shared_redis_server: RedisServer) -> Iterator[Any]:
    """An empty Redis, with a client whose replies nobody has to await."""
    with Redis(port=shared_redis_server.port) as client:
        client.flushdb()
        yield client


@pytest.fixture
def moved(redis: Any) -> MovedScript:
    return MovedScript(redis)


def run(redis: Any, *items: Item) -> tuple[Batch, Any]:
    batch = Batch.of(*items)
    reply = redis.eval(scripts.load("quota").text, len(batch.keys), *batch.keys, *batch.args)
    return batch, batch.read(reply)


def take(*meters: Meter) -> Take:
    return Take(meters)


def reading(moved: MovedScript, *meters: Meter) -> Reading:
    answer = moved.run(take(*meters)).answers[0]
    assert isinstance(answer, Taken)
    return answer.readings[0]


@st.composite
def quick_steps(draw: st.DrawFn) -> list[tuple[int, list[tuple[int, int, int]]]]:
    """Pauses in ms, each before takes from one of four counters: counter, charge, hold."""
    one = st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 2))
    return draw(st.lists(st.tuples(st.integers(0, 9), st.lists(one, min_size=1, max_size=4))))


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=quick_steps())
def test_by_the_clock_of_redis_it_agrees_with_the_model(
    redis: Any, steps: list[tuple[int, list[tuple[int, int, int]]]]
) -> None:
    now = redis.time()
    now_ms = now[0] * 1000 + now[1] // 1000
    counters = [
        (Spec(Kind.FIXED, 5, 13, ttl_ms=20), f"fixed-{next(_names)}"),
        (Spec(Kind.SLIDING, 5, 13, ttl_ms=20), f"sliding-{next(_names)}"),
        (Spec(Kind.BUCKET, 3, 13, 5, ttl_ms=20), f"bucket-{next(_names)}"),
        (Spec(Kind.CALENDAR, 5, (now_ms, now_ms + 7, now_ms + 20), 0, 20), f"days-{next(_names)}"),
    ]
    model = QuotaReference()
    for pause_ms, chosen in steps:
        time.sleep(pause_ms / 1000)
        items = [take(Meter(*counters[n], charge, hold)) for n, charge, hold in chosen]
        _, reply = run(redis, *items)
        assert reply.answers == model.run(items, reply.now_us)
    for _, key in counters:
        if redis.exists(key):
            assert 0 < redis.pttl(key) <= 1000 + 2 * 25


@every_kind
async def test_two_hundred_clients_get_no_unit_too_many(
    shared_redis_server: RedisServer, spec: Spec
) -> None:
    batch = Batch.of(take(Meter(spec, f"crowd-{spec.kind}-{next(_names)}")))
    script = scripts.load("quota")
    clients = [AsyncRedis(port=shared_redis_server.port) for _ in range(200)]

    async def ask(client: AsyncRedis) -> int:
        allowed = 0
        for _ in range(3):
            reply = await client.execute_command(
                "EVAL", script.text, len(batch.keys), *batch.keys, *batch.args
            )
            allowed += reply[1]
        return allowed

    counts = await asyncio.gather(*map(ask, clients))
    for client in clients:
        await client.aclose()
    assert sum(counts) == 50


@every_kind
def test_every_key_ends(redis: Any, spec: Spec) -> None:
    held = Spec(spec.kind, spec.amount, spec.span, spec.burst, ttl_ms=2 * YEAR_MS)
    run(redis, take(Meter(spec, "charged")), take(Meter(held, "held", 0, 1)))
    run(redis, Settlement((Settle(spec, "settled", charge=3),)))
    lives = {key: redis.pttl(key) for key in ("charged", "held", "settled")}
    assert all(0 < life <= 3.1 * YEAR_MS for life in lives.values())
    assert lives["held"] > 2 * YEAR_MS


@every_kind
def test_a_refusal_takes_nothing_of_the_other_limits(moved: MovedScript, spec: Spec) -> None:
    none = Spec(Kind.FIXED, 2, YEAR_MS)
    first = moved.run(take(Meter(spec, "open", 5), Meter(none, "tight", 2))).answers[0]
    assert isinstance(first, Taken)
    assert first.allowed
    before = moved.stored()
    second = moved.run(take(Meter(spec, "open", 5), Meter(none, "tight", 1))).answers[0]
    assert isinstance(second, Taken)
    assert not second.allowed
    assert [one.remaining for one in second.readings] == [45, 0]
    assert [one.wait_ms > 0 for one in second.readings] == [False, True]
    assert moved.stored() == before


@every_kind
def test_a_limit_that_watches_says_what_it_would_do(moved: MovedScript, spec: Spec) -> None:
    watch = Spec(spec.kind, 2, spec.span, 2 if spec.burst else 0, watch=True)
    meters = (Meter(spec, "enforced"), Meter(watch, "watched", 2))
    first, second = (moved.run(take(*meters)).answers[0] for _ in range(2))
    assert isinstance(first, Taken)
    assert isinstance(second, Taken)
    assert (first.allowed, second.allowed) == (True, True)
    assert first.readings[1].wait_ms == 0 < second.readings[1].wait_ms
    stored = {key: Counter.parse(value) for key, value in moved.stored().items()}
    assert stored["enforced"].used(spec, moved.now_us) == 2
    assert stored["watched"].used(watch, moved.now_us) == 2


@every_kind
def test_items_of_a_batch_see_each_other(moved: MovedScript, spec: Spec) -> None:
    answers = moved.run(*(take(Meter(spec, "shared", 20)) for _ in range(4))).answers
    taken = [one for one in answers if isinstance(one, Taken)]
    assert [one.allowed for one in taken] == [True, True, False, False]
    assert [one.readings[0].remaining for one in taken] == [30, 10, 10, 10]


@every_kind
def test_a_reservation_is_settled_once(moved: MovedScript, spec: Spec) -> None:
    held = Spec(spec.kind, spec.amount, spec.span, spec.burst, ttl_ms=10_000)
    slot = reading(moved, Meter(held, "model", 0, 30)).slot
    settle = Settlement((Settle(held, "model", slot, 30, 7),))
    assert moved.run(settle).answers == (Settled((43,)),)
    # Its units came back once: what a second one brings is charged, and nothing is given back.
    assert moved.run(settle).answers == (Settled((36,)),)


@every_kind
def test_a_lost_reservation_comes_back(moved: MovedScript, spec: Spec) -> None:
    held = Spec(spec.kind, spec.amount, spec.span, spec.burst, ttl_ms=10_000)
    first = reading(moved, Meter(held, "model", 0, 50))
    assert 10_000 <= first.slot - START_MS <= 12_500
    refused = reading(moved, Meter(held, "model", 0, 1))
    assert refused.wait_ms == first.slot - START_MS
    moved.move(refused.wait_ms * 1000)
    assert reading(moved, Meter(held, "model", 0, 50)).wait_ms == 0
    # The lost one is gone: who settles it now gives back nothing of the other's.
    late = Settlement((Settle(held, "model", first.slot, 50, 0),))
    assert moved.run(late).answers == (Settled((0,)),)


def test_a_reservation_outlives_its_window(moved: MovedScript) -> None:
    spec = Spec(Kind.FIXED, 10, 1000, ttl_ms=10_000)
    slot = reading(moved, Meter(spec, "model", 0, 6)).slot
    moved.move(1_000_000)
    assert reading(moved, Meter(spec, "model", 5)).wait_ms == slot - moved.now_us // 1000
    assert moved.run(Settlement((Settle(spec, "model", slot, 6, 4),))).answers == (Settled((6,)),)


def test_calendar_windows_go_on_when_the_borders_ran_out(moved: MovedScript) -> None:
    day = 24 * 3600 * 1000
    spec = Spec(Kind.CALENDAR, 1, (START_MS - day, START_MS, START_MS + day))
    resets = []
    for _ in range(5):
        one = reading(moved, Meter(spec, "days"))
        assert one.wait_ms == 0
        resets.append(one.reset_ms)
        again = reading(moved, Meter(spec, "days"))
        assert again.wait_ms == again.reset_ms
        moved.move(again.wait_ms * 1000)
    assert resets == [day] * 5


@every_kind
def test_an_amount_of_nothing_lets_nobody_in(moved: MovedScript, spec: Spec) -> None:
    shut = Spec(spec.kind, 0, spec.span, spec.burst)
    moved.run(adjust(shut, "shut", 3))
    for key in ("shut", "fresh"):
        answer = reading(moved, Meter(shut, key))
        assert answer.remaining == 0
        assert answer.wait_ms >= 1000


@every_kind
def test_what_can_never_pass_waits_for_the_reset(moved: MovedScript, spec: Spec) -> None:
    answer = reading(moved, Meter(spec, "large", 51))
    assert answer.wait_ms == max(answer.reset_ms, 1000)


@every_kind
def test_a_changed_number_keeps_what_was_used(moved: MovedScript, spec: Spec) -> None:
    moved.run(take(Meter(spec, "model", 40)))
    burst = 45 if spec.burst else 0
    fewer = Spec(spec.kind, spec.amount if burst else 45, spec.span, burst)
    assert reading(moved, Meter(fewer, "model", 5)).remaining == 0
    assert reading(moved, Meter(spec, "model", 5)).remaining == 0


@every_kind
def test_looking_changes_nothing(moved: MovedScript, spec: Spec) -> None:
    moved.run(take(Meter(spec, "model", 40)))
    before = moved.stored()
    (answer,) = moved.run(peek((spec, "model"), (spec, "nobody"))).answers
    assert isinstance(answer, Taken)
    assert [one.remaining for one in answer.readings] == [10, 50]
    assert moved.stored() == before


@every_kind
def test_no_charge_goes_below_zero(moved: MovedScript, spec: Spec) -> None:
    assert moved.run(adjust(spec, "model", -3)).answers == (Settled((50,)),)
    assert moved.stored() == {}
    moved.run(adjust(spec, "model", 60))
    assert moved.run(adjust(spec, "model", -BIG)).answers == (Settled((50,)),)


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("amount", [1, BIG])
def test_the_largest_numbers_stay_in_range(redis: Any, kind: Kind, amount: int) -> None:
    now = redis.time()[0] * 1000
    span = (now - 1000, now + YEAR_MS) if kind is Kind.CALENDAR else YEAR_MS
    burst = BIG if kind is Kind.BUCKET else 0
    spec = Spec(kind, amount, span, burst, ttl_ms=24 * 3600 * 1000)
    limit = burst or amount
    _, reply = run(
        redis,
        take(Meter(spec, "big", limit)),
        take(Meter(spec, "big")),
        adjust(spec, "big", BIG),
        take(Meter(spec, "big", 0, limit)),
    )
    first, second, settled, third = reply.answers
    assert (first.allowed, second.allowed, third.allowed) == (True, False, False)
    assert settled == Settled((0,))
    for answer in (first, second, third):
        assert 0 <= answer.readings[0].wait_ms <= 100 * YEAR_MS
        assert 0 < answer.readings[0].reset_ms <= 100 * YEAR_MS
    assert redis.pttl("big") > 0


def test_a_bucket_does_not_drain_twice_when_the_clock_went_back(moved: MovedScript) -> None:
    spec = Spec(Kind.BUCKET, 10, 1000, 10)
    moved.run(take(Meter(spec, "bucket", 10)))
    left = []
    for us in (500_000, -400_000, 400_000):
        moved.move(us)
        left.append(moved.run(adjust(spec, "bucket", 1)).answers[0])
    # Half of it drained in the first half second; that time has been, and counts no more.
    assert left == [Settled((4,)), Settled((3,)), Settled((2,))]


NOT_OURS = {
    "words": b"not ours",
    "digits": b"1795000000123 40 0 1795000000",
    "a part": pack("<dd", 1, 2),
    "no number": pack("<ddd", 1, nan, 0),
    "without end": pack("<ddd", inf, 40, 0),
}


@every_kind
@pytest.mark.parametrize("value", NOT_OURS.values(), ids=NOT_OURS)
def test_what_is_not_a_counter_counts_as_new(redis: Any, spec: Spec, value: bytes) -> None:
    redis.set("odd", value)
    redis.rpush("list", "nor this")
    now_us = redis.time()[0] * 1_000_000
    assert standing(spec, parse(value), now_us).used == 0
    _, reply = run(redis, take(Meter(spec, "odd")), take(Meter(spec, "list")))
    assert [one.readings[0].remaining for one in reply.answers] == [49, 49]
    assert Counter.parse(redis.get("odd")).used(spec, now_us) == 1
    assert redis.pttl("odd") > 0


@every_kind
@pytest.mark.parametrize("numbers", [(-40, 0), (0, -40)])
def test_a_counter_below_zero_counts_as_new(
    moved: MovedScript, redis: Any, spec: Spec, numbers: tuple[int, int]
) -> None:
    """Nobody gets more than the limit by it."""
    begin = moved.now_us + 10 if spec.burst else spec.window(moved.now_us // 1000)[0]
    redis.set("odd", pack("<ddd", begin, *numbers))
    assert standing(spec, parse(redis.get("odd")), moved.now_us).remaining == 50
    assert reading(moved, Meter(spec, "odd")).remaining == 49


def test_how_a_counter_is_stored(moved: MovedScript) -> None:
    """As docs/how-it-works.md says: other versions have counters in the same Redis."""
    begin, before = 1_795_000_000_000, 1_794_999_999_000
    spec = Spec(Kind.SLIDING, 50, 1000, ttl_ms=8000)
    moved.move(-1_000_000)
    moved.run(take(Meter(spec, "model", 4)))
    assert moved.stored() == {"model": pack("<ddd", before, 4, 0)}
    moved.move(1_000_000)
    moved.run(take(Meter(spec, "model", 3)))
    assert moved.stored() == {"model": pack("<ddd", begin, 3, 4)}
    moved.run(take(Meter(spec, "model", 2, 5)), take(Meter(spec, "model", 0, 1)))
    value = pack("<ddd", begin, 5, 4) + b" 1795000010000=6"
    assert moved.stored() == {"model": value}
    assert Counter.parse(value) == Counter(begin, 5, 4, ((1_795_000_010_000, 6),))


@pytest.mark.parametrize("spec", EVERY_WINDOW, ids=lambda spec: spec.kind.name)
def test_a_counter_lives_no_longer_for_being_charged(redis: Any, spec: Spec) -> None:
    run(redis, take(Meter(spec, "model", 1)))
    life = redis.pttl("model")
    for _ in range(3):
        run(redis, take(Meter(spec, "model", 1)))
    assert life - 5000 < redis.pttl("model") <= life + 5000
    assert Counter.parse(redis.get("model")).used(spec, redis.time()[0] * 1_000_000) == 4


@pytest.mark.parametrize(
    ("cost", "tail"),
    [
        ((1, 1, 1, 0), (3, 2)),  # no such cost
        ((1, 1, 1, 0), ("x", 2)),  # no number
        ((1, 2, 1, 0), (2, 2)),  # no such spec
        ((1, 1, 1, 0), (0, 1, 2, 2, 0, 0, 1)),  # nor in a settlement
        ((1, 1, 1, 0), (2, 3)),  # no such key
        ((1, 1, 0, 5), (2, 2)),  # held without an end
        ((2, 1, 1, 0, 1, 1, 0), (2, 2)),  # cut off
        ((1, 1, 1, 0), (0, 1, 1, 3, 0, 0, 1)),  # a settlement without its key
    ],
)
def test_a_run_that_fails_leaves_no_trace(
    redis: Any, cost: tuple[int, ...], tail: tuple[Any, ...]
) -> None:
    costs = (2, 1, 1, 1, 0, *cost)
    args = (1, *EVERY_KIND[0].args(), *costs, 1, 1, *tail)
    with pytest.raises(ResponseError):
        redis.eval(scripts.load("quota").text, 2, "one", "two", *args)
    assert redis.keys() == []


@every_kind
def test_requests_of_one_cost_are_judged_each_by_its_own_counter(
    moved: MovedScript, spec: Spec
) -> None:
    whole, part = Meter(spec, "anna", 50), Meter(spec, "bob", 1)
    moved.run(take(whole))
    again, bob, both = moved.run(
        take(Meter(spec, "anna")), take(part), take(part, Meter(spec, "anna"))
    ).answers
    assert isinstance(again, Taken)
    assert isinstance(bob, Taken)
    assert isinstance(both, Taken)
    assert (again.allowed, bob.allowed, both.allowed) == (False, True, False)
    assert (bob.readings[0].remaining, bob.readings[0].wait_ms) == (49, 0)
    assert both.readings[0].wait_ms == 0
    assert both.readings[1].wait_ms > 0


def test_a_window_that_turns_out_longer_keeps_its_counter(moved: MovedScript) -> None:
    # Without newer borders the window is taken to be as long as the last one, of ten seconds.
    known = Spec(Kind.CALENDAR, 50, (START_MS - 20_000, START_MS - 10_000, START_MS))
    newer = Spec(Kind.CALENDAR, 50, (START_MS - 10_000, START_MS, START_MS + YEAR_MS))
    moved.run(take(Meter(known, "month", 30)))
    moved.run(take(Meter(newer, "month", 10)))
    moved.move(60_000 * 1000)
    assert reading(moved, Meter(newer, "month", 1)).remaining == 9


def test_debts_of_more_than_64_bits_are_kept(moved: MovedScript) -> None:
    spec = Spec(Kind.BUCKET, BIG, YEAR_MS, BIG)
    assert reading(moved, Meter(spec, "big", BIG // 2)).remaining == BIG // 2
    assert reading(moved, Meter(spec, "big", BIG // 4)).remaining == BIG // 4


def test_the_moved_clock_needs_the_script_that_it_knows() -> None:
    with pytest.raises(ValueError, match="TIME"):
        with_moved_time("return 1")
