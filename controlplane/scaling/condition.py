"""The condition `Scaled` of a sale: whether its targets have what the rush needs.

It says nothing of the sale itself, which goes on whatever becomes of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from controlplane.model import Condition
from controlplane.model.durations import format_instant

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from controlplane.model.conditions import Status
    from controlplane.scaling.records import Record, Recorded
    from controlplane.scaling.rush import Sale

CONDITION: Final = "Scaled"
_MOST: Final = 4096


def scaled(sale: Sale, recorded: Recorded, now: datetime) -> dict[str, Any] | None:
    """Write the condition; None for a sale that scales nothing."""
    stands = _standing(sale)
    if sale.spec is None and not sale.deleting:
        return stands  # what is wrong with the sale is told by Accepted
    if sale.scaling is None and not recorded.holding:
        return None
    status, reason, message = _verdict(sale, recorded, now)
    made = Condition(CONDITION, status, reason, message[:_MOST], sale.generation, now).as_json()
    if stands is not None and stands.get("status") == status and stands.get("lastTransitionTime"):
        made["lastTransitionTime"] = stands["lastTransitionTime"]
    return made


def _standing(sale: Sale) -> dict[str, Any] | None:
    return next((dict(one) for one in sale.said.get("conditions", ())), None)


def _verdict(sale: Sale, recorded: Recorded, now: datetime) -> tuple[Status, str, str]:
    records = [recorded.records[target] for target in sorted(recorded.records)]
    if sale.active(now):
        return _during(sale, recorded, records)
    if recorded.holding:
        wrong = [one for one in records if one.holding and one.message]
        if wrong:
            return "Unknown", "NotScaledBack", _told(wrong)
        return "Unknown", "ScalingBack", "what was scaled is being put back"
    if sale.begins is not None and now < sale.begins:
        count = _count(len(sale.scaling.targets) if sale.scaling is not None else 0)
        return "False", "Scheduled", f"{count} will be scaled at {format_instant(sale.begins)}"
    told = _told(one for one in records if one.message)
    if any(one.phase == "ScaledBack" for one in records):
        return "False", "ScaledBack", told or "what was scaled was put back"
    return "False", "Ended", told or "the rush is over"


def _during(sale: Sale, recorded: Recorded, records: list[Record]) -> tuple[Status, str, str]:
    wrong = [one for one in records if one.reason]
    if wrong:
        # What is to be done something about comes before what somebody has done.
        first = min(wrong, key=lambda one: one.phase == "Overridden")
        return "False", first.reason, _told(wrong)
    if len(records) < _named(sale) or any(one.phase == "Scaling" for one in records):
        return "Unknown", "Scaling", f"{_count(_named(sale))} to be scaled"
    if any(one.phase == "ScaledBack" for one in records):
        return "False", "ScaledBack", _told(records) or "what was scaled was put back"
    ends = sale.ends(recorded.quiet_since)
    until = "it is sold out" if ends is None else format_instant(ends)
    return "True", "Scaled", f"{_count(len(records))} have what the rush needs, until {until}"


def _named(sale: Sale) -> int:
    if sale.scaling is None:
        return 0
    names = {
        (one.kind, one.namespace or sale.ref.namespace, one.name) for one in sale.scaling.targets
    }
    return len(names)


def _count(number: int) -> str:
    return "1 target" if number == 1 else f"{number} targets"


def _told(records: Iterable[Record]) -> str:
    return "; ".join(f"{one.target}: {one.message}" for one in records if one.message)
