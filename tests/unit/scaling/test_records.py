"""What stands in a status is read as it was written, and what is no record is none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controlplane.model.crd_status import SCALING_PHASES
from controlplane.scaling.records import HOLDING, SETTLED, Record, Recorded
from tests.unit.scaling.world import API, WEB, minutes

WHOLE = Record(WEB, "Scaling", "a rush", "uid", 0, 20, 3, "Reason", "a message")


@pytest.mark.parametrize("phase", SCALING_PHASES)
def test_every_phase_goes_there_and_back(phase: str) -> None:
    record = Record.read({**WHOLE.as_json(), "phase": phase})
    assert record is not None
    assert record.as_json() == {**WHOLE.as_json(), "phase": phase}
    assert record.holding is (phase in HOLDING)
    assert phase in HOLDING | SETTLED | {"Failed"}


def test_a_zero_is_not_left_out() -> None:
    assert WHOLE.as_json()["before"] == 0
    assert Record.read(WHOLE.as_json()) == WHOLE


def test_all_of_it_goes_there_and_back() -> None:
    recorded = Recorded.of([WHOLE, replace(WHOLE, target=API, phase="Failed")], minutes(0))
    written = recorded.as_json()
    assert [one["name"] for one in written["targets"]] == ["api", "web"]
    assert Recorded.read({"scaling": written}) == recorded
    assert Recorded().as_json() == {}


@pytest.mark.parametrize(
    "status",
    [
        {},
        {"scaling": None},
        {"scaling": {"targets": None, "quietSince": "yesterday"}},
        {"scaling": {"targets": [None, {}, {"kind": "Secret", "name": "x", "phase": "Scaled"}]}},
        {"scaling": {"targets": [{"kind": "Deployment", "name": "x", "phase": "Gone"}]}},
    ],
)
def test_what_is_no_record_is_none(status: dict[str, object]) -> None:
    assert Recorded.read(status) == Recorded()
