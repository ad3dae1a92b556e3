"""What replicas know of each other's proxies: ours are told, and those of others heard of.

Each replica has a ConfigMap of its own, and every replica follows them all, so that each can say
how things stand, and a new leader need not ask around. Without the right to these ConfigMaps a
replica speaks of its own proxies, and says so.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import time
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

import structlog

from controlplane.kube import (
    CONFIG_MAPS,
    Deleted,
    GoneError,
    Interrupted,
    KubeError,
    Listed,
    NotFoundError,
    Put,
    UnauthorizedError,
    UnavailableError,
    reflect,
)
from controlplane.model import Problem
from controlplane.status.known_reports import NORMAL, KnownReports
from controlplane.status.replica_report import ReplicaReport, ReportError, decode
from controlplane.status.report_writer import KEY, LABEL, ReportWriter

if TYPE_CHECKING:
    from collections.abc import Callable

    from prometheus_client import CollectorRegistry

    from controlplane.kube import Change, Key, Object, Session
    from controlplane.status.known_reports import ReplicaTerms
    from controlplane.status.report_writer import Make

log = structlog.get_logger(__name__)
_LOOK: Final = 0.5
"""Seconds between two looks at what has grown old."""


class ReplicaExchange:
    """Has our report written, and follows those of others; see `ReportWriter` for the arguments."""

    def __init__(
        self,
        session: Session,
        *,
        lease: Key,
        identity: str,
        registry: CollectorRegistry,
        terms: ReplicaTerms = NORMAL,
    ) -> None:
        self.identity = identity
        self._session = session
        self._namespace, self._lease = lease
        self._terms = terms
        self._writer = ReportWriter(
            session, lease=lease, identity=identity, registry=registry, terms=terms
        )
        self._known = KnownReports(terms)
        self._listed = False
        self._alone = ""
        self._refused_since: float | None = None
        self._serving_since: float | None = None
        self._settled = False
        self._told: tuple[object, ...] = ()
        self._callbacks: list[Callable[[], None]] = []

    def on_change(self, callback: Callable[[], None]) -> None:
        """Call back whenever what is known of other replicas has changed."""
        self._callbacks.append(callback)

    def offer(self, make: Make) -> None:
        """Say that our proxies may have changed; `make` tells how they are when it is asked.

        To be called once proxies are served, and not before: one that came to us and could not be
        told anything yet has what it had.
        """
        if self._serving_since is None:
            self._serving_since = time.monotonic()
        self._writer.offer(make)

    @property
    def reports(self) -> tuple[ReplicaReport, ...]:
        """The reports of other replicas that count now."""
        return () if self._alone else self._known.counted()

    @property
    def unread(self) -> tuple[str, ...]:
        """Which reports cannot be read, and why."""
        return () if self._alone else self._known.unread()

    @property
    def alone(self) -> str:
        """Why other replicas are not known; empty when they are, or will be in a moment."""
        return self._alone

    @property
    def settled(self) -> bool:
        """Whether what is known of proxies is fit to be said.

        Reports were listed (or we may not), and proxies had the time to come to us.
        """
        began = self._serving_since
        if not self._settled and began is not None and (self._listed or self._alone):
            self._settled = time.monotonic() - began >= self._terms.reconnect
        return self._settled

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What keeps replicas from knowing of each other."""
        found = [*self._writer.problems, *self.unread]
        if self._alone:
            found.append(f"{self._alone}; status speaks of the proxies of this replica alone")
        return tuple(Problem(None, one, "Replicas", severity="warning") for one in found)

    # ------------------------------------------------------------------------------------ running
    async def run(self, leading: Callable[[], bool]) -> None:
        """Write and follow until cancelled; then our own report is taken away."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._writer.run(), name="own report")
            group.create_task(self._follow(), name="reports of replicas")
            group.create_task(self._look_on(leading), name="old reports")

    async def _look_on(self, leading: Callable[[], bool]) -> None:
        """See what has grown old, and have the leader tidy up."""
        tried: dict[str, float] = {}
        while True:
            await asyncio.sleep(_LOOK)
            self._tell()
            now = time.monotonic()
            tried = {name: at for name, at in tried.items() if now - at < self._terms.stale}
            for name, uid in self._known.dead() if leading() else ():
                if name not in tried:
                    tried[name] = now
                    await self._tidy(name, uid)

    async def _tidy(self, name: str, uid: str) -> None:
        try:
            await self._session.delete(CONFIG_MAPS, name, self._namespace, uid=uid)
            log.info("Deleted the report of a replica that is gone", name=name)
        except NotFoundError:
            log.debug("Report is gone already", name=name)
        except KubeError as error:
            log.warning("Could not delete an old report", name=name, error=str(error))

    def _tell(self) -> None:
        """Call back if anything is other than when that was done last."""
        now = (self.reports, self.problems, self.settled)
        if now != self._told:
            self._told = now
            for callback in self._callbacks:
                callback()

    # ---------------------------------------------------------------------------------- following
    async def _follow(self) -> None:
        labels = f"{LABEL}={self._lease}"
        changes = reflect(self._session, CONFIG_MAPS, self._namespace, labels=labels)
        async with aclosing(changes):
            async for change in changes:
                await self._take(change)
                self._tell()

    async def _take(self, change: Change) -> None:
        if isinstance(change, Interrupted):
            self._interrupted(change.error)
            return
        self._known.heard()
        self._refused_since = None
        if isinstance(change, Listed):
            for _, name in change.deleted:
                self._known.leave(name)
            for key in change.changed:
                await self._see(key, change.objects[key])
            self._listed = True
            self._alone = ""
        elif isinstance(change, Put):
            await self._see(change.key, change.obj)
        elif isinstance(change, Deleted):
            self._known.leave(change.key[1])

    async def _see(self, key: Key, obj: Object) -> None:
        name, uid = key[1], str(obj["metadata"].get("uid") or "")
        if name == self._writer.name:
            return
        try:
            report = await asyncio.to_thread(_read, obj)
        except ReportError as error:
            if not self._known.is_unread(name, str(error)):
                log.warning("Cannot read the report of a replica", name=name, error=str(error))
            self._known.see(name, uid, None, str(error))
        else:
            self._known.see(name, uid, report)

    def _interrupted(self, error: KubeError) -> None:
        """Without the right to know of others we speak of our own proxies.

        While the API server is away, what was told last stands. So it does for a while when one
        that told us before refuses: as long as it has just started, it refuses everybody.
        """
        if isinstance(error, UnavailableError | GoneError | UnauthorizedError):
            return
        now = time.monotonic()
        self._refused_since = self._refused_since or now
        if self._listed and not self._alone and now - self._refused_since < self._terms.stale:
            return
        if self._alone != str(error):
            log.warning("Cannot tell which proxies other replicas have", error=str(error))
        self._alone = str(error)


def _read(obj: Object) -> ReplicaReport:
    try:
        data = base64.b64decode((obj.get("binaryData") or {})[KEY], validate=True)
    except (LookupError, TypeError, binascii.Error, ValueError) as error:
        raise ReportError(f"it has no {KEY}") from error
    return decode(data)
