"""The script of quotas in a real Redis, against the model in tests/testkit/quota_reference.py.

Random sequences of takes and settlements, by a clock that the test moves: after each step what
Redis holds must agree with the model, a refused take must have changed no byte, and what the script
says about waiting must come true to the millisecond.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from redis import Redis

from controlplane.ledger.quota_counters import Counter, Meter, Settle, Settlement, Spec, Take, Taken
from controlplane.ledger.quota_keys import Kind
from tests.testkit.quota_reference import QuotaReference, capacity
from tests.testkit.quota_script import START_US, MovedScript

if TYPE_CHECKING:
    from controlplane.ledger.quota_counters import Item
    from controlplane.local import RedisServer

pytestmark = pytest.mark.redis

START_MS = START_US // 1000
HOUR_MS = 3600 * 1000
_port = 0


@st.composite
def specs(draw: st.DrawFn, *, spans: tuple[int, ...], lives: tuple[int, ...]) -> Spec:
    kind = draw(st.sampled_from(Kind))
    span: int | tuple[int, ...] = draw(st.sampled_from(spans))
    if kind is Kind.CALENDAR:
        # Lengths differ, as months and days of a change to summer time do; some begin too late,
        # and all are over soon.
        first = START_MS + draw(st.integers(-3 * HOUR_MS, HOUR_MS))
        lengths = draw(st.lists(st.integers(1000, 2 * HOUR_MS), min_size=1, max_size=5))
        span = tuple(itertools.accumulate(lengths, initial=first))
    bucket = kind is Kind.BUCKET
    return Spec(
        kind,
        draw(st.integers(1 if bucket else 0, 12)),
        span,
        draw(st.integers(1, 12)) if bucket else 0,
        draw(st.sampled_from(lives)),
    )


class QuotaMachine(RuleBasedStateMachine):
    """Up to four counters in Redis beside the model of them."""

    def __init__(self) -> None:
        super().__init__()
        self.redis = Redis(port=_port)
        self.script = MovedScript(self.redis)
        self.model = QuotaReference()
        self.counters: list[tuple[str, Spec]] = []
        #: Reservations that were not settled: counter, slot, units.
        self.open: list[tuple[int, int, int]] = []
        self.refused: Take | None = None

    def teardown(self) -> None:
        self.redis.close()

    @initialize(
        chosen=st.lists(
            specs(spans=(1000, 1001, 60_000, 24 * HOUR_MS), lives=(10_000, 10_001, 600_000)),
            min_size=1,
            max_size=4,
        ),
        later_us=st.integers(0, 24 * HOUR_MS * 1000),
    )
    def begin(self, chosen: list[Spec], later_us: int) -> None:
        self.script.move(later_us)
        self.counters = [(f"counter-{n}", spec) for n, spec in enumerate(chosen)]

    def meters(self, data: st.DataObject) -> tuple[Meter, ...]:
        places = st.integers(0, len(self.counters) - 1)
        chosen = data.draw(st.lists(places, min_size=1, max_size=4, unique=True), "counters")
        units = st.integers(0, 5)
        return tuple(
            Meter(
                replace(self.counters[n][1], watch=data.draw(st.booleans(), "watch")),
                self.counters[n][0],
                data.draw(units, "charge"),
                data.draw(units, "hold"),
            )
            for n in chosen
        )

    def settlement(self, data: st.DataObject) -> Settlement:
        place = data.draw(st.integers(-len(self.open), len(self.open)), "of a reservation")
        if place < 0:
            n, slot, units = self.open.pop(place)
            held = data.draw(st.sampled_from([units, units + 1, max(0, units - 1)]), "held")
        else:
            n, slot, held = data.draw(st.integers(0, len(self.counters) - 1), "counter"), 0, 0
        key, spec = self.counters[n]
        return Settlement((Settle(spec, key, slot, held, data.draw(st.integers(-6, 8), "charge")),))

    @rule(data=st.data(), takes=st.lists(st.booleans(), min_size=1, max_size=5))
    def run(self, data: st.DataObject, takes: list[bool]) -> None:
        self.send(*(Take(self.meters(data)) if take else self.settlement(data) for take in takes))

    def send(self, *items: Item) -> None:
        before = self.script.stored()
        reply = self.script.run(*items)
        assert reply.answers == self.model.run(items, self.script.now_us)
        for item, answer in zip(items, reply.answers, strict=True):
            if isinstance(item, Take) and isinstance(answer, Taken):
                self.remember(item, answer)
        if all(isinstance(answer, Taken) and not answer.allowed for answer in reply.answers):
            assert self.script.stored() == before

    def remember(self, take: Take, taken: Taken) -> None:
        names = [key for key, _ in self.counters]
        for meter, reading in zip(take.meters, taken.readings, strict=True):
            assert (reading.slot > 0) == (meter.hold > 0 and taken.allowed and not reading.wait_ms)
            if reading.slot:
                self.open.append((names.index(meter.key), reading.slot, meter.hold))
        if taken.allowed:
            return
        able = all(
            max(1, meter.charge + meter.hold) <= capacity(meter.spec)
            for meter in take.meters
            if not meter.spec.watch
        )
        self.refused = take if able else None

    @precondition(lambda self: self.refused)
    @rule()
    def wait_as_told(self) -> None:
        take, self.refused = self.refused, None
        assert take is not None
        # What was asked behind it in the same batch may have changed how long it is.
        again = self.script.run(take).answers[0]
        assert self.model.run((take,), self.script.now_us)[0] == again
        assert isinstance(again, Taken)
        if again.allowed:
            self.remember(take, again)
            return
        wait_ms = max(
            reading.wait_ms
            for meter, reading in zip(take.meters, again.readings, strict=True)
            if not meter.spec.watch
        )
        self.script.move((wait_ms - 1) * 1000)
        early = self.script.run(take).answers[0]
        assert isinstance(early, Taken)
        assert not early.allowed
        self.script.move(1000)
        self.send(take)
        assert self.refused is not take

    @rule(us=st.one_of(st.integers(0, 5000), st.integers(0, 4 * HOUR_MS * 1000)))
    def let_time_pass(self, us: int) -> None:
        self.script.move(us)

    @rule(data=st.data(), ms=st.integers(-1, 1))
    def go_to_a_border(self, data: st.DataObject, ms: int) -> None:
        now_ms = self.script.now_us // 1000
        ends = [
            *(s.window(now_ms)[1] for _, s in self.counters if s.kind is not Kind.BUCKET),
            *(slot for _, slot, _ in self.open),
            *self.script.ends.values(),
        ]
        later = sorted({end + ms for end in ends if end + ms > now_ms})
        if later:
            end = data.draw(st.sampled_from(later), "border")
            self.script.move(end * 1000 - self.script.now_us)

    @invariant()
    def what_is_stored_agrees(self) -> None:
        stored = self.script.stored()
        for key, spec in self.counters:
            counter = Counter.parse(stored[key]) if key in stored else Counter(0, 0, 0)
            now_us = self.script.now_us
            assert counter.used(spec, now_us) == self.model.used(spec, key, now_us)
            assert counter.held(now_us // 1000) == self.model.histories[key].held_at(now_us)
            assert len(counter.slots) <= 6


QuotaMachine.TestCase.settings = settings(
    max_examples=80,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


def test_the_script_agrees_with_the_model(shared_redis_server: RedisServer) -> None:
    global _port  # noqa: PLW0603 - hypothesis makes the machines itself, without arguments
    _port = shared_redis_server.port
    QuotaMachine.TestCase("runTest").runTest()
