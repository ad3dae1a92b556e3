"""When a rush is on: a sale's own times, its lead, and the quiet after it.

By the wall clock, and worked out anew each time: nothing remembers what an alarm was set for.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from controlplane.model.durations import format_instant
from controlplane.scaling.records import Recorded

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from controlplane.model import FlashSaleSpec, ObjectRef
    from controlplane.model.scaling import Scaling


@dataclass(frozen=True, slots=True, kw_only=True)
class Sale:
    """A sale as the API server has it, as far as scaling goes."""

    ref: ObjectRef
    uid: str = ""
    version: str = ""
    """Its resourceVersion: what is written is a bet on it."""
    generation: int = 1
    deleting: bool = False
    guarded: bool = False
    """Whether it has our finalizer."""
    spec: FlashSaleSpec | None = None
    """None when it cannot be read: then what was scaled is held until it can."""
    state: str = ""
    """Of its status."""
    recorded: Recorded = field(default_factory=Recorded)
    said: Mapping[str, Any] = field(default_factory=dict)
    """The fields of its status that are about scaling, as they stand there."""

    @property
    def scaling(self) -> Scaling | None:
        """What is asked for."""
        return None if self.spec is None else self.spec.scaling

    @property
    def concerned(self) -> bool:
        """Whether scaling is any business of this sale's."""
        return self.scaling is not None or self.guarded or bool(self.said)

    @property
    def rush(self) -> str:
        """Names the rush: another time or epoch is another one."""
        if self.spec is None:
            return ""
        schedule = self.spec.schedule
        end = format_instant(schedule.end_time) if schedule.end_time else ""
        return f"{format_instant(schedule.start_time)}/{end}/{self.spec.epoch}"

    @property
    def begins(self) -> datetime | None:
        """When to scale up."""
        if self.spec is None or self.spec.scaling is None:
            return None
        return self.spec.schedule.start_time - self.spec.scaling.lead_time

    def ends(self, quiet_since: datetime | None) -> datetime | None:
        """When to put back; None as long as nobody knows."""
        if self.spec is None or self.spec.scaling is None:
            return None
        end = self.spec.schedule.end_time or quiet_since
        return None if end is None else end + self.spec.scaling.cooldown

    def quiet_since(self, now: datetime) -> datetime | None:
        """Since when a sale without an end is sold out; kept over restarts in its status."""
        if self.spec is None:
            return self.recorded.quiet_since
        if self.scaling is None or self.spec.schedule.end_time is not None:
            return None
        if self.state != "SoldOut":
            return None
        return self.recorded.quiet_since or now.replace(microsecond=0)

    def active(self, now: datetime) -> bool:
        """Whether its targets are to be scaled now."""
        begins, ends = self.begins, self.ends(self.quiet_since(now))
        if self.deleting or begins is None:
            return False
        return begins <= now and (ends is None or now < ends)

    def next_border(self, now: datetime) -> datetime | None:
        """When the rush begins or ends, if that is still to come."""
        borders = (self.begins, self.ends(self.quiet_since(now)))
        return min((one for one in borders if one is not None and one > now), default=None)
