"""One round: read sales and targets from the server, take the next step, until none is left.

What cannot be done for one sale or target is left for the next round, and keeps no other waiting.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import structlog

from controlplane.kube import (
    ConflictError,
    ForbiddenError,
    Happening,
    KubeError,
    NotFoundError,
    regarding,
)
from controlplane.model import FlashSale
from controlplane.scaling import api
from controlplane.scaling.news import news
from controlplane.scaling.plan import Obstacles, permitted, plan
from controlplane.scaling.targets import NOT_PERMITTED, Observed, Trouble
from controlplane.sources.standings import Standing
from controlplane.translate.grants import fault

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping
    from datetime import datetime

    from prometheus_client import Counter

    from controlplane.kube import EventRecorder, Object, Session
    from controlplane.model import Inventory, ObjectRef
    from controlplane.scaling.plan import Plan, Write
    from controlplane.scaling.rush import Sale
    from controlplane.scaling.targets import Change
    from controlplane.sources.standings import Standings

log = structlog.get_logger(__name__)
AT_ONCE: Final = 8
"""Requests that are under way at the same time, at the most."""
MOST_STEPS: Final = 16
"""Steps of one round; what is left then waits for the next."""


@dataclass(frozen=True, slots=True)
class Server:
    """Where a round reads and writes, and whom it tells."""

    session: Session
    standings: Standings
    leading: Callable[[], bool]
    """Asked before each write."""
    events: EventRecorder
    changes: Counter


@dataclass(slots=True)
class Round:
    """One round, and what it comes to know."""

    server: Server
    inventory: Inventory
    now: datetime
    failed: str = ""
    """Why another must follow soon."""
    _obstacles: dict[ObjectRef, Trouble] = field(default_factory=dict)
    _refused: dict[ObjectRef, str] = field(default_factory=dict)
    _objects: dict[ObjectRef, Object] = field(default_factory=dict)
    _stuck: set[ObjectRef] = field(default_factory=set)
    """Sales and targets to leave alone until the next round."""
    _limit: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))

    async def run(self, refs: Iterable[ObjectRef]) -> bool:
        """Do what there is to do for these sales; gives whether something has to be watched.

        Raises:
            KubeError: a sale cannot be read.
        """
        wanted = sorted(refs)
        for _ in range(MOST_STEPS):
            step = await self._planned(await self._read(wanted))
            if step.troubled:
                self.failed = self.failed or "a target cannot be scaled: see its sale"
            if step.quiet or not self.server.leading():
                return step.watchful
            await self._all(map(self._write, step.writes))
            await self._all(map(self._change, step.changes))
        self.failed = self.failed or "others changed it at the same time"
        return True

    # --------------------------------------------------------------------------------- reading
    async def _read(self, refs: Iterable[ObjectRef]) -> list[Sale]:
        """Read sales, all of them or none: one that is missing may hold what another wants."""
        errors: list[KubeError] = []

        async def one(ref: ObjectRef) -> Sale | None:
            try:
                obj = await api.read_sale(self.server.session, ref)
            except NotFoundError:
                return None
            except KubeError as error:
                errors.append(error)
                return None
            self._objects[ref] = obj
            known = self.inventory.get(FlashSale, ref.namespace, ref.name)
            spec = api.spec_of(obj, None if known is None else known.spec)
            return api.sale_of(ref, Standing.of(obj), spec)

        found = await self._all(map(one, refs))
        if errors:
            raise errors[0]
        return [sale for sale in found if sale is not None]

    async def _planned(self, sales: Iterable[Sale]) -> Plan:
        """Tell the next step, without what cannot be done in this round."""
        sales = tuple(sales)
        seen = await self._look(sales)
        obstacles = Obstacles(self._obstacles, self._refused)
        step = plan(sales, seen, self._fault, self.now, obstacles)
        writes = tuple(one for one in step.writes if one.sale.ref not in self._stuck)
        return replace(step, writes=writes)

    async def _look(self, sales: Iterable[Sale]) -> Mapping[ObjectRef, Observed | Trouble]:
        """See what targets have, but of none that nobody may refer to."""
        seen: dict[ObjectRef, Observed | Trouble] = {}

        async def one(target: ObjectRef) -> None:
            try:
                seen[target] = await api.read_target(self.server.session, target)
            except KubeError as error:
                self.failed = str(error)
                self._stuck.add(target)

        to_see = []
        for target, why in sorted(permitted(sales, self._fault, self.now).items()):
            if why:
                seen[target] = Trouble(NOT_PERMITTED, why)
            elif target not in self._stuck:
                to_see.append(target)
        await self._all(map(one, to_see))
        return seen

    def _fault(self, source: ObjectRef, target: ObjectRef) -> str:
        return fault(source, target, self.inventory)

    # --------------------------------------------------------------------------------- writing
    async def _write(self, write: Write) -> None:
        ref = write.sale.ref
        try:
            obj = await self._written(write, self._objects[ref])
        except ForbiddenError as error:
            self._forbidden(write, error)
        except (ConflictError, NotFoundError) as error:
            log.debug("Sale has changed", sale=str(ref), error=str(error))
        except KubeError as error:
            self.failed = str(error)
            self._stuck.add(ref)
        else:
            self.server.standings.wrote(ref, obj)

    async def _written(self, write: Write, obj: Object) -> Object:
        """Guard the sale, then write its status; take the guard away only after that stands."""
        session, sale = self.server.session, write.sale
        if write.guard and not sale.guarded and self.server.leading():
            obj = await api.guard(session, sale, obj, on=True)
        if write.status is not None and self.server.leading():
            obj = await api.write_status(session, write, str(obj["metadata"]["resourceVersion"]))
            self._tell(write, obj)
        elif sale.guarded and not write.guard and self.server.leading():
            obj = await api.guard(session, sale, obj, on=False)
        return obj

    def _forbidden(self, write: Write, error: KubeError) -> None:
        ref = write.sale.ref
        self._obstacles[ref] = api.forbidden(ref, error)
        self.failed = self._obstacles[ref].message
        if write.sale.guarded or not write.guard:  # no part of its status could tell it
            self._stuck.add(ref)

    def _tell(self, write: Write, obj: Object) -> None:
        about = regarding(obj)
        for one in news(write.sale.recorded, write.recorded):
            log.info(one.reason, sale=str(write.sale.ref), what=one.note)
            self.server.events.record(Happening(about, one.type, one.reason, "Scale", one.note))

    async def _change(self, change: Change) -> None:
        if not self.server.leading():
            return
        target, outcome = change.target, "refused"
        try:
            await api.change(self.server.session, change)
            outcome = "changed"
        except (ConflictError, NotFoundError) as error:
            outcome = "conflict"
            log.debug("Target has changed", target=str(target), error=str(error))
        except ForbiddenError as error:
            self._refused[target] = api.forbidden(target, error).message
        except KubeError as error:
            self._refused[target] = str(error)
        self.server.changes.labels(target.kind, outcome).inc()

    async def _all(self, calls: Iterable[Awaitable[Any]]) -> list[Any]:
        """Do all, some at the same time; the answers in their order."""

        async def one(call: Awaitable[Any]) -> Any:
            async with self._limit:
                return await call

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(call)) for call in calls]
        return [task.result() for task in tasks]
