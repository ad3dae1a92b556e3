"""The next step for all sales that scale something: pure, and worked out anew each time.

What is to be written comes first, what is to be changed only once it stands there. Done again
and again until nothing is left to do, it leads to the same end from wherever it was broken off.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from controlplane.model.meta import ObjectRef
from controlplane.scaling import targets
from controlplane.scaling.condition import scaled
from controlplane.scaling.records import Record, Recorded
from controlplane.scaling.targets import Change, Observed, Part, Trouble

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from controlplane.scaling.rush import Sale

Seen: TypeAlias = Mapping[ObjectRef, "Observed | Trouble"]
"""What was seen of each target; one that is missing could not be asked for."""


@dataclass(frozen=True, slots=True)
class Write:
    """What a sale's status is to say, and whether the sale needs our finalizer.

    `guard` is set before the status is written; when it is no more needed, it is taken away in a
    step of its own, after the status.
    """

    sale: Sale
    recorded: Recorded
    guard: bool
    status: Mapping[str, Any] | None
    """The fields that are about scaling; None when they stand there already."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do now; the writes first, and changes only of targets that no write is about."""

    writes: tuple[Write, ...] = ()
    changes: tuple[Change, ...] = ()
    troubled: bool = False
    """Whether something is to be tried again soon."""
    watchful: bool = False
    """Whether something is held, so that it has to be looked at now and then."""

    @property
    def quiet(self) -> bool:
        """Whether nothing is left to do."""
        return not self.writes and not self.changes


@dataclass(frozen=True, slots=True)
class Obstacles:
    """What the server has refused in this round."""

    sales: Mapping[ObjectRef, Trouble] = field(default_factory=dict)
    """Sales that could not be given our finalizer."""
    targets: Mapping[ObjectRef, str] = field(default_factory=dict)


NONE = Obstacles()
Faults: TypeAlias = "Callable[[ObjectRef, ObjectRef], str]"


def to_look_at(sale: Sale, now: datetime) -> frozenset[ObjectRef]:
    """The targets that have to be read before anything can be told about a sale."""
    return frozenset(
        target
        for target, part in _parts(sale, now, lambda _source, _target: "", NONE).items()
        if (part.record is not None and part.record.holding)
        or (part.wanted is not None and not part.settled)
    )


def permitted(sales: Iterable[Sale], faults: Faults, now: datetime) -> Mapping[ObjectRef, str]:
    """Each target to look at, and why it must not be; empty when some sale may refer to it."""
    found: dict[ObjectRef, str] = {}
    for sale in sales:
        for target in to_look_at(sale, now):
            fault = faults(sale.ref, target)
            found[target] = fault if found.get(target, fault) else ""
    return found


def plan(
    sales: Iterable[Sale], seen: Seen, faults: Faults, now: datetime, obstacles: Obstacles = NONE
) -> Plan:
    """Tell the next step."""
    known = sorted(sales, key=lambda sale: sale.ref)
    parts: dict[ObjectRef, list[Part]] = {}
    for sale in known:
        for target, part in _parts(sale, now, faults, obstacles).items():
            parts.setdefault(target, []).append(part)
    records: dict[ObjectRef, dict[ObjectRef, Record]] = {sale.ref: {} for sale in known}
    changes = []
    for target, involved in sorted(parts.items()):
        outcome = _outcome(target, involved, seen, obstacles)
        for ref, record in outcome.records.items():
            if record is not None:
                records[ref][target] = record
        if outcome.change is not None:
            changes.append(outcome.change)
    made = [_write(sale, records[sale.ref], now) for sale in known]
    return Plan(
        tuple(one for one in made if one.status is not None or one.guard != one.sale.guarded),
        tuple(changes),
        any(record.reason not in {"", targets.OVERRIDDEN} for found in records.values()
            for record in found.values()),
        any(to_look_at(sale, now) for sale in known),
    )  # fmt: skip


def _outcome(
    target: ObjectRef, parts: Iterable[Part], seen: Seen, obstacles: Obstacles
) -> targets.Outcome:
    found = seen.get(target)
    if found is None:
        return targets.unknown(parts)
    if isinstance(found, Trouble):
        return targets.unseen(target, parts, found)
    return targets.seen(target, parts, found, obstacles.targets.get(target, ""))


def _parts(
    sale: Sale, now: datetime, faults: Faults, obstacles: Obstacles
) -> Mapping[ObjectRef, Part]:
    """What a sale has to do with each target that it names, or has scaled."""
    wanted: dict[ObjectRef, int] = {}
    for one in sale.scaling.targets if sale.scaling is not None else ():
        target = ObjectRef(one.kind, one.namespace or sale.ref.namespace, one.name)
        wanted[target] = max(one.wanted, wanted.get(target, 0))
    active = sale.active(now)
    unreadable = sale.spec is None and not sale.deleting
    found: dict[ObjectRef, Part] = {}
    for target in wanted.keys() | sale.recorded.records.keys():
        record = sale.recorded.records.get(target)
        goal, rush = wanted.get(target) if active else None, sale.rush
        if unreadable and record is not None:
            goal, rush = record.applied if record.holding else None, record.rush
        found[target] = Part(
            sale=sale.ref,
            record=record,
            wanted=goal,
            named=target in wanted or unreadable,
            rush=rush,
            fault=faults(sale.ref, target),
            blocked=obstacles.sales.get(sale.ref),
            guarded=sale.guarded,
            deleting=sale.deleting,
        )
    return found


def _write(sale: Sale, records: Mapping[ObjectRef, Record], now: datetime) -> Write:
    recorded = Recorded.of(records.values(), sale.quiet_since(now))
    # What is held by the record that stands there has to be guarded until that one is gone.
    guard = recorded.holding or (sale.guarded and sale.recorded.holding)
    if sale.deleting:
        guard = guard and sale.guarded  # one cannot be added any more
    made: dict[str, Any] = {}
    condition = scaled(sale, recorded, now)
    if condition is not None:
        made["conditions"] = [condition]
    scaling = recorded.as_json()
    if scaling:
        made["scaling"] = scaling
    return Write(sale, recorded, guard, None if made == sale.said else made)
