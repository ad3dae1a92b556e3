"""Writes status to the API server, from the one replica that leads.

Every replica knows a status of its own; the leader compares it with what stands on the server and
writes the difference, by server-side apply of our own fields. A new leader compares everything.
Nothing is written that stands there already, no object more than once a second, all together no
more than the server can well bear (see `agenda`), and what could not be written is tried again
until it stands there or its object is gone.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import structlog
from prometheus_client import Counter

from controlplane.kube import (
    ConflictError,
    Elector,
    EventRecorder,
    Happening,
    KubeError,
    NotFoundError,
    Reporter,
    Terms,
    UnavailableError,
    apply_status,
    new_identity,
    regarding,
)
from controlplane.model import Inventory
from controlplane.model.gateway import CONTROLLER_NAME
from controlplane.sources.api_types import TYPES, WITH_STATUS
from controlplane.status import agenda, shapes
from controlplane.status.agenda import Agenda, Pace
from controlplane.status.exchange import ReplicaExchange
from controlplane.status.known_reports import NORMAL, ReplicaTerms
from controlplane.status.replicas import Fleet, fleet, own_gateways
from controlplane.status.transitions import news

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from prometheus_client import CollectorRegistry

    from controlplane.kube import Object, Session
    from controlplane.model import ObjectRef, Problem
    from controlplane.sources.standings import Standing, Standings
    from controlplane.status.duty import Duty
    from controlplane.status.objects import ObjectStatus, Status
    from controlplane.status.tracker import Facts
    from controlplane.xds.status import ProxyState

log = structlog.get_logger(__name__)
LEASE_TERMS: Final = Terms()
_AT_ONCE: Final = 8
"""Writes that are under way at the same time, at the most."""


@dataclass(frozen=True, slots=True)
class _Applied:
    """The last write of an object: what was sent, and what the server made of it."""

    uid: str
    sent: shapes.Body
    became: Mapping[str, Any]


class ClusterStatus:
    """Takes each status; while this replica holds the Lease, it is written.

    Args:
        session: to the API server.
        standings: what stands there, kept up to date by the source of objects.
        lease: namespace and name of the Lease.
        host: of this replica, for the identity of whoever holds the Lease.
        registry: where writes are counted.
        terms: of the Lease.
        pace: of the writes.
        replicas: how replicas tell each other of their proxies.
    """

    def __init__(
        self,
        session: Session,
        standings: Standings,
        *,
        lease: tuple[str, str],
        host: str,
        registry: CollectorRegistry,
        terms: Terms = LEASE_TERMS,
        pace: Pace = agenda.NORMAL,
        replicas: ReplicaTerms = NORMAL,
    ) -> None:
        self._session = session
        self._standings = standings
        identity = new_identity(host)
        self._elector = Elector(session, lease, identity, terms=terms)
        self._events = EventRecorder(session, Reporter(CONTROLLER_NAME, identity))
        self.replicas = ReplicaExchange(
            session, lease=lease, identity=identity, registry=registry, terms=replicas
        )
        self._settled = False
        self._pace = pace
        self._statuses: dict[ObjectRef, ObjectStatus] = {}
        self._invalid: dict[ObjectRef, tuple[str, ...]] = {}
        self._inventory = Inventory()
        self._offered = False
        self._agenda = Agenda(pace)
        self._applied: dict[ObjectRef, _Applied] = {}
        self._told: dict[ObjectRef, str] = {}
        self._wake = asyncio.Event()
        self._beside: list[Duty] = []
        self._free = _AT_ONCE
        self._writes = Counter(
            "sluice_status_writes",
            "Writes of status to the API server, by what came of them",
            ("kind", "outcome"),
            registry=registry,
        )
        standings.on_change(self._changed)

    @property
    def leading(self) -> bool:
        """Whether this replica writes status now."""
        return self._elector.leading

    def fleet(self, own: Iterable[ProxyState]) -> Fleet:
        """Tell what is known of the proxies of other replicas, now that these are ours."""
        known = self.replicas
        return fleet(own, known.reports, alone=known.alone, unread=known.unread)

    def beside(self, duty: Duty) -> None:
        """Have something else done as long as this replica leads."""
        self._beside.append(duty)

    # --------------------------------------------------------------------------- what should be
    def offer(
        self,
        status: Status,
        facts: Facts,
        problems: Iterable[Problem],
        proxies: Callable[[], Iterable[ProxyState]],
    ) -> None:
        """Take the newest status, what it was made from, what could not be read, and proxies."""
        self.replicas.offer(
            lambda: own_gateways(proxies(), facts.report, facts.inventory, facts.deliver)
        )
        before, invalid_before = self._statuses, self._invalid
        self._statuses = {one.ref: one for one in status.objects if one.ref.kind in WITH_STATUS}
        invalid: dict[ObjectRef, tuple[str, ...]] = {}
        for problem in problems:
            if problem.ref is not None and problem.is_error:
                said = f"{problem.field}: {problem.message}" if problem.field else problem.message
                invalid[problem.ref] = (*invalid.get(problem.ref, ()), said)
        self._invalid = invalid
        self._inventory = facts.inventory
        for duty in self._beside:
            duty.offer(facts.inventory)
        self._offered = True
        touched = {ref for ref, one in self._statuses.items() if before.get(ref) != one}
        touched |= before.keys() - self._statuses.keys()
        touched |= {ref for ref in invalid.keys() | invalid_before.keys()
                    if invalid.get(ref) != invalid_before.get(ref)}  # fmt: skip
        if self.replicas.settled != self._settled:
            self._settled = self.replicas.settled
            touched |= set(self._everything())
        for ref in touched:
            was, one = before.get(ref), self._statuses.get(ref)
            if was is None or one is None or was == one:
                self._changed(ref)
            else:
                self._changed(ref, numbers=was.same_but_numbers(one))

    def _changed(self, ref: ObjectRef, *, numbers: bool = False) -> None:
        """Look at an object again, if it is for us to write."""
        if self.leading and self._offered:
            self._agenda.add(ref, time.monotonic(), numbers=numbers)
            self._wake.set()

    def _everything(self) -> Iterable[ObjectRef]:
        routes = (ref for ref, _ in self._standings.of_kind("HTTPRoute"))
        return {*self._statuses, *self._invalid, *routes}

    def _body(self, ref: ObjectRef, standing: Standing) -> shapes.Body | None:
        """What should be said of an object; None as well when we have not caught up with it."""
        status, invalid = self._statuses.get(ref), self._invalid.get(ref, ())
        if status is not None and status.uid != standing.uid:
            return None
        if status is not None and status.generation < standing.generation and not invalid:
            return None
        known = shapes.Known(
            standing=standing,
            inventory=self._inventory,
            now=datetime.now(UTC),
            status=status,
            invalid=invalid,
            addresses=self._standings.addresses(ref.namespace, ref.name),
            settled=self._settled,
        )
        return shapes.body(ref.kind, known)

    def _to_write(self, ref: ObjectRef, standing: Standing) -> shapes.Body | None:
        """Give what has to be written; None when what stands there is right."""
        made = self._body(ref, standing)
        if made is None:
            return None
        applied = self._applied.get(ref)
        if applied is not None and applied.uid == standing.uid and applied.sent == made:
            # The server had its reasons to make of it what it did: an older CRD, for one.
            return made if shapes.differs(made, standing.status) and (
                shapes.ours(made, standing.status) != shapes.ours(made, applied.became)
            ) else None  # fmt: skip
        if shapes.differs(made, standing.status) or shapes.leftovers(made, standing.status):
            return made
        return None

    # ------------------------------------------------------------------------------ the leader
    async def run(self) -> None:
        """Wait for the Lease, write while it is ours, and wait again; ends when cancelled."""
        async with asyncio.TaskGroup() as group:
            exchange = self.replicas.run(lambda: self.leading)
            group.create_task(exchange, name="reports of proxies")
            group.create_task(self._elector.run(self._lead), name="election")

    async def _lead(self) -> None:
        self._agenda = Agenda(self._pace)
        self._applied.clear()
        self._told.clear()
        self._free = _AT_ONCE
        if self._offered:
            for ref in self._everything():
                self._agenda.add(ref, time.monotonic())
        async with asyncio.TaskGroup() as group:
            group.create_task(self._events.run(), name="events")
            for duty in self._beside:
                group.create_task(duty.lead(), name="beside status")
            while True:
                now = time.monotonic()
                for ref in self._agenda.take(now, self._free):
                    self._free -= 1
                    group.create_task(self._handle(ref), name=f"status of {ref}")
                await self._nap()

    async def _nap(self) -> None:
        """Wait until something is due, or has changed, or a write has ended."""
        at = self._agenda.next_at() if self._free else None
        left = None if at is None else max(0.01, at - time.monotonic())
        try:
            async with asyncio.timeout(left):
                await self._wake.wait()
        except TimeoutError:
            return
        self._wake.clear()

    async def _handle(self, ref: ObjectRef) -> None:
        """Bring one object's status up to date, or have it tried again."""
        try:
            await self._bring(ref)
        except UnavailableError as error:
            self._count(ref, "unavailable")
            delay = self._agenda.lost_server(ref, time.monotonic(), error.retry_after)
            log.debug("Status has to wait", object=str(ref), error=str(error), seconds=delay)
        except KubeError as error:
            self._count(ref, "refused")
            self._failed(ref, str(error))
        except Exception as error:
            # A fault of ours, in one object: the others, and the proxies, have to be served.
            log.exception("Status cannot be written", object=str(ref))
            self._count(ref, "fault")
            self._failed(ref, f"internal error ({type(error).__name__})")
        finally:
            self._agenda.done(ref)
            self._free += 1
            self._wake.set()

    async def _bring(self, ref: ObjectRef) -> None:
        standing = self._standings.get(ref)
        if standing is None:
            self._applied.pop(ref, None)
            self._agenda.forget(ref)
            return
        made = self._to_write(ref, standing)
        if made is None or not self.leading:
            self._agenda.settled(ref)
            return
        numbers = shapes.numbers_only(made, standing.status)
        if not self._agenda.may_write(ref, time.monotonic(), numbers=numbers):
            return
        try:
            await self._write(ref, standing, made)
        except (ConflictError, NotFoundError) as error:
            await self._look(ref, error)

    async def _write(self, ref: ObjectRef, standing: Standing, made: shapes.Body) -> None:
        started = time.monotonic()
        # The parents of a route are one value: others' are sent along as they were read.
        atomic = "parents" in made
        obj = await apply_status(
            self._session,
            TYPES[ref.kind],
            (ref.namespace, ref.name),
            made,
            resource_version=standing.version if atomic else None,
        )
        self._count(ref, "written")
        self._agenda.written(ref, started)
        self._agenda.settled(ref)
        self._told.pop(ref, None)
        # Of an object that has taken the name just now the next look is about.
        if obj["metadata"].get("uid") == standing.uid:
            became = obj.get("status") or {}
            self._applied[ref] = _Applied(standing.uid, made, became)
            self._tell(obj, standing.status, became)
        self._standings.wrote(ref, obj)

    async def _look(self, ref: ObjectRef, error: KubeError) -> None:
        """After a refusal that may be about an object which is another by now: read it."""
        kind = TYPES[ref.kind]
        try:
            obj = await self._session.get(kind, ref.name, ref.namespace or None)
        except NotFoundError:
            log.debug("Object is gone", object=str(ref))
            self._standings.forget(ref)
            self._agenda.forget(ref)
            return
        self._count(ref, "conflict" if isinstance(error, ConflictError) else "refused")
        self._standings.wrote(ref, obj)
        self._failed(ref, str(error), quiet=isinstance(error, ConflictError))

    # --------------------------------------------------------------------------------- telling
    def _failed(self, ref: ObjectRef, why: str, *, quiet: bool = False) -> None:
        delay = self._agenda.failed(ref, time.monotonic())
        if not quiet and self._told.get(ref) != why:
            self._told[ref] = why
            log.warning("Status not written", object=str(ref), error=why, retry_in=round(delay, 2))

    def _count(self, ref: ObjectRef, outcome: str) -> None:
        self._writes.labels(ref.kind, outcome).inc()

    def _tell(self, obj: Object, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        about = regarding(obj)
        for one in news(before, after):
            self._events.record(Happening(about, one.type, one.reason, "UpdateStatus", one.note))
