"""Which gateways are ours, with which settings, and which of their listeners can work.

A gateway is ours when its class names our controller. A listener that cannot work is reported and
left out; the others go on. Settings that cannot be found hold the whole gateway back, since the
defaults would lead it to another Redis in the middle of a sale: what it serves stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from controlplane.model import EdgeConfig, EdgeConfigSpec, Gateway, GatewayClass
from controlplane.model.gateway import CONTROLLER_NAME
from controlplane.translate import certificates, hostnames
from controlplane.translate.report import no, yes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from controlplane.model import Condition, Inventory, ObjectRef, Secret
    from controlplane.model.gateway import Listener
    from controlplane.translate.report import Findings

GROUP: Final = "sluice.dev"
_PROTOCOLS: Final = frozenset({"HTTP", "HTTPS"})


@dataclass(frozen=True, slots=True)
class EdgeListener:
    """One listener that works."""

    spec: Listener
    secrets: tuple[Secret, ...] = ()

    @property
    def hostname(self) -> str:
        """The host it serves, ``*`` for every one."""
        return self.spec.hostname or hostnames.ANY

    @property
    def encrypted(self) -> bool:
        """Whether it speaks TLS."""
        return self.spec.protocol == "HTTPS"


@dataclass(frozen=True, slots=True)
class Edge:
    """One gateway of ours, with all that its proxies need to know about themselves."""

    gateway: Gateway
    settings: EdgeConfigSpec
    settings_ref: ObjectRef | None
    listeners: tuple[EdgeListener, ...]

    @property
    def key(self) -> str:
        """Name of the gateway to its proxies: ``shop/edge``."""
        return self.gateway.key

    @property
    def refs(self) -> tuple[ObjectRef, ...]:
        """The objects that shape the whole edge."""
        if self.settings_ref is None:
            return (self.gateway.ref,)
        return (self.gateway.ref, self.settings_ref)

    def on_port(self, port: int) -> tuple[EdgeListener, ...]:
        """The listeners that share a port; they speak the same protocol."""
        return tuple(item for item in self.listeners if item.spec.port == port)

    @property
    def ports(self) -> tuple[int, ...]:
        """Every port, once and in order."""
        return tuple(sorted({item.spec.port for item in self.listeners}))


@dataclass(frozen=True, slots=True)
class Edges:
    """The gateways to serve, and those that must be left as they are."""

    ready: tuple[Edge, ...]
    held: tuple[str, ...]


def find(inventory: Inventory, findings: Findings) -> Edges:
    """Every gateway of ours; what is said about listeners is for `report_listeners` to add."""
    ready: list[Edge] = []
    held: list[str] = []
    for found in inventory.all(GatewayClass):
        if found.spec.controller_name == CONTROLLER_NAME:
            findings.add(found, _class_condition(found, inventory))
    for gateway in inventory.all(Gateway):
        owner = inventory.get(GatewayClass, "", gateway.spec.gateway_class_name)
        if owner is None:
            message = f"GatewayClass {gateway.spec.gateway_class_name} is not there: create it"
            findings.add(gateway, no("Accepted", "NoGatewayClass", message))
        elif owner.spec.controller_name == CONTROLLER_NAME:
            edge = _edge(gateway, owner, inventory, findings)
            if edge is None:
                held.append(gateway.key)
            else:
                ready.append(edge)
    return Edges(tuple(ready), tuple(held))


def _class_condition(found: GatewayClass, inventory: Inventory) -> Condition:
    wanted = found.spec.parameters_ref
    if wanted is None:
        return yes("Accepted")
    place = (wanted.group, wanted.kind, wanted.namespace or "default", wanted.name)
    fault = _settings_fault(place, inventory)
    return no("Accepted", "InvalidParameters", fault) if fault else yes("Accepted")


def _settings_place(gateway: Gateway, owner: GatewayClass) -> tuple[str, str, str, str] | None:
    own = gateway.spec.infrastructure and gateway.spec.infrastructure.parameters_ref
    if own:
        return own.group, own.kind, gateway.namespace, own.name
    shared = owner.spec.parameters_ref
    if shared:
        return shared.group, shared.kind, shared.namespace or "default", shared.name
    return None


def _settings_fault(place: tuple[str, str, str, str], inventory: Inventory) -> str:
    group, kind, namespace, name = place
    if (group, kind) != (GROUP, "EdgeConfig"):
        return f"parametersRef names a {kind} of {group}: only EdgeConfig of {GROUP} is read"
    if inventory.get(EdgeConfig, namespace, name) is None:
        return f"EdgeConfig {namespace}/{name} is not there: create it or remove the parametersRef"
    return ""


def _edge(
    gateway: Gateway, owner: GatewayClass, inventory: Inventory, findings: Findings
) -> Edge | None:
    place = _settings_place(gateway, owner)
    if place is None:
        return Edge(gateway, EdgeConfigSpec(), None, _listeners(gateway, inventory))
    found = inventory.get(EdgeConfig, place[2], place[3])
    fault = _settings_fault(place, inventory)
    if fault or found is None:
        message = f"{fault}; proxies keep what they have"
        findings.add(gateway, no("Accepted", "InvalidParameters", message))
        return None
    return Edge(gateway, found.spec, found.ref, _listeners(gateway, inventory))


def _listeners(gateway: Gateway, inventory: Inventory) -> tuple[EdgeListener, ...]:
    return tuple(
        EdgeListener(spec, certificates.usable(gateway, spec, inventory))
        for spec in gateway.spec.listeners
        if not any(item.status == "False" for item in _basics(gateway, spec, inventory))
        and _conflict(gateway, spec) is None
    )


def report_listeners(
    edge: Edge, attached: Sequence[str], inventory: Inventory, findings: Findings
) -> None:
    """Say of each listener whether it works; `attached` names a listener once for each route."""
    broken: list[str] = []
    for spec in edge.gateway.spec.listeners:
        conditions = [*_basics(edge.gateway, spec, inventory), _conflicted(edge.gateway, spec)]
        if (
            any(item.status == "False" for item in conditions[:-1])
            or conditions[-1].status != "False"
        ):
            broken.append(spec.name)
        findings.add(
            edge.gateway,
            *conditions,
            listener=spec.name,
            attached_routes=sum(1 for name in attached if name == spec.name),
        )
    findings.add(edge.gateway, _gateway_condition(edge, broken))


def _gateway_condition(edge: Edge, broken: Iterable[str]) -> Condition:
    names = ", ".join(broken)
    if not names:
        return yes("Accepted")
    if edge.listeners:
        return yes("Accepted", "ListenersNotValid", f"left out: {names}")
    return no("Accepted", "ListenersNotValid", f"no listener works: see {names}")


def _basics(gateway: Gateway, spec: Listener, inventory: Inventory) -> tuple[Condition, Condition]:
    return _accepted(spec), _resolved(gateway, spec, inventory)


def _accepted(spec: Listener) -> Condition:
    if spec.protocol not in _PROTOCOLS:
        message = f"protocol {spec.protocol} is not served: use HTTP or HTTPS"
        return no("Accepted", "UnsupportedProtocol", message)
    if spec.tls is not None and spec.tls.mode != "Terminate":
        message = f"tls.mode {spec.tls.mode} is not served: use Terminate"
        return no("Accepted", "UnsupportedValue", message)
    return yes("Accepted")


def _resolved(gateway: Gateway, spec: Listener, inventory: Inventory) -> Condition:
    kinds = spec.allowed_routes.kinds
    foreign = [item.kind for item in kinds if item.kind != "HTTPRoute"]
    if kinds and len(foreign) == len(kinds):
        message = f"allowedRoutes.kinds names {', '.join(foreign)}: only HTTPRoute is served"
        return no("ResolvedRefs", "InvalidRouteKinds", message)
    fault = certificates.fault(gateway, spec, inventory)
    return no("ResolvedRefs", *fault) if fault else yes("ResolvedRefs")


def _conflict(gateway: Gateway, spec: Listener) -> Listener | None:
    """The earlier listener on this port that speaks another protocol."""
    for other in gateway.spec.listeners:
        if other is spec or other.name == spec.name:
            return None
        if other.port == spec.port and other.protocol in _PROTOCOLS - {spec.protocol}:
            return other
    return None


def _conflicted(gateway: Gateway, spec: Listener) -> Condition:
    other = _conflict(gateway, spec) if spec.protocol in _PROTOCOLS else None
    if other is None:
        return no("Conflicted", "NoConflicts", "")
    message = f"listener {other.name} already speaks {other.protocol} on port {spec.port}"
    return yes("Conflicted", "ProtocolConflict", message)
