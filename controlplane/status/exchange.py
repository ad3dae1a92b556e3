"""Tells other replicas of our proxies, and hears of theirs: one ConfigMap for each replica.

Whatever goes wrong here, proxies are served as ever. Without the right to these ConfigMaps a
replica speaks of its own proxies, and says so.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
import time
from contextlib import aclosing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import structlog
from prometheus_client import Counter

from controlplane.kube import (
    Deleted,
    GoneError,
    Interrupted,
    KubeError,
    Listed,
    NotFoundError,
    Put,
    ResourceType,
    UnauthorizedError,
    UnavailableError,
    apply,
    reflect,
)
from controlplane.kube.backoff import Backoff
from controlplane.model import Problem
from controlplane.model.durations import format_instant
from controlplane.status.known_reports import NORMAL, KnownReports
from controlplane.status.replica_report import ReplicaReport, ReportError, decode, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from prometheus_client import CollectorRegistry

    from controlplane.kube import Change, Key, Object, Session
    from controlplane.status.known_reports import ReplicaTerms
    from controlplane.status.replica_report import ReportedGateway

    Make = Callable[[], Mapping[str, ReportedGateway]]

log = structlog.get_logger(__name__)
CONFIG_MAPS: Final = ResourceType("", "v1", "configmaps", "ConfigMap")
LABEL: Final = "sluice.dev/replica-report"
"""Names the Lease for which the replicas stand."""
KEY: Final = "report.json.gz"
_LONGEST_NAME: Final = 200
_WITHDRAWAL: Final = 3.0
"""Seconds for taking our own report away at the end."""
_LOOK: Final = 0.5
"""Seconds between two looks at what has grown old."""


def object_name(identity: str) -> str:
    """Name the ConfigMap of a replica."""
    words = re.sub(r"[^a-z0-9]+", "-", identity.lower())
    return f"sluice-replica-{words[-_LONGEST_NAME:].strip('-')}"


class ReplicaExchange:
    """Writes our report, and follows those of others.

    Args:
        session: to the API server.
        lease: namespace and name of the Lease; reports are in the same namespace.
        identity: ours.
        registry: where writes are counted.
        terms: how often, and how long.
    """

    def __init__(
        self,
        session: Session,
        *,
        lease: Key,
        identity: str,
        registry: CollectorRegistry,
        terms: ReplicaTerms = NORMAL,
    ) -> None:
        self._session = session
        self._namespace, self._lease = lease
        self._identity = identity
        self._name = object_name(identity)
        self._terms = terms
        self._known = KnownReports(terms)
        self._listed = False
        self._alone = ""
        self._unwritten = ""
        self._left_out = ""
        self._serving_since: float | None = None
        self._settled = False
        self._make: Make | None = None
        self._changed = asyncio.Event()
        self._written: ReplicaReport | None = None
        self._beat = 0
        self._told: tuple[object, ...] = ()
        self._callbacks: list[Callable[[], None]] = []
        self._writes = Counter(
            "sluice_replica_report_writes",
            "Writes of the report of our proxies to the API server, by what came of them",
            ("outcome",),
            registry=registry,
        )

    # -------------------------------------------------------------------------------- for others
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
        self._make = make
        self._changed.set()

    @property
    def reports(self) -> tuple[ReplicaReport, ...]:
        """The reports of other replicas that count now."""
        return () if self._alone else self._known.counted()

    @property
    def unread(self) -> tuple[str, ...]:
        """Which reports cannot be read, and why."""
        return self._known.unread()

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
        found = []
        if self._alone:
            found.append(f"{self._alone}; status speaks of the proxies of this replica alone")
        if self._unwritten:
            found.append(f"{self._unwritten}; other replicas do not count the proxies of this one")
        if self._left_out:
            found.append(
                f"the report {self._name} is too large and leaves out {self._left_out}; other "
                "replicas count its proxies, and nothing as in force there that it does not tell"
            )
        found += self._known.unread()
        return tuple(Problem(None, one, "Replicas", severity="warning") for one in found)

    # ------------------------------------------------------------------------------------ running
    async def run(self, leading: Callable[[], bool]) -> None:
        """Follow and write until cancelled; then our own report is taken away."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._follow(), name="reports of replicas")
                group.create_task(self._write_on(), name="own report")
                group.create_task(self._look_on(leading), name="old reports")
        finally:
            await self._withdraw()

    async def _look_on(self, leading: Callable[[], bool]) -> None:
        """See what has grown old, and have the leader tidy up."""
        refused: dict[str, float] = {}
        while True:
            await asyncio.sleep(_LOOK)
            self._tell()
            for name, uid in self._known.dead() if leading() else ():
                if refused.get(name, 0.0) > time.monotonic():
                    continue
                try:
                    await self._session.delete(CONFIG_MAPS, name, self._namespace, uid=uid)
                    log.info("Deleted the report of a replica that is gone", name=name)
                except NotFoundError:
                    log.debug("Report is gone already", name=name)
                except KubeError as error:
                    log.warning("Could not delete an old report", name=name, error=str(error))
                refused[name] = time.monotonic() + self._terms.stale

    def _tell(self) -> None:
        """Call back if anything is other than when that was done last."""
        now = (self._known.counted(), self._known.unread(), self._alone, self.settled)
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
        if isinstance(change, Listed):
            for name in change.deleted:
                self._known.leave(name[1])
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
        if name == self._name:
            return
        try:
            # A thread of its own: a large fleet makes a large report.
            report = await asyncio.to_thread(_read, obj)
        except ReportError as error:
            if not any(name in one for one in self._known.unread()):
                log.warning("Cannot read the report of a replica", name=name, error=str(error))
            self._known.see(name, uid, None, str(error))
        else:
            self._known.see(name, uid, report)

    def _interrupted(self, error: KubeError) -> None:
        """Without the right to know of others we speak of our own proxies.

        While the API server is away, what was told last stands.
        """
        if isinstance(error, UnavailableError | GoneError | UnauthorizedError):
            return
        if self._alone != str(error):
            log.warning("Cannot tell which proxies other replicas have", error=str(error))
        self._alone = str(error)

    # ------------------------------------------------------------------------------------ writing
    async def _write_on(self) -> None:
        """Write our report when it has changed, and as heartbeat."""
        backoff = Backoff(self._terms.shortest, self._terms.longest)
        wrote_at: float | None = None
        while True:
            await self._wait(wrote_at)
            make = self._make
            if make is None:
                continue
            made = ReplicaReport(self._identity, gateways=make())
            due = wrote_at is None or time.monotonic() - wrote_at >= self._terms.heartbeat
            if not due and self._written is not None and made.same_as(self._written):
                continue
            began = time.monotonic()
            try:
                await self._write(made)
            except (KubeError, ReportError) as error:
                self._failed(error)
                self._changed.set()
                at_least = error.retry_after if isinstance(error, UnavailableError) else 0.0
                await asyncio.sleep(backoff.delay(at_least))
            else:
                wrote_at = began
                backoff.reset()
                self._unwritten = ""
                await asyncio.sleep(max(0.0, began + self._terms.apart - time.monotonic()))

    async def _wait(self, wrote_at: float | None) -> None:
        """Wait for a change and what comes with it, or until a heartbeat is due."""
        left = None
        if wrote_at is not None:
            left = max(0.0, wrote_at + self._terms.heartbeat - time.monotonic())
        try:
            async with asyncio.timeout(left):
                await self._changed.wait()
                await asyncio.sleep(self._terms.settle)
        except TimeoutError:
            return
        finally:
            self._changed.clear()

    async def _write(self, made: ReplicaReport) -> None:
        self._beat += 1
        at = format_instant(datetime.now(UTC).replace(microsecond=0))
        report = ReplicaReport(self._identity, at, self._beat, made.gateways)
        data, left_out = await asyncio.to_thread(encode, report)
        if left_out and left_out != self._left_out:
            log.warning("The report for other replicas is too large", left_out=left_out)
        self._left_out = left_out
        body = {
            "metadata": {
                "name": self._name,
                "namespace": self._namespace,
                "labels": {LABEL: self._lease, "app.kubernetes.io/name": "sluice"},
            },
            "binaryData": {KEY: base64.b64encode(data).decode()},
        }
        await apply(self._session, CONFIG_MAPS, body)
        self._writes.labels("written").inc()
        self._written = report

    def _failed(self, error: KubeError | ReportError) -> None:
        away = isinstance(error, UnavailableError)
        self._writes.labels("unavailable" if away else "refused").inc()
        # Of an API server that is away those tell who cannot do without it.
        why = "" if away else f"cannot write the report {self._name}: {error}"
        if why and why != self._unwritten:
            log.warning("Other replicas cannot be told of our proxies", error=str(error))
        self._unwritten = why or self._unwritten

    async def _withdraw(self) -> None:
        """Take our report away, so that nobody waits for what we say next."""
        if not self._beat:
            return
        try:
            async with asyncio.timeout(_WITHDRAWAL):
                await self._session.delete(CONFIG_MAPS, self._name, self._namespace)
        except NotFoundError:
            log.debug("Our report is gone already", name=self._name)
        except (KubeError, TimeoutError) as error:
            log.warning("Could not take back our report", error=str(error) or "no answer")


def _read(obj: Object) -> ReplicaReport:
    try:
        data = base64.b64decode((obj.get("binaryData") or {})[KEY], validate=True)
    except (LookupError, TypeError, binascii.Error, ValueError) as error:
        raise ReportError(f"it has no {KEY}") from error
    return decode(data)
