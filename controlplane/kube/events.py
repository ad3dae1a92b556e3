"""Events: what happened to an object, for people who ask `kubectl describe`.

For transitions only, and best effort: an Event is written by a task of its own, a failure is
logged and counted, and nobody waits for it. What happens again within minutes becomes a series of
the same Event, whose count is written at most once a minute, so that nothing that repeats floods
the server.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import structlog

from controlplane.kube.errors import KubeError, NotFoundError
from controlplane.kube.resources import ResourceType
from controlplane.kube.times import micro_time, now

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from controlplane.kube.resources import Object
    from controlplane.kube.session import Session

log = structlog.get_logger(__name__)
EVENTS: Final = ResourceType("events.k8s.io", "v1", "events", "Event")
_SERIES_ENDS: Final = 360.0
"""Seconds without a repeat after which the same thing is news again."""
_SERIES_EVERY: Final = 60.0
"""Seconds between two writes of one series."""
_MOST_SERIES: Final = 1024
_WAITING: Final = 1000
_APART: Final = 0.05
"""Seconds between two writes: when thousands of objects change at once, Events come last."""
_LONGEST_NOTE: Final = 1024  # bytes; so says the API's validation, as of all lengths here
_LONGEST_WORD: Final = 128

EventType = Literal["Normal", "Warning"]


@dataclass(frozen=True, slots=True)
class Happening:
    """What happened to which object."""

    regarding: tuple[tuple[str, str], ...]
    """The object's reference; see `regarding`."""
    type: EventType
    reason: str
    """One CamelCase word for machines, such as SaleOpened."""
    action: str
    """What was done about it, one CamelCase word too."""
    note: str
    """One sentence for people."""

    @property
    def same(self) -> tuple[object, ...]:
        """What makes two happenings the same thing again; notes may hold numbers."""
        identity = {name: value for name, value in self.regarding if name != "resourceVersion"}
        return (*identity.items(), self.type, self.reason, self.action)


def regarding(obj: Object) -> tuple[tuple[str, str], ...]:
    """Refer to an object as Events do."""
    metadata = obj["metadata"]
    reference = {
        "apiVersion": obj["apiVersion"],
        "kind": obj["kind"],
        "namespace": metadata.get("namespace", ""),
        "name": metadata["name"],
        "uid": metadata.get("uid", ""),
        "resourceVersion": metadata.get("resourceVersion", ""),
    }
    return tuple((name, value) for name, value in reference.items() if value)


@dataclass(frozen=True, slots=True)
class Reporter:
    """Who tells: the controller's name, and which replica."""

    controller: str
    instance: str


@dataclass(frozen=True, slots=True)
class Create:
    """Write a new Event."""

    event: Object


@dataclass(frozen=True, slots=True)
class Repeat:
    """Write that an Event has happened again; `event` in case it is gone by now."""

    namespace: str
    name: str
    series: dict[str, Any]
    event: Object


Write: TypeAlias = Create | Repeat


@dataclass(slots=True)
class _Series:
    event: Object
    last: float
    written: float = float("-inf")
    count: int = 1


@dataclass(slots=True)
class Series:
    """Tells what is to be written of a happening. No I/O; bounded."""

    reporter: Reporter
    _known: OrderedDict[tuple[object, ...], _Series] = field(default_factory=OrderedDict)
    _number: int = 0

    def take(self, happening: Happening, at: datetime, clock: float) -> Write | None:
        """Give what to write now; None when it is a repeat that was told of just now.

        Its count is not lost: the next write has it.
        """
        known = self._known.get(happening.same)
        if known is None or clock - known.last > _SERIES_ENDS:
            return self._begin(happening, at, clock)
        self._known.move_to_end(happening.same)
        known.last = clock
        known.count += 1
        if clock - known.written < _SERIES_EVERY:
            return None
        known.written = clock
        metadata = known.event["metadata"]
        series = {"count": known.count, "lastObservedTime": micro_time(at)}
        fresh = self._event(happening, at)
        return Repeat(metadata["namespace"], metadata["name"], series, fresh)

    def _begin(self, happening: Happening, at: datetime, clock: float) -> Create:
        event = self._event(happening, at)
        self._known[happening.same] = _Series(event, clock)
        self._known.move_to_end(happening.same)
        while len(self._known) > _MOST_SERIES:
            self._known.popitem(last=False)
        return Create(event)

    def renamed(self, happening: Happening, event: Object) -> None:
        """Take note that a series goes on under another Event."""
        known = self._known.get(happening.same)
        if known is not None:
            known.event = event
            known.count = 1

    def _event(self, happening: Happening, at: datetime) -> Object:
        reference = dict(happening.regarding)
        self._number += 1
        # As client-go names them: the object's name, then what makes it unique.
        unique = f"{int(at.timestamp() * 1_000_000):x}{self._number & 0xFFFF:04x}"
        return {
            "apiVersion": EVENTS.api_version,
            "kind": EVENTS.kind,
            "metadata": {
                # Of objects without a namespace people look for Events in this one.
                "namespace": reference.get("namespace", "default"),
                "name": f"{reference['name'][:200]}.{unique}",
            },
            "eventTime": micro_time(at),
            "type": happening.type,
            "reason": happening.reason[:_LONGEST_WORD],
            "action": happening.action[:_LONGEST_WORD],
            "note": _cut(happening.note, _LONGEST_NOTE),
            "regarding": reference,
            "reportingController": self.reporter.controller,
            "reportingInstance": self.reporter.instance[:_LONGEST_WORD],
        }


class EventRecorder:
    """Takes happenings at any time, and writes them while `run` runs."""

    def __init__(
        self, session: Session, reporter: Reporter, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._session = session
        self._series = Series(reporter)
        self._clock = clock
        self._waiting: asyncio.Queue[Happening] = asyncio.Queue(_WAITING)
        self._flooded = False
        self.lost = 0
        """How many could not be written, or were too many at once."""

    def record(self, happening: Happening) -> None:
        """Have an Event written; never waits."""
        try:
            self._waiting.put_nowait(happening)
        except asyncio.QueueFull:
            self.lost += 1
            if not self._flooded:
                log.warning("Events dropped", reason=happening.reason, why="too many are waiting")
            self._flooded = True

    async def run(self) -> None:
        """Write Events, one after the other; ends only when cancelled."""
        while True:
            self._flooded = self._flooded and not self._waiting.empty()
            happening = await self._waiting.get()
            try:
                await self._write(happening)
            except KubeError as error:
                self.lost += 1
                log.warning("Event not written", reason=happening.reason, error=str(error))

    async def _write(self, happening: Happening) -> None:
        write = self._series.take(happening, now(), self._clock())
        if isinstance(write, Create):
            await self._session.create(EVENTS, write.event)
        elif isinstance(write, Repeat):
            body = {"series": write.series}
            try:
                await self._session.patch(EVENTS, write.name, write.namespace, body=body)
            except NotFoundError:  # Events live for an hour
                await self._session.create(EVENTS, write.event)
                self._series.renamed(happening, write.event)
        if write is not None:
            await asyncio.sleep(_APART)


def _cut(text: str, longest: int) -> str:
    data = text.encode()
    if len(data) <= longest:
        return text
    return data[: longest - 3].decode(errors="ignore") + "..."
