"""When what is written: soon, once, never too often, and until it is done."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from controlplane.kube.backoff import Backoff
from controlplane.model import ObjectRef
from controlplane.status.agenda import Agenda, Pace

ONE, TWO = (ObjectRef("FlashSale", "shop", name) for name in ("one", "two"))
PACE = Pace(settle=0.1, apart=1.0, shortest=1.0, longest=8.0)


@pytest.fixture
def agenda() -> Agenda:
    return Agenda(PACE, lambda: Backoff(PACE.shortest, PACE.longest, lambda: 1.0))


def test_a_change_waits_for_more_but_is_not_put_off_by_them(agenda: Agenda) -> None:
    agenda.add(ONE, 10.0)
    agenda.add(ONE, 10.09)
    assert agenda.take(10.05, 8) == []
    assert agenda.next_at() == pytest.approx(10.1)
    assert agenda.take(10.1, 8) == [ONE]
    assert agenda.take(10.1, 8) == []
    assert agenda.next_at() is None


def test_a_change_during_a_write_is_written_after_it(agenda: Agenda) -> None:
    agenda.add(ONE, 0.0)
    assert agenda.take(0.1, 8) == [ONE]
    agenda.add(ONE, 0.2)
    assert agenda.take(5.0, 8) == []
    agenda.written(ONE, 0.1)
    agenda.settled(ONE)
    agenda.done(ONE)
    assert agenda.next_at() == pytest.approx(1.1)
    assert agenda.take(1.1, 8) == [ONE]


def test_those_that_wait_longest_come_first_and_not_more_than_asked_for(agenda: Agenda) -> None:
    agenda.add(TWO, 0.0)
    agenda.add(ONE, 0.1)
    assert agenda.take(1.0, 1) == [TWO]
    assert agenda.take(1.0, 1) == [ONE]


def test_failures_are_tried_again_later_each_time(agenda: Agenda) -> None:
    agenda.add(ONE, 0.0)
    now, delays = 0.1, []
    for _ in range(5):
        assert agenda.take(now, 8) == [ONE]
        delays.append(agenda.failed(ONE, now))
        agenda.done(ONE)
        assert agenda.take(now, 8) == []
        now += delays[-1]
    assert delays == [1.0, 2.0, 4.0, 8.0, 8.0]
    assert agenda.take(now, 8) == [ONE]
    agenda.settled(ONE)
    assert agenda.failed(ONE, now) == 1.0


def test_a_lost_server_is_a_pause_for_all(agenda: Agenda) -> None:
    for ref in (ONE, TWO):
        agenda.add(ref, 0.0)
    assert set(agenda.take(1.0, 8)) == {ONE, TWO}
    assert agenda.lost_server(ONE, 1.0, 5.0) == 5.0
    assert agenda.lost_server(TWO, 1.5) == 4.5  # one pause, not one for each
    agenda.done(ONE)
    agenda.done(TWO)
    assert agenda.take(5.9, 8) == []
    assert agenda.next_at() == 6.0
    assert set(agenda.take(6.0, 8)) == {ONE, TWO}


def test_what_is_gone_is_forgotten(agenda: Agenda) -> None:
    agenda.add(ONE, 0.0)
    agenda.forget(ONE)
    assert agenda.next_at() is None


@given(
    st.lists(st.sampled_from(["change", "write", "fail", "lose", "gone"]), max_size=60),
    st.lists(st.floats(0.0, 0.4), min_size=60, max_size=60),
)
def test_no_change_is_lost_and_no_object_written_too_often(
    steps: list[str], gaps: list[float]
) -> None:
    agenda = Agenda(PACE)
    now, changed, writes = 0.0, False, [-10.0]
    for step, gap in zip(steps, gaps, strict=False):
        now += gap
        if step == "change":
            agenda.add(ONE, now)
            changed = True
            continue
        for ref in agenda.take(now, 8):
            if step == "write":
                assert now - writes[-1] >= PACE.apart
                writes.append(now)
                agenda.written(ref, now)
                agenda.settled(ref)
                changed = False
            elif step == "fail":
                agenda.failed(ref, now)
            elif step == "lose":
                agenda.lost_server(ref, now)
            else:
                agenda.forget(ref)
                changed = False
            agenda.done(ref)
    assert (agenda.next_at() is not None) == changed
