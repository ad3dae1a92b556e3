from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from controlplane.kube.lease import LeaseView, Terms
from controlplane.kube.times import micro_time

TERMS = Terms(duration=15.0, renew_deadline=10.0, retry=2.0)
KEY = ("shop", "sluice")
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def _view(**spec: Any) -> LeaseView:
    view = LeaseView(KEY, "me", TERMS)
    if spec:
        view.see(_lease(**spec), 100.0)
    return view


def _lease(**spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "sluice", "namespace": "shop", "resourceVersion": "7"},
        "spec": spec,
    }


def test_times_have_six_digits_in_any_zone_and_at_any_instant() -> None:
    assert micro_time(NOW) == "2026-01-02T03:04:05.000000Z"
    east = NOW.replace(microsecond=7).astimezone(timezone(timedelta(hours=9)))
    assert micro_time(east) == "2026-01-02T03:04:05.000007Z"


def test_a_lease_is_free_when_it_has_not_changed_for_its_duration() -> None:
    # The other's clock is years ahead: it does not matter.
    other = {"holderIdentity": "other", "leaseDurationSeconds": 15}
    view = _view(**other, renewTime="2099-01-01T00:00:00.000000Z")
    assert not view.free(114.9)
    assert view.free(115.0)
    view.see(_lease(**other, renewTime="2099-01-01T00:00:00.000000Z"), 114.0)
    assert view.free(115.0), "seen again, but unchanged"
    view.see(_lease(**other, renewTime="2098-01-01T00:00:00.000000Z"), 114.0)
    assert not view.free(128.9)
    assert view.free(129.0)


@pytest.mark.parametrize("holder", ["", None, "me"])
def test_a_lease_that_nobody_else_holds_is_free(holder: str | None) -> None:
    assert _view(holderIdentity=holder, leaseDurationSeconds=15).free(100.0)


def test_a_claim_tells_since_when_and_counts_hands() -> None:
    fresh = _view().claim(NOW)
    assert fresh["metadata"] == {"namespace": "shop", "name": "sluice"}
    assert fresh["spec"]["leaseTransitions"] == 0
    taken = _view(holderIdentity="other", leaseTransitions=4, acquireTime="then").claim(NOW)
    assert taken["metadata"]["resourceVersion"] == "7", "a bet on nobody having written since"
    assert taken["spec"] == {
        "holderIdentity": "me",
        "leaseDurationSeconds": 15,
        "acquireTime": micro_time(NOW),
        "renewTime": micro_time(NOW),
        "leaseTransitions": 5,
    }
    kept = _view(holderIdentity="me", leaseTransitions=4, acquireTime="then").claim(NOW)
    assert (kept["spec"]["acquireTime"], kept["spec"]["leaseTransitions"]) == ("then", 4)


def test_terms_that_would_let_two_lead_are_refused() -> None:
    with pytest.raises(ValueError, match="longer than its renew deadline"):
        Terms(duration=10.0, renew_deadline=10.0)
