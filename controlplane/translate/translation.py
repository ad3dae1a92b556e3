"""From all objects to what every gateway's proxies are sent, and what is said about each object.

A pure function: equal objects and options give equal bytes, whatever was translated before. The
fragments that are handed in only save work.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from controlplane.model import unsupported_fields
from controlplane.translate import gateways, plan, quotas, routing, sales
from controlplane.translate.edge_resources import EdgeResources
from controlplane.translate.fragments import Fragments
from controlplane.translate.plan import QuotaPlan, SalePlan
from controlplane.translate.report import Findings, Report, no
from controlplane.xds.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from controlplane.model import (
        Condition,
        FlashSale,
        Inventory,
        ObjectRef,
        QuotaPolicy,
        Resource,
    )
    from controlplane.translate.gateways import Edge
    from controlplane.translate.options import Options
    from controlplane.translate.routing import Routed


@dataclass(frozen=True)
class Translation:
    """What a set of objects means.

    `held` names gateways that are there but cannot be translated now: whatever their proxies
    have should stay. A gateway in neither `snapshots` nor `held` is gone.
    """

    snapshots: Mapping[str, Snapshot] = field(default_factory=dict)
    report: Report = field(default_factory=Report)
    sales: tuple[SalePlan, ...] = ()
    quotas: tuple[QuotaPlan, ...] = ()
    held: tuple[str, ...] = ()


def translate(
    inventory: Inventory, options: Options, fragments: Fragments | None = None
) -> Translation:
    """Translate everything; `fragments` of the last time save what has not changed since."""
    kept = fragments if fragments is not None else Fragments()
    with kept.round():
        return _translate(inventory, options, kept)


def _translate(inventory: Inventory, options: Options, fragments: Fragments) -> Translation:
    findings = Findings()
    edges = gateways.find(inventory, findings)
    routed = routing.route_all(inventory, edges)
    attached = {item.route.ref for item in routed if item.is_attached}
    guards = sales.settle(inventory, attached, findings)
    limits = quotas.settle(inventory, attached, edges, findings)
    endpoints = routing.EndpointIndex(inventory)
    built: dict[str, EdgeResources] = {}
    snapshots: dict[str, Snapshot] = {}
    served: dict[str, list[Routed]] = {edge.key: [] for edge in edges.ready}
    for item in routed:
        for key in item.edges & served.keys():
            served[key].append(item)
    for edge in edges.ready:
        routes = served[edge.key]
        made = EdgeResources(edge, routes, guards, limits, options, fragments, findings)
        snapshots[edge.key] = Snapshot.of(made.all(endpoints))
        built[edge.key] = made
    counted: Counter[tuple[str, str]] = Counter()
    for item in routed:
        makers = (built[key] for key in sorted(item.edges & built.keys()))
        rules = next((found for made in makers if (found := made.rules(item))), ())
        counted.update(routing.report_route(item, rules, endpoints, findings))
    for edge in edges.ready:
        gateways.report_listeners(edge, counted, inventory, findings)
    ours = [*(edge.gateway for edge in edges.ready), *(item.route for item in routed)]
    for resource in ours:
        _warn(resource, fragments, findings)
    plans = _plans(edges.ready, built, options, findings)
    quota_plans = _quota_plans(edges.ready, built, options, findings)
    return Translation(snapshots, findings.report(), plans, quota_plans, edges.held)


def _warn(resource: Resource, fragments: Fragments, findings: Findings) -> None:
    """Name the fields that have no effect; some of them are faults, and told elsewhere."""
    key = ("unsupported", resource.ref)
    for path in fragments.get(key, (resource,), lambda: unsupported_fields(resource)):
        if ".filters[" not in path and not path.endswith(".frontendValidation"):
            findings.warn(resource, path, "is legal, but has no effect: Sluice does not act on it")


def _plans(
    edges: Sequence[Edge],
    built: Mapping[str, EdgeResources],
    options: Options,
    findings: Findings,
) -> tuple[SalePlan, ...]:
    serving: dict[ObjectRef, list[Edge]] = {}
    by_ref: dict[ObjectRef, FlashSale] = {}
    for edge in edges:
        for sale in built[edge.key].guarded.values():
            by_ref[sale.ref] = sale
            if edge not in serving.setdefault(sale.ref, []):
                serving[sale.ref].append(edge)
    plans = []
    for ref in sorted(serving):
        first, sale = serving[ref][0], by_ref[ref]
        findings.add(sale, *_books_faults(sale, serving[ref]))
        keys = tuple(edge.key for edge in serving[ref])
        plans.append(plan.plan(sale, keys, first.settings.redis, options.retention_ms))
    return tuple(plans)


def _books_faults(sale: FlashSale, edges: Sequence[Edge]) -> list[Condition]:
    """Why a sale's books cannot be kept as it asks, for all of its gateways."""
    faults = []
    first, *others = edges
    strays = [edge for edge in others if _place(edge) != _place(first)]
    if strays:
        # Two servers would be two sets of books, each with the whole stock. They are opened on
        # the first one alone, and a sale without books lets nobody in.
        keys = ", ".join(edge.key for edge in strays)
        message = (
            f"its gateways name different Redis servers: it lets nobody in through {keys} until "
            f"they name {first.settings.redis.address} as {first.key} does"
        )
        faults.append(no("BooksUsable", "DifferentRedis", message))
    elif sale.spec.durability == "Replicated" and first.settings.redis.via == "Proxy":
        message = (
            "durability Replicated lets nobody in through Envoy's Redis proxy, which cannot wait "
            "for a replica: use Local, or redis.via Direct"
        )
        faults.append(no("BooksUsable", "CannotWait", message))
    return faults


def _quota_plans(
    edges: Sequence[Edge],
    built: Mapping[str, EdgeResources],
    options: Options,
    findings: Findings,
) -> tuple[QuotaPlan, ...]:
    serving: dict[ObjectRef, list[Edge]] = {}
    by_ref: dict[ObjectRef, QuotaPolicy] = {}
    for edge in edges:
        for policy in built[edge.key].limited.policies:
            by_ref[policy.ref] = policy
            serving.setdefault(policy.ref, []).append(edge)
    plans = []
    for ref in sorted(serving):
        policy = by_ref[ref]
        servers: dict[tuple[str, int, int], list[Edge]] = {}
        for edge in serving[ref]:
            servers.setdefault(_place(edge), []).append(edge)
        if len(servers) > 1:
            findings.add(policy, no("CountersShared", "DifferentRedis", _apart(serving[ref])))
        for found in servers.values():
            keys = tuple(edge.key for edge in found)
            plans.append(QuotaPlan(policy, keys, found[0].settings.redis, options.today))
    return tuple(plans)


def _apart(edges: Sequence[Edge]) -> str:
    named = ", ".join(f"{edge.key} names {edge.settings.redis.address}" for edge in edges)
    return f"its gateways name different Redis servers, and each counts for itself: {named}"


def _place(edge: Edge) -> tuple[str, int, int]:
    redis = edge.settings.redis
    return redis.host, redis.port, redis.database
