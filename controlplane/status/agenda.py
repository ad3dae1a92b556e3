"""When the status of which object may be written: soon after a change, and never too often.

No I/O and no clock of its own, so that every order of things can be tried. All times are seconds
of one monotonic clock.

Looking at an object costs nothing to anybody else, so all are looked at as soon as they are due.
Writing is what the API server has to bear: there are so many writes a second for what people and
programs wait for, and far fewer for mere numbers, which a thousand running sales would change all
the time. Who gets no turn waits in line, so that each object has its turn.
"""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from controlplane.kube.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Callable

    from controlplane.model import ObjectRef


@dataclass(frozen=True, slots=True)
class Pace:
    """How often to write; seconds, and writes a second."""

    settle: float = 0.15
    """After a change: most edits are confirmed by all proxies before that, and make one write."""
    apart: float = 1.0
    """Between two writes of one object."""
    shortest: float = 0.25
    longest: float = 30.0
    """After failures."""
    transitions: float = 100.0
    """Writes a second of all objects together."""
    numbers: float = 20.0
    """Of those, writes that bring other numbers and words only."""


NORMAL: Final = Pace()


@dataclass(slots=True)
class _Line:
    """Objects that wait for their turn to be written, and how many turns there are a second.

    Turns that nobody takes are kept for one second, and no longer.
    """

    rate: float
    waiting: dict[ObjectRef, None] = field(default_factory=dict)
    _turns: float = 0.0
    _at: float = float("-inf")

    def has_turn(self, now: float) -> bool:
        """Whether a turn is left."""
        gained = (now - self._at) * self.rate
        self._turns = min(max(1.0, self.rate), self._turns + gained)
        self._at = now
        return self._turns >= 1.0

    def use(self) -> None:
        """Take a turn."""
        self._turns -= 1.0

    def next_at(self) -> float:
        """Tell when there is a turn again."""
        return self._at + max(0.0, 1.0 - self._turns) / self.rate


class Agenda:
    """What has to be written, and when; whatever is put in comes out until it is done."""

    def __init__(self, pace: Pace = NORMAL, backoff: Callable[[], Backoff] | None = None) -> None:
        self._pace = pace
        self._backoff = backoff or (lambda: Backoff(pace.shortest, pace.longest))
        self._due: dict[ObjectRef, float] = {}
        # Entries that are no longer as `_due` has it count for nothing.
        self._heap: list[tuple[float, int, ObjectRef]] = []
        self._order = itertools.count()
        self._not_before: dict[ObjectRef, float] = {}
        self._busy: set[ObjectRef] = set()
        self._failing: dict[ObjectRef, Backoff] = {}
        self._server = self._backoff()
        self._paused_until = 0.0
        self._transitions, self._numbers = _Line(pace.transitions), _Line(pace.numbers)
        self._granted: set[ObjectRef] = set()

    def add(self, ref: ObjectRef, now: float, *, numbers: bool = False) -> None:
        """Note that an object has changed; a change that waits already is not put off by it.

        With `numbers`, nothing else has: then one that waits in line for them is well there.
        """
        if ref not in self._due and not (numbers and ref in self._numbers.waiting):
            self._set(ref, max(now + self._pace.settle, self._not_before.get(ref, 0.0)))

    def take(self, now: float, most: int) -> list[ObjectRef]:
        """Give objects to look at now; each has to be `done`.

        First those whose turn to be written has come, then those that wait longest for a look.
        """
        if now < self._paused_until:
            return []
        taken = self._in_line(self._transitions, now, most)
        while len(taken) < most and (ref := self._next(now)) is not None:
            del self._due[ref]
            self._busy.add(ref)
            taken.append(ref)
        return taken + self._in_line(self._numbers, now, most - len(taken))

    def next_at(self) -> float | None:
        """Tell when something is due; None when nothing waits that `done` will not tell of."""
        self._drop_stale()
        found = [self._heap[0][0]] if self._heap else []
        found += [
            max(line.next_at(), self._transitions.next_at())
            for line in (self._transitions, self._numbers)
            if not self._busy.issuperset(line.waiting)
        ]
        return max(min(found), self._paused_until) if found else None

    # ------------------------------------------------------------------------------- a turn
    def may_write(self, ref: ObjectRef, now: float, *, numbers: bool) -> bool:
        """Whether an object may be written now; if not, it comes out again when it may."""
        line = self._numbers if numbers else self._transitions
        if ref in self._granted:
            self._granted.discard(ref)
            return True
        if not line.waiting and self._use(line, now):
            return True
        other = self._transitions if numbers else self._numbers
        other.waiting.pop(ref, None)
        line.waiting.setdefault(ref)
        return False

    def _in_line(self, line: _Line, now: float, most: int) -> list[ObjectRef]:
        free = [ref for ref in itertools.islice(line.waiting, most) if ref not in self._busy]
        taken: list[ObjectRef] = []
        for ref in free:
            if not self._use(line, now):
                break
            del line.waiting[ref]
            self._busy.add(ref)
            self._granted.add(ref)
            taken.append(ref)
        return taken

    def _use(self, line: _Line, now: float) -> bool:
        """Take a turn in a line; each is one of the turns of all."""
        of_line, of_all = line.has_turn(now), self._transitions.has_turn(now)
        if not (of_line and of_all):
            return False
        line.use()
        if line is not self._transitions:
            self._transitions.use()
        return True

    # -------------------------------------------------------------------------- what came of it
    def written(self, ref: ObjectRef, started: float) -> None:
        """Take note that a write has succeeded, which began at that time."""
        self._not_before[ref] = started + self._pace.apart
        if ref in self._due:
            self._set(ref, max(self._due[ref], self._not_before[ref]))
        self._server.reset()

    def settled(self, ref: ObjectRef) -> None:
        """Take note that nothing is left to do for an object as it is."""
        for known in (self._failing, self._transitions.waiting, self._numbers.waiting):
            known.pop(ref, None)

    def failed(self, ref: ObjectRef, now: float) -> float:
        """Take note that an object could not be written; gives the seconds to the next try."""
        delay = self._failing.setdefault(ref, self._backoff()).delay()
        self._set(ref, now + delay)
        return delay

    def lost_server(self, ref: ObjectRef, now: float, at_least: float = 0.0) -> float:
        """Take note that the server is away, or asks for a pause: it is one for all objects."""
        if now >= self._paused_until:
            self._paused_until = now + self._server.delay(at_least)
        self._set(ref, min(self._due.get(ref, now), now))
        return self._paused_until - now

    def done(self, ref: ObjectRef) -> None:
        """Let an object be taken again."""
        self._busy.discard(ref)
        self._granted.discard(ref)
        if ref in self._due:
            self._set(ref, self._due[ref])

    def forget(self, ref: ObjectRef) -> None:
        """Drop all that is known of an object that is gone."""
        for known in (self._due, self._not_before):
            known.pop(ref, None)
        self.settled(ref)

    # ------------------------------------------------------------------------------ in order
    def _set(self, ref: ObjectRef, at: float) -> None:
        self._due[ref] = at
        heapq.heappush(self._heap, (at, next(self._order), ref))

    def _next(self, now: float) -> ObjectRef | None:
        self._drop_stale()
        if not self._heap or self._heap[0][0] > now:
            return None
        return heapq.heappop(self._heap)[2]

    def _drop_stale(self) -> None:
        """Drop what is no longer so, and what is busy: `done` puts that in again."""
        while self._heap:
            at, _, ref = self._heap[0]
            if self._due.get(ref) == at and ref not in self._busy:
                return
            heapq.heappop(self._heap)
