"""The interval of polls (200 ms until there are too many, then steps), and workers by steps."""

from __future__ import annotations

from hypothesis import given, strategies as st

from controlplane.ledger.pace import (
    MAX_POLLS_PER_SECOND,
    STEPS,
    Pace,
    heal_window_ms,
    pairs,
    poll_interval_ms,
    share,
)


def test_few_workers_poll_every_200_ms() -> None:
    assert poll_interval_ms(pairs([(2, 1), (2, 3)])) == 200
    assert poll_interval_ms(400) == 200
    assert poll_interval_ms(401) == 300


@given(st.integers(0, 25_600), st.sampled_from(STEPS))
def test_all_together_stay_under_the_limit(count: int, current: int) -> None:
    assert count * 1000 / poll_interval_ms(count, current) <= MAX_POLLS_PER_SECOND


def test_one_proxy_more_or_less_changes_nothing() -> None:
    assert poll_interval_ms(410, 200) == 300
    assert poll_interval_ms(395, 300) == 300
    assert poll_interval_ms(300, 300) == 200


def test_healing_leaves_every_worker_time_to_look() -> None:
    assert heal_window_ms(200) == 1000
    assert heal_window_ms(1200) == 3600


@given(st.integers(0, 100_000), st.integers(0, 17).map(lambda n: 1 << n))
def test_a_limit_is_divided_by_a_power_of_two_that_is_never_too_small(
    connected: int, current: int
) -> None:
    found = share(connected, current)
    assert found.bit_count() == 1
    assert found >= max(1, connected)
    assert share(connected, found) == found
    if connected:
        assert found < connected * 5


def test_workers_fall_only_when_they_are_far_fewer() -> None:
    assert [share(n) for n in (0, 1, 2, 3, 4, 5, 1000)] == [1, 1, 2, 4, 4, 8, 1024]
    # Two proxies of four workers, of which one is started anew.
    assert [share(4, 8), share(8, 8)] == [8, 8]
    assert share(0, 8) == 8
    assert share(3, 8) == 4


def test_the_pace_tells_when_filters_must_hear_of_it() -> None:
    pace = Pace()
    assert not pace.count([], {})
    assert pace.count([("shop/a", 2), ("shop/b", 0)], {})
    assert (pace.workers, pace.poll_ms) == (4, 200)
    assert not pace.count([("shop/a", 2)], {"shop/a": 5})
    assert pace.count([("shop/a", 2)], {"shop/a": 500})
    assert (pace.workers, pace.poll_ms) == (4, 600)
