"""Writes the report of our proxies into a ConfigMap of our own, so that other replicas know them.

Written when it has changed, and now and then as heartbeat. What cannot be written is tried again;
whatever goes wrong here, proxies are served as ever.
"""

from __future__ import annotations

import asyncio
import base64
import re
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import structlog
from prometheus_client import Counter

from controlplane.kube import CONFIG_MAPS, KubeError, NotFoundError, UnavailableError, apply
from controlplane.kube.backoff import Backoff
from controlplane.model.durations import format_instant
from controlplane.status.replica_report import ReplicaReport, ReportError, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from prometheus_client import CollectorRegistry

    from controlplane.kube import Key, Session
    from controlplane.status.known_reports import ReplicaTerms
    from controlplane.status.replica_report import ReportedGateway

    Make = Callable[[], Mapping[str, ReportedGateway]]

log = structlog.get_logger(__name__)
LABEL: Final = "sluice.dev/replica-report"
"""Names the Lease for which the replicas stand."""
KEY: Final = "report.json.gz"
_LONGEST_NAME: Final = 200
_WITHDRAWAL: Final = 3.0
"""Seconds for taking our own report away at the end."""


def object_name(identity: str) -> str:
    """Name the ConfigMap of a replica."""
    words = re.sub(r"[^a-z0-9]+", "-", identity.lower())
    return f"sluice-replica-{words[-_LONGEST_NAME:].strip('-')}"


class ReportWriter:
    """Keeps one ConfigMap up to date for as long as it runs.

    Args:
        session: to the API server.
        lease: namespace and name of the Lease; reports are in the same namespace.
        identity: ours.
        registry: where writes are counted.
        terms: how often.
    """

    def __init__(
        self,
        session: Session,
        *,
        lease: Key,
        identity: str,
        registry: CollectorRegistry,
        terms: ReplicaTerms,
    ) -> None:
        self.name = object_name(identity)
        self._session = session
        self._namespace, self._lease = lease
        self._identity = identity
        self._terms = terms
        self._make: Make | None = None
        self._changed = asyncio.Event()
        self._written: ReplicaReport | None = None
        self._beat = 0
        self._left_out = ""
        self._refused = ""
        self._writes = Counter(
            "sluice_replica_report_writes",
            "Writes of the report of our proxies to the API server, by what came of them",
            ("outcome",),
            registry=registry,
        )

    def offer(self, make: Make) -> None:
        """Say that our proxies may have changed; `make` tells how they are when it is asked."""
        self._make = make
        self._changed.set()

    @property
    def problems(self) -> tuple[str, ...]:
        """What keeps others from knowing our proxies."""
        found = []
        if self._refused:
            found.append(f"{self._refused}; other replicas do not count the proxies of this one")
        if self._left_out:
            found.append(
                f"the report {self.name} is too large and leaves out {self._left_out}; what it "
                "does not tell others do not count as in force on the proxies of this replica"
            )
        return tuple(found)

    # ------------------------------------------------------------------------------------ running
    async def run(self) -> None:
        """Write until cancelled; then take the report away."""
        try:
            await self._keep_up()
        finally:
            await self._withdraw()

    async def _keep_up(self) -> None:
        backoff = Backoff(self._terms.shortest, self._terms.longest)
        wrote_at: float | None = None
        while True:
            try:
                made = await self._next(wrote_at)
                if made is None:
                    continue
                began = time.monotonic()
                await self._write(made)
            except (KubeError, ReportError) as error:
                at_least = self._failed(error)
            except Exception as error:
                # A fault of ours must not keep proxies from being served.
                log.exception("The report of our proxies cannot be made")
                at_least = self._failed(ReportError(f"internal error ({type(error).__name__})"))
            else:
                wrote_at = began
                backoff.reset()
                self._refused = ""
                await asyncio.sleep(max(0.0, began + self._terms.apart - time.monotonic()))
                continue
            self._changed.set()
            await asyncio.sleep(backoff.delay(at_least))

    async def _next(self, wrote_at: float | None) -> ReplicaReport | None:
        """Wait until there may be something to write; gives None when there is nothing after all.

        After an edit it waits a moment for all proxies to have it: mostly that makes one write.
        """
        beat_at = None if wrote_at is None else wrote_at + self._terms.heartbeat
        due = await self._change(beat_at)
        latest = time.monotonic() + self._terms.settle
        while self._make is not None:
            made = ReplicaReport(self._identity, gateways=self._make())
            if due:
                return made
            if made.same_as(self._written):
                return None
            if not made.pending or await self._change(latest):
                return made
        return None

    async def _change(self, until: float | None) -> bool:
        """Wait for a change; gives true when there was none in time."""
        left = None if until is None else max(0.0, until - time.monotonic())
        try:
            async with asyncio.timeout(left):
                await self._changed.wait()
        except TimeoutError:
            return True
        self._changed.clear()
        return False

    async def _write(self, made: ReplicaReport) -> None:
        self._beat += 1
        at = format_instant(datetime.now(UTC).replace(microsecond=0))
        report = ReplicaReport(self._identity, at, self._beat, made.gateways)
        # A thread of its own: a large fleet makes a large report.
        data, left_out = await asyncio.to_thread(encode, report)
        if left_out and left_out != self._left_out:
            log.warning("The report for other replicas is too large", left_out=left_out)
        self._left_out = left_out
        body = {
            "metadata": {
                "name": self.name,
                "namespace": self._namespace,
                "labels": {LABEL: self._lease, "app.kubernetes.io/name": "sluice"},
            },
            "binaryData": {KEY: base64.b64encode(data).decode()},
        }
        await apply(self._session, CONFIG_MAPS, body)
        self._writes.labels("written").inc()
        self._written = report

    def _failed(self, error: KubeError | ReportError) -> float:
        """Take note of a failure; gives the seconds that the server wants us to wait."""
        if isinstance(error, UnavailableError):
            # Of an API server that is away those tell who cannot do without it.
            self._writes.labels("unavailable").inc()
            return error.retry_after
        self._writes.labels("refused").inc()
        why = f"cannot write the report {self.name}: {error}"
        if why != self._refused:
            log.warning("Other replicas cannot be told of our proxies", error=str(error))
        self._refused = why
        return 0.0

    async def _withdraw(self) -> None:
        """Take our report away: our proxies are about to go elsewhere."""
        if self._written is None and (self._refused or not self._beat):
            return
        try:
            async with asyncio.timeout(_WITHDRAWAL):
                await self._session.delete(CONFIG_MAPS, self.name, self._namespace)
        except NotFoundError:
            log.debug("Our report is gone already", name=self.name)
        except (KubeError, TimeoutError) as error:
            log.warning("Could not take back our report", error=str(error) or "no answer")
