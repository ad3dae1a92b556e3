"""Everything that is said about routes: where they attach, what they lead to, what is wrong."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

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
) -> None:
    """Say of each parent how the route fares there; `rules` are the encoded ones, if any are."""
    encoded = tuple(rules)
    resolved = _resolved(routed, endpoints)
    for parent in routed.parents:
        conditions = [parent.accepted, resolved]
        if parent.attachments:
            conditions = [*_validity(parent.accepted, encoded), resolved]
        findings.add(routed.route, *conditions, parent=parent.ref)


def _validity(accepted: Condition, rules: tuple[RuleRoutes, ...]) -> tuple[Condition, ...]:
    faults = [fault for rule in rules for fault in rule.faults]
    if not faults:
        return (accepted,)
    reason, message = _joined(faults)
    if not any(rule.works for rule in rules):
        return (no("Accepted", reason, message),)
    return (accepted, yes("PartiallyInvalid", reason, message))


def _resolved(routed: Routed, endpoints: EndpointIndex) -> Condition:
    faults = [item.fault for rule in routed.backends for item in rule if item.fault is not None]
    if faults:
        reason, message = _joined(faults)
        return no("ResolvedRefs", reason, f"{message}; its share of the requests gets a 500")
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
