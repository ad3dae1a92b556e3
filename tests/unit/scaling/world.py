"""A world without a server: sales, targets and users in memory, and a control plane that may die.

What is written goes through the same JSON as on a server. Each write can be the last one before
the control plane dies; the next one knows nothing but what stands there.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from controlplane.model.meta import ObjectRef
from controlplane.scaling.news import news
from controlplane.scaling.plan import Obstacles, Plan, permitted, plan
from controlplane.scaling.records import Recorded
from controlplane.scaling.rush import Sale
from controlplane.scaling.targets import NOT_FOUND, NOT_PERMITTED, Observed, Trouble
from tests.unit.model.sales import sale as resource

if TYPE_CHECKING:
    from collections.abc import Mapping

    from controlplane.scaling.plan import Write
    from controlplane.status.transitions import News

START = datetime(2026, 1, 1, tzinfo=UTC)
WEB = ObjectRef("Deployment", "shop", "web")
API = ObjectRef("Deployment", "shop", "api")
AUTO = ObjectRef("HorizontalPodAutoscaler", "shop", "web")
ELSEWHERE = ObjectRef("Deployment", "edge", "envoy")


def minutes(count: float) -> datetime:
    """So many minutes after the sale's start."""
    return START + timedelta(minutes=count)


def spec(targets: Mapping[ObjectRef, int], *, end: float | None = 10, **scaling: Any) -> Any:
    """The spec of a sale that begins at START and lasts ten minutes."""
    listed = []
    for target, wanted in targets.items():
        number = "replicas" if target.kind == "Deployment" else "minReplicas"
        place = {"kind": target.kind, "namespace": target.namespace, "name": target.name}
        listed.append({**place, number: wanted})
    given: dict[str, Any] = {"schedule": {"startTime": START.isoformat()}}
    if end is not None:
        given["schedule"]["endTime"] = minutes(end).isoformat()
    if listed:
        given["scaling"] = {"targets": listed, **scaling}
    return resource(**given).spec


@dataclass
class World:
    """All that outlives a control plane."""

    now: datetime = START
    sales: dict[ObjectRef, Sale] = field(default_factory=dict)
    targets: dict[ObjectRef, Observed] = field(default_factory=dict)
    ungranted: set[tuple[ObjectRef, ObjectRef]] = field(default_factory=set)
    obstacles: Obstacles = field(default_factory=Obstacles)
    told: list[tuple[str, News]] = field(default_factory=list)
    changes: list[tuple[ObjectRef, int]] = field(default_factory=list)
    writes: int = 0
    lives: int | None = None
    """Writes after which the control plane is dead; None: it lives."""
    _versions: int = 0

    # ------------------------------------------------------------------------------- what users do
    def has(self, target: ObjectRef, value: int, most: int | None = None) -> None:
        """A target is there, with so many."""
        known = self.targets.get(target)
        uid = known.uid if known is not None else f"uid-{self._version()}"
        self.targets[target] = Observed(value, uid, self._version(), most)

    def wants(self, name: str, targets: Mapping[ObjectRef, int], **options: Any) -> ObjectRef:
        """A user applies a sale."""
        ref = ObjectRef("FlashSale", "shop", name)
        before = self.sales.get(ref) or Sale(ref=ref, uid=f"uid-{self._version()}")
        self.sales[ref] = replace(before, spec=spec(targets, **options))
        return ref

    def deletes(self, ref: ObjectRef) -> None:
        """A user deletes a sale; a guarded one stays until it is let go."""
        if self.sales[ref].guarded:
            self.sales[ref] = replace(self.sales[ref], deleting=True)
        else:
            del self.sales[ref]

    def is_in(self, ref: ObjectRef, state: str) -> None:
        """The other status of a sale."""
        self.sales[ref] = replace(self.sales[ref], state=state)

    # ----------------------------------------------------------------------- what is done about it
    def run(self, most: int = 20) -> None:
        """A control plane does what there is to do, and must come to an end."""
        for _ in range(most):
            if self._do(self.plan()):
                return
        raise AssertionError(f"it does not come to an end: {self.plan()}")

    def dies_after(self, writes: int) -> None:
        """A control plane that dies after so many writes."""
        self.lives = writes
        try:
            self.run()
        except _DeadError:
            pass
        finally:
            self.lives = None

    def plan(self) -> Plan:
        """The next step."""
        sales = tuple(self.sales.values())
        seen: dict[ObjectRef, Observed | Trouble] = {}
        for target, why in permitted(sales, self.fault, self.now).items():
            there = self.targets.get(target, Trouble(NOT_FOUND, "there is none"))
            seen[target] = Trouble(NOT_PERMITTED, why) if why else there
        return plan(sales, seen, self.fault, self.now, self.obstacles)

    def fault(self, source: ObjectRef, target: ObjectRef) -> str:
        """Why a sale may not refer to a target."""
        return "no grant" if (source, target) in self.ungranted else ""

    def _do(self, step: Plan) -> bool:
        if step.quiet:
            return True
        for write in step.writes:
            self._write(write)
        for change in step.changes:
            self._live()
            assert self.targets[change.target] == change.seen
            self._guarded(change.target)
            self.changes.append((change.target, change.to))
            self.has(change.target, change.to, change.seen.most)
        return False

    def _write(self, write: Write) -> None:
        ref = write.sale.ref
        if write.guard and not write.sale.guarded:
            self._live()
            self.sales[ref] = replace(self.sales[ref], guarded=True)
        if write.status is not None:
            self._live()
            read = Recorded.read(write.status)
            assert read == write.recorded
            assert not read.holding or self.sales[ref].guarded
            self.told += [(ref.name, one) for one in news(write.sale.recorded, read)]
            self.sales[ref] = replace(self.sales[ref], recorded=read, said=dict(write.status))
        elif write.sale.guarded and not write.guard:
            self._live()
            self.sales[ref] = replace(self.sales[ref], guarded=False)
            if self.sales[ref].deleting:
                del self.sales[ref]

    def _guarded(self, target: ObjectRef) -> None:
        """Nothing is ever changed before it is recorded, by a sale that cannot vanish."""
        holders = [
            sale
            for sale in self.sales.values()
            if (record := sale.recorded.records.get(target)) is not None and record.holding
        ]
        assert holders, f"{target} is changed and nobody has recorded it"
        assert all(sale.guarded for sale in holders)

    def _live(self) -> None:
        self.writes += 1
        if self.lives is not None:
            if not self.lives:
                raise _DeadError
            self.lives -= 1

    def _version(self) -> str:
        self._versions += 1
        return str(self._versions)

    # ----------------------------------------------------------------------------- what came of it
    def value(self, target: ObjectRef = WEB) -> int:
        """What a target has now."""
        return self.targets[target].value

    def phase(self, ref: ObjectRef, target: ObjectRef = WEB) -> str:
        """What is recorded of a target, in one word."""
        record = self.sales[ref].recorded.records.get(target)
        return "" if record is None else record.phase

    def condition(self, ref: ObjectRef) -> str:
        """The condition of a sale, in short."""
        found = self.sales[ref].said.get("conditions")
        return f"{found[0]['status']}/{found[0]['reason']}" if found else ""

    def reasons(self, name: str = "laptop") -> list[str]:
        """The Events of a sale."""
        return [one.reason for sale, one in self.told if sale == name]


class _DeadError(Exception):
    """The control plane is dead."""
