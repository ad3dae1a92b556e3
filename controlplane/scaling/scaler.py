"""Scales what sales ask for, on the one replica that leads, and puts it back.

It remembers nothing that matters: each round reads sales and targets from the server and does
what is left to do, step by step. A round begins when a sale has changed, when a rush begins or
ends, and every now and then while something is scaled.
"""

from __future__ import annotations

import asyncio
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog
from prometheus_client import Counter

from controlplane.kube import EventRecorder, KubeError, Reporter
from controlplane.kube.backoff import Backoff
from controlplane.model import FlashSale, Inventory, ReferenceGrant
from controlplane.model.gateway import CONTROLLER_NAME
from controlplane.scaling import api
from controlplane.scaling.plan import plan, to_look_at
from controlplane.scaling.round import Round, Server
from controlplane.translate.grants import fault

if TYPE_CHECKING:
    from collections.abc import Callable

    from prometheus_client import CollectorRegistry

    from controlplane.kube import Session
    from controlplane.model import ObjectRef
    from controlplane.scaling.rush import Sale
    from controlplane.sources.standings import Standing, Standings

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Rhythm:
    """Seconds between two looks."""

    settle: float = 0.25
    """After a change, as more may come."""
    watchful: float = 30.0
    """At what is scaled."""
    longest: float = 60.0
    """However far away the next rush is: wall clocks are set, and machines sleep."""
    shortest_retry: float = 1.0
    longest_retry: float = 30.0


class Scaler:
    """Scales while `lead` runs.

    Args:
        session: to the API server.
        standings: the sales as the watch tells of them.
        leading: whether this replica may write now; asked before each write.
        registry: where changes are counted.
        rhythm: of its looks.
        now: the wall clock.
    """

    def __init__(
        self,
        session: Session,
        standings: Standings,
        leading: Callable[[], bool],
        *,
        registry: CollectorRegistry,
        rhythm: Rhythm | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._standings = standings
        self._rhythm = rhythm or Rhythm()
        self._now = now
        self.rounds = 0
        """How often it has looked."""
        self._events = EventRecorder(session, Reporter(CONTROLLER_NAME, platform.node()))
        self._inventory = Inventory()
        self._offered = asyncio.Event()
        self._wake = asyncio.Event()
        self._marks: dict[ObjectRef, object] = {}
        changes = Counter(
            "sluice_scaling_changes",
            "Changes of Deployments and HorizontalPodAutoscalers, by what came of them",
            ("kind", "outcome"),
            registry=registry,
        )
        self._server = Server(session, standings, leading, self._events, changes)
        standings.on_change(self._seen)

    # ------------------------------------------------------------------------ what wakes it up
    def offer(self, inventory: Inventory) -> None:
        """Take the newest objects: sales, and who may refer to what."""
        before, self._inventory = self._inventory, inventory
        same = before.all(FlashSale) == inventory.all(FlashSale)
        same = same and before.all(ReferenceGrant) == inventory.all(ReferenceGrant)
        if not same or not self._offered.is_set():
            self._offered.set()
            self._wake.set()

    def _seen(self, ref: ObjectRef) -> None:
        """Look again, if what has changed of a sale is any of our business."""
        if ref.kind != "FlashSale":
            return
        standing = self._standings.get(ref)
        mark = None if standing is None else _mark(standing)
        if mark != self._marks.get(ref):
            self._wake.set()
        if mark is None:
            self._marks.pop(ref, None)
        else:
            self._marks[ref] = mark

    # ------------------------------------------------------------------------------ the leader
    async def lead(self) -> None:
        """Scale; ends only when cancelled."""
        backoff = Backoff(self._rhythm.shortest_retry, self._rhythm.longest_retry)
        told = ""
        await self._offered.wait()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._events.run(), name="scaling events")
            while True:
                self._wake.clear()
                failed, nap = await self._tried()
                if failed:
                    nap = min(nap, backoff.delay())
                    if failed != told:
                        log.warning("Scaling has to wait", error=failed, retry_in=round(nap, 1))
                else:
                    backoff.reset()
                told = failed
                await self._sleep(nap)

    async def _tried(self) -> tuple[str, float]:
        """Do a round; gives why another must follow soon, and the seconds until it must."""
        self.rounds += 1
        try:
            return await self._round()
        except KubeError as error:
            return str(error), self._rhythm.longest
        except Exception as error:
            # A fault of ours: the status of everything has to be written all the same.
            log.exception("Scaling failed")
            return f"internal error ({type(error).__name__})", self._rhythm.longest

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return
        await asyncio.sleep(self._rhythm.settle)

    async def _round(self) -> tuple[str, float]:
        now = self._now()
        known = (self._cached(ref, one) for ref, one in self._standings.of_kind("FlashSale"))
        sales = [sale for sale in known if sale.concerned]
        busy = [sale.ref for sale in sales if not self._idle(sale, now)]
        this = Round(self._server, self._inventory, now)
        nap = self._rhythm.longest
        if busy and await this.run(busy):
            nap = self._rhythm.watchful
        borders = [sale.next_border(now) for sale in sales]
        soonest = min((one for one in borders if one is not None), default=None)
        if soonest is not None:
            nap = min(nap, max(0.0, (soonest - self._now()).total_seconds()) + 0.001)
        return this.failed, nap

    def _idle(self, sale: Sale, now: datetime) -> bool:
        """Whether a sale, as far as the watch tells, has nothing to do with us now."""
        if to_look_at(sale, now):
            return False
        return plan([sale], {}, lambda one, two: fault(one, two, self._inventory), now).quiet

    def _cached(self, ref: ObjectRef, standing: Standing) -> Sale:
        known = self._inventory.get(FlashSale, ref.namespace, ref.name)
        return api.sale_of(ref, standing, None if known is None else known.spec)


def _mark(standing: Standing) -> object:
    """What of a sale has to be looked at when it changes."""
    return (
        standing.uid,
        standing.generation,
        standing.deleting,
        standing.finalizers,
        standing.status.get("state"),
        api.said_of(standing.status),
    )
