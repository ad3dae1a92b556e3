"""When the status of which object may be written: soon after a change, and never too often.

No I/O and no clock of its own, so that every order of things can be tried. All times are seconds
of one monotonic clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from controlplane.kube.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Callable

    from controlplane.model import ObjectRef


@dataclass(frozen=True, slots=True)
class Pace:
    """How often to write."""

    settle: float = 0.15
    """After a change: most edits are confirmed by all proxies before that, and make one write."""
    apart: float = 1.0
    """Between two writes of one object."""
    shortest: float = 0.25
    longest: float = 30.0
    """After failures."""


NORMAL: Final = Pace()


class Agenda:
    """What has to be written, and when; whatever is put in comes out until it is done."""

    def __init__(self, pace: Pace = NORMAL, backoff: Callable[[], Backoff] | None = None) -> None:
        self._pace = pace
        self._backoff = backoff or (lambda: Backoff(pace.shortest, pace.longest))
        self._due: dict[ObjectRef, float] = {}
        self._not_before: dict[ObjectRef, float] = {}
        self._busy: set[ObjectRef] = set()
        self._failing: dict[ObjectRef, Backoff] = {}
        self._server = self._backoff()
        self._paused_until = 0.0

    def add(self, ref: ObjectRef, now: float) -> None:
        """Note that an object has changed; a change that waits already is not put off by it."""
        if ref not in self._due:
            self._due[ref] = max(now + self._pace.settle, self._not_before.get(ref, 0.0))

    def take(self, now: float, most: int) -> list[ObjectRef]:
        """Give objects to write now, those that wait longest first; each has to be `done`."""
        if now < self._paused_until:
            return []
        due = [ref for ref, at in self._due.items() if at <= now and ref not in self._busy]
        due.sort(key=lambda ref: self._due[ref])
        for ref in due[:most]:
            del self._due[ref]
            self._busy.add(ref)
        return due[:most]

    def next_at(self) -> float | None:
        """Tell when something is due; None when nothing waits that `done` will not tell of."""
        waiting = [at for ref, at in self._due.items() if ref not in self._busy]
        return max(min(waiting), self._paused_until) if waiting else None

    # -------------------------------------------------------------------------- what came of it
    def written(self, ref: ObjectRef, started: float) -> None:
        """Take note that a write has succeeded, which began at that time."""
        self._not_before[ref] = started + self._pace.apart
        if ref in self._due:
            self._due[ref] = max(self._due[ref], self._not_before[ref])
        self._server.reset()

    def settled(self, ref: ObjectRef) -> None:
        """Take note that nothing is left to do for an object as it is."""
        self._failing.pop(ref, None)

    def failed(self, ref: ObjectRef, now: float) -> float:
        """Take note that an object could not be written; gives the seconds to the next try."""
        delay = self._failing.setdefault(ref, self._backoff()).delay()
        self._due[ref] = now + delay
        return delay

    def lost_server(self, ref: ObjectRef, now: float, at_least: float = 0.0) -> float:
        """Take note that the server is away, or asks for a pause: it is one for all objects."""
        if now >= self._paused_until:
            self._paused_until = now + self._server.delay(at_least)
        self._due[ref] = min(self._due.get(ref, now), now)
        return self._paused_until - now

    def done(self, ref: ObjectRef) -> None:
        """Let an object be taken again."""
        self._busy.discard(ref)

    def forget(self, ref: ObjectRef) -> None:
        """Drop all that is known of an object that is gone."""
        for known in (self._due, self._not_before, self._failing):
            known.pop(ref, None)
