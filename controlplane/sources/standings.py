"""What stands on the API server beside the specs: identities, versions, the status as written.

For the writer of status alone. Translation never sees any of it, so that a status that changes
each second leads to no new configuration.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from controlplane.model import ObjectRef

if TYPE_CHECKING:
    from collections.abc import Iterator

    from controlplane.kube import Object

GATEWAY_NAME: Final = "gateway.networking.k8s.io/gateway-name"
"""Label of a Service through which a gateway is reached."""
GATEWAY_NAMESPACE: Final = "sluice.dev/gateway-namespace"
"""Label of such a Service in the control plane's own namespace: where the gateway is. Elsewhere it
means nothing, or anybody could say where the gateways of others are reached."""

Listener = Callable[[ObjectRef], None]
_Addresses: TypeAlias = tuple[Mapping[str, str], ...]
_Addressed: TypeAlias = tuple[ObjectRef, _Addresses]


@dataclass(frozen=True, slots=True)
class Standing:
    """One object as the server has it."""

    uid: str
    version: str
    """Its resourceVersion."""
    generation: int
    status: Mapping[str, Any]
    deleting: bool = False
    finalizers: tuple[str, ...] = ()

    @classmethod
    def of(cls, obj: Object) -> Standing:
        """Take it from an object."""
        metadata = obj["metadata"]
        status = obj.get("status")
        return cls(
            str(metadata.get("uid") or ""),
            str(metadata.get("resourceVersion") or ""),
            int(metadata.get("generation") or 1),
            status if isinstance(status, Mapping) else {},
            bool(metadata.get("deletionTimestamp")),
            tuple(metadata.get("finalizers") or ()),
        )

    def newer_than(self, other: Standing) -> bool:
        """Whether this came later; of versions that cannot be compared, what was told last."""
        if self.uid != other.uid or not (self.version.isdecimal() and other.version.isdecimal()):
            return True
        return int(self.version) > int(other.version)


class Standings:
    """The newest known standing of each object whose status we write; tells of changes.

    `home` is the control plane's own namespace.
    """

    def __init__(self, home: str = "") -> None:
        self._home = home
        self._known: dict[ObjectRef, Standing] = {}
        self._addresses: dict[tuple[str, str], _Addressed] = {}
        self._listeners: list[Listener] = []

    def on_change(self, listener: Listener) -> None:
        """Call `listener` with each object that has changed; it must return at once."""
        self._listeners.append(listener)

    def get(self, ref: ObjectRef) -> Standing | None:
        """Tell how an object stands; None when the server does not have it."""
        return self._known.get(ref)

    def of_kind(self, kind: str) -> Iterator[tuple[ObjectRef, Standing]]:
        """Give all objects of a kind."""
        return iter([(ref, one) for ref, one in self._known.items() if ref.kind == kind])

    def see(self, ref: ObjectRef, obj: Object, *, listed: bool = False) -> None:
        """Take an object, unless a newer version is known; a list is believed in any case.

        Own writes come back from the watch, later than the answer to them.
        """
        standing = Standing.of(obj)
        before = self._known.get(ref)
        if before is not None and not listed and not standing.newer_than(before):
            return
        self._known[ref] = standing
        self._tell(ref)

    def wrote(self, ref: ObjectRef, obj: Object) -> None:
        """Take the answer to a write; not when the object was deleted meanwhile."""
        if ref in self._known:
            self.see(ref, obj)

    def forget(self, ref: ObjectRef) -> None:
        """Take note that an object is gone."""
        if self._known.pop(ref, None) is not None:
            self._tell(ref)

    # ----------------------------------------------------------------------------- addresses
    def addresses(self, namespace: str, gateway: str) -> tuple[Mapping[str, str], ...]:
        """Give the addresses of a gateway, by the Services that name it in a label."""
        wanted = ObjectRef("Gateway", namespace, gateway)
        return tuple(
            address
            for _, (ref, addresses) in sorted(self._addresses.items())
            if ref == wanted
            for address in addresses
        )

    def see_service(self, namespace: str, name: str, service: Object | None) -> None:
        """Take a Service, or None for one that is gone."""
        before = self._addresses.pop((namespace, name), None)
        after = self._addressed(namespace, service) if service is not None else None
        if after is not None:
            self._addresses[namespace, name] = after
        if before != after:
            for gateway in {one[0] for one in (before, after) if one is not None}:
                self._tell(gateway)

    def _addressed(self, namespace: str, service: Object) -> _Addressed | None:
        labels = service["metadata"].get("labels") or {}
        gateway = labels.get(GATEWAY_NAME)
        if not gateway:
            return None
        if namespace == self._home:
            namespace = labels.get(GATEWAY_NAMESPACE) or namespace
        return ObjectRef("Gateway", namespace, gateway), _reached_at(service)

    def _tell(self, ref: ObjectRef) -> None:
        for listener in self._listeners:
            listener(ref)


def _reached_at(service: Object) -> _Addresses:
    """Where a Service can be reached."""
    spec = service.get("spec") or {}
    if spec.get("type") == "LoadBalancer":
        balancer = (service.get("status") or {}).get("loadBalancer") or {}
        found = [
            _address("Hostname", one["hostname"])
            if one.get("hostname")
            else _address("IPAddress", one.get("ip", ""))
            for one in balancer.get("ingress") or ()
        ]
    else:
        ips = spec.get("clusterIPs") or [spec.get("clusterIP")]
        found = [_address("IPAddress", ip) for ip in ips if ip and ip != "None"]
    return tuple(one for one in found if one["value"])


def _address(kind: str, value: str) -> Mapping[str, str]:
    return {"type": kind, "value": value}
