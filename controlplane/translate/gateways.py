"""Which gateways are ours, with which settings, and which of their listeners can work.

A gateway is ours when its class names our controller. A listener that cannot work is reported and
left out; the others go on. Settings that cannot be found hold the whole gateway back, since the
defaults would lead it to another Redis in the middle of a sale: what it serves stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from controlplane.model import EdgeConfig, EdgeConfigSpec, Gateway, GatewayClass
from controlplane.model.gateway import CONTROLLER_NAME
from controlplane.translate import certificates, hostnames, listener_checks
from controlplane.translate.report import no, yes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from controlplane.model import Condition, Inventory, ObjectRef, Secret
    from controlplane.model.gateway import Listener
    from controlplane.translate.listener_checks import Checked
    from controlplane.translate.report import Findings

GROUP: Final = "sluice.dev"


@dataclass(frozen=True, slots=True)
class EdgeListener:
    """One listener; what routes attach to it does not hang on whether it works."""

    spec: Listener
    secrets: tuple[Secret, ...] = ()
    works: bool = True

    @property
    def hostname(self) -> str:
        """The host it serves, ``*`` for every one."""
        return self.spec.hostname or hostnames.ANY

    @property
    def encrypted(self) -> bool:
        """Whether it speaks TLS."""
        return self.spec.speaks == "HTTPS"


@dataclass(frozen=True, slots=True)
class Edge:
    """One gateway of ours, with all that its proxies need to know about themselves."""

    gateway: Gateway
    settings: EdgeConfigSpec
    settings_ref: ObjectRef | None
    every_listener: tuple[EdgeListener, ...]
    key: str = field(init=False)
    """Name of the gateway to its proxies: ``shop/edge``."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", self.gateway.key)

    @property
    def listeners(self) -> tuple[EdgeListener, ...]:
        """The listeners that work."""
        return tuple(item for item in self.every_listener if item.works)

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
        EdgeListener(
            found.spec,
            certificates.usable(gateway, found.spec, inventory) if found.works else (),
            works=found.works,
        )
        for found in listener_checks.check(gateway, inventory)
    )


def report_listeners(
    edge: Edge, attached: Mapping[tuple[str, str], int], inventory: Inventory, findings: Findings
) -> None:
    """Say of each listener whether it works; `attached` counts routes by edge and listener."""
    checked = listener_checks.check(edge.gateway, inventory)
    for found in checked:
        findings.add(
            edge.gateway,
            *found.conditions,
            listener=found.spec.name,
            attached_routes=attached.get((edge.key, found.spec.name), 0),
            supported_kinds=found.kinds,
        )
    findings.add(edge.gateway, _gateway_condition(checked))


def _gateway_condition(checked: Iterable[Checked]) -> Condition:
    names: dict[bool, list[str]] = {True: [], False: []}
    for found in checked:
        names[found.works].append(found.spec.name)
    broken, working = ", ".join(names[False]), ", ".join(names[True])
    if not broken:
        return yes("Accepted")
    if working:
        return yes("Accepted", "ListenersNotValid", f"left out: {broken}; served: {working}")
    return no("Accepted", "ListenersNotValid", f"no listener works: see {broken}")
