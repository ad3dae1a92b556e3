"""Conditions as Kubernetes means them, and how new ones join those that stand already.

Follows the API conventions: keyed by type, the transition time moves only when the status does,
types of other controllers stay, and what is known of a newer generation is never overwritten.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal

from controlplane.model.durations import format_instant

if TYPE_CHECKING:
    from collections.abc import Iterable

Status = Literal["True", "False", "Unknown"]
MAX_MESSAGE: Final = 32768
"""Longest message that metav1.Condition allows."""
_NEVER: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Condition:
    """One statement about an object, such as `Accepted` or `Programmed`."""

    type: str
    status: Status
    reason: str
    message: str = ""
    observed_generation: int = 0
    last_transition_time: datetime = _NEVER

    def as_json(self) -> dict[str, object]:
        """Write the condition in the form of metav1.Condition."""
        return {
            "type": self.type,
            "status": self.status,
            "reason": self.reason,
            "message": self.message[:MAX_MESSAGE],
            "observedGeneration": self.observed_generation,
            "lastTransitionTime": format_instant(self.last_transition_time.replace(microsecond=0)),
        }


def merge(
    old: Iterable[Condition], new: Iterable[Condition], now: datetime
) -> tuple[Condition, ...]:
    """Join new conditions into the old: order kept, newcomers at the end."""
    merged = {condition.type: condition for condition in old}
    for condition in new:
        before = merged.get(condition.type)
        if before is not None and before.observed_generation > condition.observed_generation:
            continue
        flipped = before is None or before.status != condition.status
        since = now if before is None or flipped else before.last_transition_time
        merged[condition.type] = replace(condition, last_transition_time=since)
    return tuple(merged.values())
