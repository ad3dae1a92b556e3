"""The status of objects as values, in the shape in which commands and the web page show it.

The JSON is a promise to scripts: fields are added, never renamed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from controlplane.model.durations import format_instant

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from controlplane.model import Condition, ObjectRef, Problem
    from controlplane.model.gateway import RouteGroupKind
    from controlplane.model.route import ParentReference

OUR_CONDITIONS: Final = frozenset(
    {
        "Accepted",
        "BooksLost",
        "BooksUsable",
        "Conflicted",
        "CountersShared",
        "OverlappingTLSConfig",
        "PartiallyInvalid",
        "Programmed",
        "Ready",
        "ResolvedRefs",
        "StockSufficient",
    }
)
"""All types of conditions that we ever write; those of others stay."""
OF_BOOKS: Final = ("BooksLost", "StockSufficient")
"""Conditions that only who knows the books can take back."""


class SalePhase(StrEnum):
    """Where a sale is in its life."""

    SCHEDULED = "Scheduled"
    OPEN = "Open"
    SOLD_OUT = "SoldOut"
    ENDED = "Ended"
    SUSPENDED = "Suspended"


@dataclass(frozen=True, slots=True)
class Proxies:
    """How many of a gateway's connected proxies have the newest configuration."""

    programmed: int = 0
    total: int = 0

    def __str__(self) -> str:
        """Give the numbers as messages put them."""
        noun = "proxy" if self.total == 1 else "proxies"
        return f"{self.programmed} of {self.total} {noun}"

    def __add__(self, other: Proxies) -> Proxies:
        """Join the numbers of two gateways."""
        return Proxies(self.programmed + other.programmed, self.total + other.total)

    def as_json(self) -> dict[str, int]:
        """Give the numbers as JSON."""
        return {"programmed": self.programmed, "total": self.total}


@dataclass(frozen=True, slots=True)
class PartStatus:
    """A part with conditions of its own: a listener, or what a route is to one parent."""

    name: str
    conditions: tuple[Condition, ...]
    attached_routes: int | None = None
    listener: str = ""
    """Name of the listener, when it is one."""
    parent: ParentReference | None = None
    """The parent, as the route names it, when it is one."""
    supported_kinds: tuple[RouteGroupKind, ...] | None = None
    """Kinds of routes that a listener serves."""

    def as_json(self) -> dict[str, Any]:
        """Give the part as JSON."""
        found: dict[str, Any] = {"name": self.name, "conditions": conditions(self.conditions)}
        if self.attached_routes is not None:
            found["attachedRoutes"] = self.attached_routes
        if self.supported_kinds is not None:
            found["supportedKinds"] = [kind.as_json() for kind in self.supported_kinds]
        return found


@dataclass(frozen=True, slots=True)
class SaleStatus:
    """The numbers of a sale. `closed` and `error` are empty when all is well."""

    state: SalePhase
    admitted: int = 0
    remaining: int = 0
    limit: int = 0
    override: int | None = None
    suspended_by_hand: bool = False
    healing: bool = False
    closed: str = ""
    lost_proxies: tuple[str, ...] = ()
    expired: bool = False
    error: str = ""
    books: str = ""
    generation: int = 0
    incarnation: int = 0
    start: datetime | None = None
    end: datetime | None = None
    gateways: tuple[str, ...] = ()
    redis: str = ""

    def as_json(self) -> dict[str, Any]:
        """Give the numbers as JSON."""
        return {
            "state": self.state.value,
            "admitted": self.admitted,
            "remaining": self.remaining,
            "limit": self.limit,
            "limitByHand": self.override,
            "suspendedByHand": self.suspended_by_hand,
            "healing": self.healing,
            "closed": self.closed,
            "lostProxies": list(self.lost_proxies),
            "redisError": self.error,
            "books": self.books,
            "generation": self.generation,
            "incarnation": self.incarnation,
            "startTime": format_instant(self.start) if self.start else None,
            "endTime": format_instant(self.end) if self.end else None,
            "gateways": list(self.gateways),
            "redis": self.redis,
        }


@dataclass(frozen=True, slots=True)
class WindowStatus:
    """One window of a limit: `name` as the headers of answers have it, `id` as the counters do."""

    name: str
    id: str
    amount: int
    per: str
    burst: int | None = None

    def as_json(self) -> dict[str, Any]:
        """Give the window as JSON."""
        return {
            "name": self.name,
            "id": self.id,
            "amount": self.amount,
            "per": self.per,
            "burst": self.burst,
        }


@dataclass(frozen=True, slots=True)
class LimitStatus:
    """One limit of a policy, defaults worked out."""

    name: str
    algorithm: str
    counts: str
    windows: tuple[WindowStatus, ...]
    key: tuple[str, ...] = ()
    plain: bool = False
    mode: str = "Enforce"
    enforce_percent: int = 100
    on_redis_failure: str = "Allow"
    overrides: int = 0

    def as_json(self) -> dict[str, Any]:
        """Give the limit as JSON."""
        return {
            "name": self.name,
            "algorithm": self.algorithm,
            "counts": self.counts,
            "windows": [window.as_json() for window in self.windows],
            "key": list(self.key),
            "plain": self.plain,
            "mode": self.mode,
            "enforcePercent": self.enforce_percent,
            "onRedisFailure": self.on_redis_failure,
            "overrides": self.overrides,
        }


@dataclass(frozen=True, slots=True)
class QuotaStatus:
    """What a quota policy limits, and where. `error` is empty when all is well with Redis."""

    limits: tuple[LimitStatus, ...]
    gateways: tuple[str, ...] = ()
    redis: tuple[str, ...] = ()
    error: str = ""

    def as_json(self) -> dict[str, Any]:
        """Give it as JSON."""
        return {
            "limits": [limit.as_json() for limit in self.limits],
            "gateways": list(self.gateways),
            "redis": list(self.redis),
            "redisError": self.error,
        }


@dataclass(frozen=True, slots=True)
class ObjectStatus:
    """All that is known of one object."""

    ref: ObjectRef
    generation: int = 1
    conditions: tuple[Condition, ...] = ()
    parts: tuple[PartStatus, ...] = ()
    proxies: Proxies = field(default_factory=Proxies)
    sale: SaleStatus | None = None
    quota: QuotaStatus | None = None
    uid: str = ""
    """Of the object that was judged; an API server's objects have one."""

    @property
    def name(self) -> str:
        """Namespace and name, as commands take it."""
        return f"{self.ref.namespace}/{self.ref.name}" if self.ref.namespace else self.ref.name

    def condition(self, kind: str) -> Condition | None:
        """Give the condition of this type."""
        return next((one for one in self.conditions if one.type == kind), None)

    def same_but_numbers(self, other: ObjectStatus) -> bool:
        """Whether another status of the object differs in numbers and words alone."""
        return self._but_numbers == other._but_numbers

    @property
    def _but_numbers(self) -> tuple[object, ...]:
        said = ((one.type, one.status, one.reason) for one in self.conditions)
        state = self.sale.state if self.sale is not None else None
        return (self.uid, self.generation, self.parts, state, *said)

    def as_json(self) -> dict[str, Any]:
        """Give the object as JSON."""
        found: dict[str, Any] = {
            "kind": self.ref.kind,
            "namespace": self.ref.namespace,
            "name": self.ref.name,
            "observedGeneration": self.generation,
            "conditions": conditions(self.conditions),
            "proxies": self.proxies.as_json(),
        }
        if self.parts:
            found["parts"] = [part.as_json() for part in self.parts]
        if self.sale is not None:
            found.update(self.sale.as_json())
        if self.quota is not None:
            found.update(self.quota.as_json())
        return found


@dataclass(frozen=True, slots=True)
class Status:
    """All objects at one moment, and what is wrong with the input."""

    objects: tuple[ObjectStatus, ...] = ()
    problems: tuple[Problem, ...] = ()
    ready: bool = False

    def of_kind(self, kind: str) -> tuple[ObjectStatus, ...]:
        """Give the objects of a kind, by namespace and name."""
        return tuple(one for one in self.objects if one.ref.kind == kind)

    def sale(self, name: str) -> ObjectStatus | None:
        """Find a sale by namespace/name."""
        return next((one for one in self.of_kind("FlashSale") if one.name == name), None)

    def quota(self, name: str) -> ObjectStatus | None:
        """Find a quota policy by namespace/name."""
        return next((one for one in self.of_kind("QuotaPolicy") if one.name == name), None)


def conditions(found: Iterable[Condition]) -> list[dict[str, object]]:
    """Give conditions as JSON."""
    return [condition.as_json() for condition in found]


def problem_json(problem: Problem) -> dict[str, Any]:
    """Give a problem as JSON."""
    return {
        "severity": problem.severity,
        "reason": problem.reason,
        "object": str(problem.ref) if problem.ref else "",
        "field": problem.field,
        "file": problem.file,
        "line": problem.line,
        "message": problem.message,
    }
