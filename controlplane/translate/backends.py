"""Backends of a route: which Services they lead to, and why some lead nowhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from controlplane.model import ObjectRef, Service
from controlplane.translate import changes, grants, names
from controlplane.translate.matches import UnusableError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from controlplane.model import HTTPRoute, Inventory
    from controlplane.model.core import ServicePort
    from controlplane.model.route import BackendRef

UNSUPPORTED_VALUE: Final = "UnsupportedValue"
_ENCRYPTED: Final = frozenset({"kubernetes.io/wss"})
"""Values of appProtocol that ask for TLS towards the backend."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a part of a route does not work, in a reason of Gateway API and in words."""

    reason: str
    message: str

    @property
    def is_of_route(self) -> bool:
        """Whether it stands in the route itself, and not in what the route refers to."""
        return self.reason == UNSUPPORTED_VALUE


@dataclass(frozen=True, slots=True)
class Upstream:
    """A port of a Service that requests go to."""

    service: Service
    port: int

    @property
    def cluster(self) -> str:
        """Name of its cluster."""
        return names.backend(self.service.namespace, self.service.name, self.port)

    @property
    def spec(self) -> ServicePort | None:
        """The port as the Service tells it; an ExternalName need not."""
        return self.service.port(self.port)


@dataclass(frozen=True, slots=True)
class Backend:
    """One backend of a rule and its share; without an upstream, that share is answered 500."""

    ref: BackendRef
    upstream: Upstream | None = None
    fault: Fault | None = None

    @property
    def weight(self) -> int:
        """Its share, relative to the others."""
        return self.ref.weight

    @property
    def cluster(self) -> str:
        """Name of the cluster; of none that exists when the backend has a fault."""
        return self.upstream.cluster if self.upstream is not None else names.NOWHERE


def resolve(
    route: HTTPRoute, refs: Iterable[BackendRef], inventory: Inventory
) -> tuple[Backend, ...]:
    """Find the Service behind each reference."""
    return tuple(_resolve(route, ref, inventory) for ref in refs)


def _resolve(route: HTTPRoute, ref: BackendRef, inventory: Inventory) -> Backend:
    namespace = ref.namespace or route.namespace
    where = f"{ref.kind} {namespace}/{ref.name}"
    if ref.group or ref.kind != "Service":
        message = f"{where} cannot be a backend: only Service can"
        return Backend(ref, fault=Fault("InvalidKind", message))
    forbidden = grants.fault(route.ref, ObjectRef("Service", namespace, ref.name), inventory)
    if forbidden:
        return Backend(ref, fault=Fault(grants.REASON, forbidden))
    service = inventory.get(Service, namespace, ref.name)
    if service is None:
        message = f"{where} is not there: create it or correct the backendRef"
        return Backend(ref, fault=Fault("BackendNotFound", message))
    return _of_service(ref, service, where)


def _of_service(ref: BackendRef, service: Service, where: str) -> Backend:
    spec = service.port(ref.port or 0)
    if spec is None and (service.spec.type != "ExternalName" or service.spec.ports):
        there = ", ".join(str(port.port) for port in service.spec.ports)
        message = f"{where} has no port {ref.port}; it has {there}"
        return Backend(ref, fault=Fault("BackendNotFound", message))
    if spec is not None and spec.protocol != "TCP":
        message = f"{where} speaks {spec.protocol} on port {ref.port}: only TCP is served"
        return Backend(ref, fault=Fault("UnsupportedProtocol", message))
    if spec is not None and spec.app_protocol in _ENCRYPTED:
        message = f"{where} wants {spec.app_protocol} on port {ref.port}: TLS is not spoken to it"
        return Backend(ref, fault=Fault("UnsupportedProtocol", message))
    try:
        wanted = changes.read(ref.filters)
    except UnusableError as error:
        return Backend(ref, fault=Fault(UNSUPPORTED_VALUE, f"{where}: {error}"))
    if wanted.redirect is not None or (wanted.rewrite and wanted.rewrite.path):
        message = f"{where}: a single backend can change headers and hostname, not the path"
        return Backend(ref, fault=Fault(UNSUPPORTED_VALUE, message))
    return Backend(ref, Upstream(service, ref.port or 0))
