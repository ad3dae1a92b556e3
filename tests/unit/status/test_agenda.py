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


MANY = [ObjectRef("FlashSale", "shop", f"item-{number}") for number in range(500)]


def written(agenda: Agenda, seconds: int, *, numbers: bool) -> list[ObjectRef]:
    """What is written when all objects change all the time, with eight writes at a time."""
    found: list[ObjectRef] = []
    for step in range(seconds * 20):
        now = step / 20
        for ref in MANY:
            agenda.add(ref, now, numbers=numbers)
        for _ in range(100):
            taken = agenda.take(now, 8)
            for ref in taken:
                if agenda.may_write(ref, now, numbers=numbers):
                    found.append(ref)
                    agenda.written(ref, now)
                    agenda.settled(ref)
                agenda.done(ref)
            if not taken:
                break
    return found


def test_all_numbers_together_have_so_many_writes_and_each_object_its_turn() -> None:
    found = written(Agenda(), 30, numbers=True)
    assert 20 * 28 <= len(found) <= 20 * 31
    assert set(found) == set(MANY)


def test_transitions_have_more_and_are_bounded_too() -> None:
    found = written(Agenda(), 10, numbers=False)
    assert 100 * 9 <= len(found) <= 100 * 11
    assert set(found) == set(MANY)


def test_a_transition_does_not_wait_for_numbers() -> None:
    agenda = Agenda(Pace(settle=0.0, transitions=10.0, numbers=1.0))
    for ref in MANY[:9]:
        assert agenda.may_write(ref, 0.0, numbers=True) == (ref == MANY[0])
    assert agenda.may_write(ONE, 0.0, numbers=False)
    # One that waits in line for numbers alone, and then has more to say.
    agenda.add(MANY[8], 0.1)
    assert agenda.take(0.1, 8) == [MANY[8]]
    assert agenda.may_write(MANY[8], 0.1, numbers=False)
    agenda.written(MANY[8], 0.1)
    agenda.settled(MANY[8])
    agenda.done(MANY[8])
    assert agenda.next_at() == pytest.approx(1.0)
    assert agenda.take(1.0, 8) == [MANY[1]]


def test_a_turn_is_for_one_write(agenda: Agenda) -> None:
    for ref in MANY[:200]:
        agenda.may_write(ref, 0.0, numbers=False)
    assert agenda.next_at() == pytest.approx(0.01)
    [first] = agenda.take(0.01, 8)
    assert first == MANY[100]
    agenda.done(first)  # it had nothing to write any more, or could not
    assert not agenda.may_write(first, 0.01, numbers=False)


def test_who_waits_for_numbers_is_not_looked_at_for_more_numbers(agenda: Agenda) -> None:
    for ref in MANY[:100]:
        agenda.may_write(ref, 0.0, numbers=True)
    agenda.add(MANY[99], 0.1, numbers=True)
    assert agenda.take(0.2, 1) == [MANY[20]]
    agenda.add(MANY[99], 0.2)
    assert MANY[99] in agenda.take(0.5, 100)
