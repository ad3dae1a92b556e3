"""Which listeners a route attaches to, and for which hosts.

A route names its parents; a listener says which routes it takes. Both must agree, as must their
hostnames. What goes wrong is said per parent, in the reasons of Gateway API.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from controlplane.model import Gateway, HTTPRoute, Namespace
from controlplane.model.gateway import GATEWAY_API
from controlplane.model.namespace import NAMESPACE_NAME
from controlplane.translate import hostnames, listener_checks
from controlplane.translate.report import no, yes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from controlplane.model import Condition, Inventory
    from controlplane.model.route import ParentReference
    from controlplane.translate.gateways import Edge, EdgeListener, Edges


@dataclass(frozen=True, slots=True)
class Attachment:
    """A route on a listener, for the hosts that both serve."""

    route: HTTPRoute
    listener: EdgeListener
    hostnames: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Parent:
    """One parent of a route: the edge behind it, and whether the two came together.

    `attachments` are those to listeners that work; `listeners` names these and the others too.
    """

    ref: ParentReference
    edge: Edge | None
    accepted: Condition
    attachments: tuple[Attachment, ...] = ()
    listeners: tuple[str, ...] = ()


def parents(route: HTTPRoute, inventory: Inventory, edges: Edges) -> tuple[Parent, ...]:
    """Every parent of a route that is ours to answer for."""
    by_key = {edge.key: edge for edge in edges.ready}
    found = (_parent(route, ref, inventory, by_key, edges.held) for ref in route.spec.parent_refs)
    return tuple(parent for parent in found if parent is not None)


def _parent(
    route: HTTPRoute,
    ref: ParentReference,
    inventory: Inventory,
    by_key: Mapping[str, Edge],
    held: Sequence[str],
) -> Parent | None:
    if (ref.group, ref.kind) != (GATEWAY_API, "Gateway"):
        return None
    namespace = ref.namespace or route.namespace
    key = f"{namespace}/{ref.name}"
    edge = by_key.get(key)
    if edge is not None:
        return _on_edge(route, ref, edge, inventory)
    if key in held:
        message = f"Gateway {key} cannot be configured: see its conditions"
        return Parent(ref, None, no("Accepted", "Pending", message))
    if inventory.get(Gateway, namespace, ref.name) is None:
        message = f"Gateway {key} is not there: create it or correct the parentRef"
        return Parent(ref, None, no("Accepted", "NoMatchingParent", message))
    return None  # another controller's gateway


def _on_edge(route: HTTPRoute, ref: ParentReference, edge: Edge, inventory: Inventory) -> Parent:
    named = [item for item in edge.every_listener if _is_meant(ref, item)]
    if not named:
        return Parent(ref, edge, no("Accepted", "NoMatchingParent", _no_listener(ref, edge)))
    allowing = [item for item in named if _allows(item, route, edge, inventory)]
    if not allowing:
        message = _not_allowed(route, named, inventory)
        return Parent(ref, edge, no("Accepted", "NotAllowedByListeners", message))
    attachments = tuple(
        Attachment(route, item, common)
        for item in allowing
        if (common := hostnames.intersect(item.hostname, route.spec.hostnames))
    )
    if not attachments:
        served = ", ".join(sorted({item.hostname for item in allowing}))
        message = f"no listener serves a hostname of the route; they serve {served}"
        return Parent(ref, edge, no("Accepted", "NoMatchingListenerHostname", message))
    return Parent(
        ref,
        edge,
        _accepted(attachments),
        tuple(item for item in attachments if item.listener.works),
        tuple(item.listener.spec.name for item in attachments),
    )


def _accepted(attachments: Sequence[Attachment]) -> Condition:
    """Accepted in any case, as the route is not at fault; with a word where nothing serves it."""
    if any(item.listener.works for item in attachments):
        return yes("Accepted")
    named = ", ".join(item.listener.spec.name for item in attachments)
    return yes("Accepted", message=f"not served, as no listener works: see {named} of the Gateway")


def _is_meant(ref: ParentReference, listener: EdgeListener) -> bool:
    if ref.section_name is not None and ref.section_name != listener.spec.name:
        return False
    return ref.port is None or ref.port == listener.spec.port


def _no_listener(ref: ParentReference, edge: Edge) -> str:
    wanted = [f"named {ref.section_name}"] if ref.section_name is not None else []
    wanted += [f"on port {ref.port}"] if ref.port is not None else []
    there = ", ".join(f"{item.spec.name} ({item.spec.port})" for item in edge.every_listener)
    return f"Gateway {edge.key} has no listener {' '.join(wanted)}; it has {there}"


def _allows(listener: EdgeListener, route: HTTPRoute, edge: Edge, inventory: Inventory) -> bool:
    if listener_checks.HTTP_ROUTE not in listener_checks.kinds(listener.spec):
        return False
    namespaces = listener.spec.allowed_routes.namespaces
    if namespaces.from_ == "Selector":
        labels = _labels(route.namespace, inventory)
        return namespaces.selector is not None and namespaces.selector.matches(labels)
    if namespaces.from_ == "Same":
        return route.namespace == edge.gateway.namespace
    return namespaces.from_ == "All"


def _labels(namespace: str, inventory: Inventory) -> Mapping[str, str]:
    """The labels of a namespace: of one that nobody wrote down, its name."""
    found = inventory.get(Namespace, "", namespace)
    return {NAMESPACE_NAME: namespace} if found is None else found.labels


def _not_allowed(route: HTTPRoute, named: Sequence[EdgeListener], inventory: Inventory) -> str:
    serving = [item for item in named if listener_checks.kinds(item.spec)]
    if not serving:
        return "no listener takes routes of kind HTTPRoute: set allowedRoutes.kinds"
    message = f"no listener takes routes from namespace {route.namespace}"
    selecting = any(item.spec.allowed_routes.namespaces.from_ == "Selector" for item in serving)
    if not selecting:
        return f"{message}: set allowedRoutes.namespaces"
    labels = _labels(route.namespace, inventory)
    shown = ", ".join(f"{name}={labels[name]}" for name in sorted(labels))
    return f"{message}: no selector chooses its labels, {shown}"
