"""Everything that is said about routes: where they attach, what they lead to, what is wrong."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from controlplane.model import EndpointSlice, HTTPRoute
from controlplane.translate import attachment, backends, clusters
from controlplane.translate.report import no, yes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from controlplane.model import Condition, Inventory, ObjectRef
    from controlplane.translate.attachment import Attachment, Parent
    from controlplane.translate.backends import Backend, Fault, Upstream
    from controlplane.translate.gateways import Edges
    from controlplane.translate.report import Findings
    from controlplane.translate.rules import RuleRoutes


@dataclass(frozen=True, slots=True)
class Routed:
    """A route with its parents, and the backends of each of its rules."""

    route: HTTPRoute
    parents: tuple[Parent, ...]
    backends: tuple[tuple[Backend, ...], ...]

    @property
    def is_attached(self) -> bool:
        """Whether any listener of ours serves it."""
        return any(parent.attachments for parent in self.parents)

    @property
    def edges(self) -> frozenset[str]:
        """The edges that serve it."""
        return frozenset(
            parent.edge.key
            for parent in self.parents
            if parent.edge is not None and parent.attachments
        )

    def attachments(self, edge: str) -> Iterator[Attachment]:
        """The listeners of one edge that serve it, each once."""
        seen: set[str] = set()
        for parent in self.parents:
            if parent.edge is None or parent.edge.key != edge:
                continue
            for found in parent.attachments:
                if found.listener.spec.name not in seen:
                    seen.add(found.listener.spec.name)
                    yield found

    @property
    def upstreams(self) -> Iterator[Upstream]:
        """Where its requests can go."""
        for rule in self.backends:
            for backend in rule:
                if backend.upstream is not None:
                    yield backend.upstream


_LOST: Final = "its share of the requests gets a 500"

Endpoints = tuple[tuple[str, int], ...]


class EndpointIndex:
    """The endpoints of Services, found once for each port that routes lead to."""

    def __init__(self, inventory: Inventory) -> None:
        self._slices: dict[tuple[str, str], list[EndpointSlice]] = {}
        self._found: dict[str, Endpoints] = {}
        for found in inventory.all(EndpointSlice):
            if found.service_name is not None:
                place = (found.namespace, found.service_name)
                self._slices.setdefault(place, []).append(found)

    def of(self, upstream: Upstream) -> Endpoints:
        """The ready endpoints of a port."""
        known = self._found.get(upstream.cluster)
        if known is None:
            service = upstream.service
            slices = self._slices.get((service.namespace, service.name), ())
            known = self._found[upstream.cluster] = clusters.endpoints(upstream, slices)
        return known

    def slices(self, upstream: Upstream) -> tuple[ObjectRef, ...]:
        """The objects that the endpoints come from."""
        place = (upstream.service.namespace, upstream.service.name)
        return tuple(found.ref for found in self._slices.get(place, ()))


def route_all(inventory: Inventory, edges: Edges) -> tuple[Routed, ...]:
    """Every route that names a parent of ours."""
    found = (_routed(route, inventory, edges) for route in inventory.all(HTTPRoute))
    return tuple(routed for routed in found if routed.parents)


def _routed(route: HTTPRoute, inventory: Inventory, edges: Edges) -> Routed:
    parents = attachment.parents(route, inventory, edges)
    if not parents:
        return Routed(route, (), ())
    resolved = tuple(
        backends.resolve(route, rule.backend_refs, inventory) for rule in route.spec.rules
    )
    return Routed(route, parents, resolved)


def report_route(
    routed: Routed, rules: Iterable[RuleRoutes], endpoints: EndpointIndex, findings: Findings
) -> frozenset[tuple[str, str]]:
    """Say of each parent how the route fares there; `rules` are the encoded ones, if any are.

    Returns the listeners that have it as an attached route, each by its edge and name: those whose
    parent accepts it, whether the listener itself works or not.
    """
    encoded = tuple(rules)
    resolved = _resolved(routed, endpoints)
    attached: set[tuple[str, str]] = set()
    for parent in routed.parents:
        conditions: tuple[Condition, ...] = (parent.accepted,)
        if parent.attachments:
            conditions = _validity(parent.accepted, encoded, routed.backends)
        findings.add(routed.route, *conditions, resolved, parent=parent.ref)
        if parent.edge is not None and conditions[0].status == "True":
            attached.update((parent.edge.key, name) for name in parent.listeners)
    return frozenset(attached)


def _validity(
    accepted: Condition, rules: tuple[RuleRoutes, ...], backends: tuple[tuple[Backend, ...], ...]
) -> tuple[Condition, ...]:
    refused = [_refused(found) for found in backends]
    faults = [fault for rule in rules for fault in rule.faults]
    faults += [fault for found in refused for fault in found]
    if not faults:
        return (accepted,)
    reason, message = _joined(faults)
    working = any(
        rule.works and (not found or len(bad) < len(found))
        for rule, found, bad in zip(rules, backends, refused, strict=True)
    )
    if not working:
        return (no("Accepted", reason, message),)
    return (accepted, yes("PartiallyInvalid", reason, message))


def _refused(found: Iterable[Backend]) -> list[Fault]:
    """Backends that the route itself is wrong about."""
    return [
        replace(item.fault, message=f"{item.fault.message}; {_LOST}")
        for item in found
        if item.fault is not None and item.fault.is_of_route
    ]


def _resolved(routed: Routed, endpoints: EndpointIndex) -> Condition:
    given = (item.fault for rule in routed.backends for item in rule)
    faults = [fault for fault in given if fault is not None and not fault.is_of_route]
    if faults:
        reason, message = _joined(faults)
        return no("ResolvedRefs", reason, f"{message}; {_LOST}")
    empty = {
        f"{upstream.service.ref} has no ready endpoints on port {upstream.port}"
        for upstream in routed.upstreams
        if upstream.service.spec.type != "ExternalName" and not endpoints.of(upstream)
    }
    return replace(yes("ResolvedRefs"), message="; ".join(sorted(empty)))


def _joined(faults: Iterable[Fault]) -> tuple[str, str]:
    """The reason of the first fault, and the messages of all, each once."""
    each: Mapping[str, Fault] = {fault.message: fault for fault in faults}
    first = next(iter(each.values()))
    return first.reason, "; ".join(each)
