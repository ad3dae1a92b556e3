"""Puts the status together, and remembers it, so that transition times are times of transitions."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from controlplane.ledger.state import BOOKS_LOST
from controlplane.model import Condition, FlashSale, QuotaPolicy, merge
from controlplane.status import quotas, sales
from controlplane.status.objects import ObjectStatus, PartStatus, Proxies, SaleStatus, Status
from controlplane.status.programmed import count, programmed
from controlplane.status.replicas import PROGRAMMED, Fleet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from controlplane.ledger.state import SaleState
    from controlplane.model import Inventory, ObjectRef, Problem
    from controlplane.status.programmed import Deliver
    from controlplane.translate import QuotaPlan, SalePlan
    from controlplane.translate.report import Report, Verdict


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that a status is made from.

    `troubles` of Redis servers are by their address; `fleet` are the proxies of other replicas.
    """

    inventory: Inventory
    problems: tuple[Problem, ...]
    report: Report
    plans: tuple[SalePlan, ...]
    deliver: Deliver
    states: Mapping[str, SaleState] = field(default_factory=dict)
    ready: bool = True
    quotas: tuple[QuotaPlan, ...] = ()
    troubles: Mapping[str, str] = field(default_factory=dict)
    fleet: Fleet = field(default_factory=Fleet)


class Tracker:
    """Makes each status from facts and the status before."""

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = now
        self.status = Status()

    def observe(self, facts: Facts) -> Status:
        """Give the status now; equal facts give an equal status."""
        before = {one.ref: one for one in self.status.objects}
        now = self._now()
        plans = {plan.ref: plan for plan in facts.plans}
        made = [
            self._object(ref, tuple(verdicts), facts, plans.get(ref), before.get(ref), now)
            for ref, verdicts in itertools.groupby(
                facts.report.verdicts, key=lambda verdict: verdict.ref
            )
        ]
        problems = (*facts.problems, *facts.report.problems)
        self.status = Status(tuple(made), problems, facts.ready)
        return self.status

    def seconds_to_next_change(self, facts: Facts) -> float | None:
        """Tell when the status changes although no fact does: a window opens or closes."""
        now = self._now()
        found = [
            sales.next_change(sale, facts.states.get(sale.books), now)
            for sale in facts.inventory.all(FlashSale)
        ]
        return min((seconds for seconds in found if seconds is not None), default=None)

    def _object(
        self,
        ref: ObjectRef,
        verdicts: tuple[Verdict, ...],
        facts: Facts,
        plan: SalePlan | None,
        before: ObjectStatus | None,
        now: datetime,
    ) -> ObjectStatus:
        whole = [one for verdict in verdicts if not verdict.place for one in verdict.conditions]
        resource = facts.inventory.find(ref)
        generation = resource.metadata.generation if resource is not None else 1
        uid = resource.metadata.uid if resource is not None else ""
        if before is not None and before.uid != uid:
            before = None  # what was said of another object of that name
        proxies, live = Proxies(), None
        if ref.kind in PROGRAMMED and _in_force(verdicts):
            keys = facts.report.resources(ref)
            proxies, refused = count(ref, (uid, generation), keys, facts.deliver, facts.fleet)
            live = programmed(proxies, refused, generation, facts.fleet)
            whole = _with(whole, live)
        sale = None
        if isinstance(resource, FlashSale):
            sale = sales.sale_status(resource, plan, facts.states.get(resource.books), now)
            if live is not None:
                unusable = next(
                    (one.message for one in whole if one.type == sales.BOOKS_USABLE), ""
                )
                whole = _with(whole, sales.ready(sale, live, generation, unusable))
                whole += _of_books(sale, generation)
        quota = None
        if isinstance(resource, QuotaPolicy):
            quota = quotas.quota_status(resource, facts.quotas, facts.troubles)
            if live is not None:
                whole = _with(whole, quotas.ready(quota, live, generation))
        known = before.conditions if before else ()
        return ObjectStatus(
            ref,
            generation,
            _dated(known, whole, now),
            self._parts(verdicts, before, now),
            proxies,
            sale,
            quota,
            uid,
        )

    def _parts(
        self, verdicts: Iterable[Verdict], before: ObjectStatus | None, now: datetime
    ) -> tuple[PartStatus, ...]:
        known = {part.name: part.conditions for part in before.parts} if before else {}
        return tuple(
            PartStatus(
                verdict.place,
                _dated(known.get(verdict.place, ()), verdict.conditions, now),
                verdict.attached_routes,
                verdict.listener,
                verdict.parent,
                verdict.supported_kinds,
            )
            for verdict in verdicts
            if verdict.place
        )


def _in_force(verdicts: Iterable[Verdict]) -> bool:
    """Whether any part of it was accepted; what is not accepted cannot be programmed."""
    accepted: list[Any] = [verdict.condition("Accepted") for verdict in verdicts]
    given = [condition for condition in accepted if condition is not None]
    return any(condition.status == "True" for condition in given)


def _with(conditions: list[Condition], added: Condition) -> list[Condition]:
    """Add a condition, unless the translation has found the same one to be false already."""
    found = next((one for one in conditions if one.type == added.type), None)
    if found is not None and found.status == "False":
        return conditions
    return [*(one for one in conditions if one.type != added.type), added]


def _of_books(sale: SaleStatus, generation: int) -> list[Condition]:
    """What is said of books only when something is wrong with them."""
    found = [short] if (short := sales.stock(sale, generation)) is not None else []
    if sale.closed == BOOKS_LOST:
        said = sales.books_lost(sale)
        found.append(Condition(BOOKS_LOST, "True", "ProxyLost", said, generation))
    return found


def _dated(
    before: Iterable[Condition], new: Iterable[Condition], now: datetime
) -> tuple[Condition, ...]:
    """Date new conditions; those that are no longer said go."""
    said = tuple(new)
    types = {condition.type for condition in said}
    return merge([one for one in before if one.type in types], said, now)
