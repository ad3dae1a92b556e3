"""Conditions join as the API conventions of Kubernetes want it."""

from __future__ import annotations

from datetime import UTC, datetime

from controlplane.model import Condition, merge

EARLY, LATE = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)


def test_a_new_condition_begins_now() -> None:
    (made,) = merge((), [Condition("Ready", "True", "Fine")], EARLY)

    assert made.last_transition_time == EARLY


def test_the_time_moves_only_with_the_status() -> None:
    old = merge((), [Condition("Ready", "True", "Fine")], EARLY)

    (same,) = merge(old, [Condition("Ready", "True", "Finer", "all is well", 2)], LATE)
    (flipped,) = merge(old, [Condition("Ready", "False", "Broken")], LATE)

    assert (same.last_transition_time, same.reason, same.observed_generation) == (EARLY, "Finer", 2)
    assert flipped.last_transition_time == LATE


def test_conditions_of_others_stay_in_place() -> None:
    old = [Condition("Theirs", "True", "Theirs"), Condition("Ready", "True", "Fine")]

    merged = merge(old, [Condition("New", "True", "New"), Condition("Ready", "False", "No")], LATE)

    assert [condition.type for condition in merged] == ["Theirs", "Ready", "New"]
    assert merged[0] == old[0]


def test_what_is_known_of_a_newer_generation_stays() -> None:
    old = [Condition("Ready", "True", "Fine", observed_generation=5)]

    assert merge(old, [Condition("Ready", "False", "Old", observed_generation=4)], LATE) == (
        old[0],
    )


def test_a_condition_is_written_as_kubernetes_reads_it() -> None:
    made = Condition("Ready", "True", "Fine", "ok", 3, EARLY.replace(microsecond=5))

    assert made.as_json() == {
        "type": "Ready",
        "status": "True",
        "reason": "Fine",
        "message": "ok",
        "observedGeneration": 3,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
