"""What stands in a sale's own status about scaling: the only memory that there is.

Whoever leads next, after a crash at any moment, goes on from here. So what a target had is
recorded before it is changed, and each step is told from what is recorded and what is there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, cast, get_args

from controlplane.model.durations import format_instant, parse_instant
from controlplane.model.meta import ObjectRef

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

Phase = Literal["Scaling", "Scaled", "Enough", "Overridden", "Failed", "ScaledBack"]
"""`Scaling`: about to be changed, or changed just now. `Enough`: it has as many anyway.
`Overridden`: somebody else set it. `Failed`: nothing was changed yet."""
HOLDING: Final = frozenset({"Scaling", "Scaled"})
"""Phases in which something has to be put back."""
SETTLED: Final = frozenset({"Enough", "Overridden", "ScaledBack"})
"""Phases in which nothing more is done for the same rush."""
KINDS: Final = frozenset({"Deployment", "HorizontalPodAutoscaler"})


@dataclass(frozen=True, slots=True)
class Record:
    """One target of one sale; `origin` is `from` in the status."""

    target: ObjectRef
    phase: Phase
    rush: str = ""
    uid: str = ""
    before: int | None = None
    applied: int | None = None
    origin: int | None = None
    reason: str = ""
    message: str = ""

    @property
    def holding(self) -> bool:
        """Whether the target may have been changed, and not put back."""
        return self.phase in HOLDING

    def as_json(self) -> dict[str, Any]:
        """Write it; what is empty is left out."""
        found = {
            "kind": self.target.kind,
            "namespace": self.target.namespace,
            "name": self.target.name,
            "uid": self.uid,
            "before": self.before,
            "applied": self.applied,
            "from": self.origin,
            "rush": self.rush,
            "phase": self.phase,
            "reason": self.reason,
            "message": self.message,
        }
        return {name: value for name, value in found.items() if value not in {None, ""}}

    @classmethod
    def read(cls, found: Mapping[str, Any]) -> Record | None:
        """Read one; None when it is none, which the CRD's schema does not let happen."""
        target = ObjectRef(*(str(found.get(name) or "") for name in ("kind", "namespace", "name")))
        phase = found.get("phase")
        if target.kind not in KINDS or not target.name or phase not in get_args(Phase):
            return None
        return cls(
            target,
            cast("Phase", phase),
            str(found.get("rush") or ""),
            str(found.get("uid") or ""),
            _number(found.get("before")),
            _number(found.get("applied")),
            _number(found.get("from")),
            str(found.get("reason") or ""),
            str(found.get("message") or ""),
        )


@dataclass(frozen=True, slots=True)
class Recorded:
    """All of one sale's status that is about scaling."""

    records: Mapping[ObjectRef, Record] = field(default_factory=dict)
    quiet_since: datetime | None = None

    @property
    def holding(self) -> bool:
        """Whether anything has to be put back."""
        return any(record.holding for record in self.records.values())

    def as_json(self) -> dict[str, Any]:
        """Write it, in a stable order."""
        found: dict[str, Any] = {}
        if self.quiet_since is not None:
            found["quietSince"] = format_instant(self.quiet_since)
        if self.records:
            found["targets"] = [self.records[target].as_json() for target in sorted(self.records)]
        return found

    @classmethod
    def read(cls, status: Mapping[str, Any]) -> Recorded:
        """Read it from a sale's status."""
        scaling = status.get("scaling")
        if not isinstance(scaling, Mapping):
            return cls()
        entries = scaling.get("targets")
        records = [Record.read(one) for one in entries or () if isinstance(one, Mapping)]
        return cls.of((one for one in records if one is not None), _instant(scaling))

    @classmethod
    def of(cls, records: Iterable[Record], quiet_since: datetime | None = None) -> Recorded:
        """Put records together."""
        return cls({record.target: record for record in records}, quiet_since)


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _instant(scaling: Mapping[str, Any]) -> datetime | None:
    try:
        return parse_instant(str(scaling.get("quietSince") or ""))
    except ValueError:
        return None
