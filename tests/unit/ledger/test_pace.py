"""The interval of polls: 200 ms until there are too many, then steps."""

from __future__ import annotations

from hypothesis import given, strategies as st

from controlplane.ledger.pace import (
    MAX_POLLS_PER_SECOND,
    STEPS,
    heal_window_ms,
    pairs,
    poll_interval_ms,
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
