"""Which reports of other replicas count: those whose heartbeat is still heard.

No I/O, and a clock that is handed in. Times that others write are compared with nobody's: a report
is old when it has not changed for long by our own monotonic clock. And that clock goes on only
while something is heard at all: when the API server is away nobody can write a heartbeat, so that
nothing is known of who is there, and everything stays as it was last told.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from controlplane.status.replica_report import ReplicaReport


@dataclass(frozen=True, slots=True)
class ReplicaTerms:
    """How replicas tell each other of their proxies; all in seconds."""

    heartbeat: float = 10.0
    """A report is written at least this often."""
    apart: float = 1.0
    """Between two writes."""
    settle: float = 0.5
    """What proxies are given to confirm an edit before it is told that they have not."""
    stale: float = 30.0
    """A report that has not moved for this long is not counted."""
    dead: float = 600.0
    """The leader deletes it after this long."""
    reconnect: float = 6.0
    """What proxies are given to come back to us, or to another replica: the bootstrap has them
    try at least every 5 s."""
    shortest: float = 0.25
    longest: float = 5.0
    """The waits after failures: the first, and the longest."""


NORMAL: Final = ReplicaTerms()


class HeardClock:
    """Seconds that go on only while something is heard at least every `longest` seconds."""

    def __init__(self, longest: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._longest = longest
        self._time = 0.0
        self._at = clock()

    def heard(self) -> None:
        """Take note that something was heard."""
        self._time = self.now()
        self._at = self._clock()

    def now(self) -> float:
        """Give the time."""
        return self._time + min(self._clock() - self._at, self._longest)


@dataclass(slots=True)
class _Known:
    """A report as last heard; `report` is None when it cannot be read, for the reason `fault`."""

    uid: str
    report: ReplicaReport | None
    fault: str
    moved_at: float
    left_at: float | None = None


class KnownReports:
    """The reports of all replicas but ours, by the names of their objects."""

    def __init__(
        self, terms: ReplicaTerms = NORMAL, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._terms = terms
        # A little more than a heartbeat: our own comes back by the same way as those of others.
        self._clock = HeardClock(terms.heartbeat * 1.2, clock)
        self._known: dict[str, _Known] = {}

    def heard(self) -> None:
        """Take note that the API server has said something, whatever it was."""
        self._clock.heard()

    def see(self, name: str, uid: str, report: ReplicaReport | None, fault: str = "") -> None:
        """Take a report that is new or has moved."""
        before = self._known.get(name)
        if before is not None and report is not None and report.same_as(before.report):
            report = before.report  # a heartbeat is no news
        self._known[name] = _Known(uid, report, fault, self._clock.now())

    def leave(self, name: str) -> None:
        """Take note that a replica has ended in order: its proxies are about to come elsewhere."""
        known = self._known.get(name)
        if known is not None and known.left_at is None:
            known.left_at = self._clock.now()

    def counted(self) -> tuple[ReplicaReport, ...]:
        """Give the reports that count now."""
        return tuple(one.report for _, one in self._counted() if one.report is not None)

    def unread(self) -> tuple[str, ...]:
        """Say which replicas report something that cannot be read."""
        return tuple(
            f"the report {name} cannot be read: {one.fault}"
            for name, one in self._counted()
            if one.report is None
        )

    def is_unread(self, name: str, fault: str) -> bool:
        """Tell whether this report could not be read before, for the same reason."""
        known = self._known.get(name)
        return known is not None and known.report is None and known.fault == fault

    def dead(self) -> tuple[tuple[str, str], ...]:
        """Give name and uid of the objects that nobody is going to write again."""
        now = self._clock.now()
        return tuple(
            (name, one.uid)
            for name, one in sorted(self._known.items())
            if one.left_at is None and now - one.moved_at > self._terms.dead
        )

    def _counted(self) -> Iterable[tuple[str, _Known]]:
        now, terms = self._clock.now(), self._terms
        gone = [
            name
            for name, one in self._known.items()
            if one.left_at is not None and now - one.left_at > terms.reconnect
        ]
        for name in gone:
            del self._known[name]
        return [
            (name, one)
            for name, one in sorted(self._known.items())
            if now - one.moved_at <= terms.stale
        ]
