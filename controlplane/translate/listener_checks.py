"""What can be said of each listener of a gateway, and whether it can be served.

The rules are those of Gateway API. Listeners of one port are served together as long as every
request belongs to one of them: they must speak one protocol and differ in their hostname. Of those
that do not, none is served, since picking one would be guessing (Gateway API forbids it).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from controlplane.model.gateway import GATEWAY_API, HTTP_PROTOCOLS, RouteGroupKind
from controlplane.translate import certificates, hostnames
from controlplane.translate.report import no, yes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from controlplane.model import Condition, Gateway, Inventory
    from controlplane.model.gateway import Listener

HTTP_ROUTE: Final = RouteGroupKind(kind="HTTPRoute")
_ENCRYPTED: Final = "HTTPS"


@dataclass(frozen=True, slots=True)
class Checked:
    """One listener and what is said of it."""

    spec: Listener
    kinds: tuple[RouteGroupKind, ...]
    """The kinds of routes that it serves, of those that it allows."""
    conditions: tuple[Condition, ...]
    works: bool
    """Whether it is served; a kind of route that is not known to us is no reason not to."""


def check(gateway: Gateway, inventory: Inventory) -> tuple[Checked, ...]:
    """Every listener of a gateway, in its order."""
    return tuple(_check(gateway, spec, inventory) for spec in gateway.spec.listeners)


def kinds(spec: Listener) -> tuple[RouteGroupKind, ...]:
    """The kinds of routes that a listener serves."""
    if spec.speaks not in HTTP_PROTOCOLS:
        return ()
    allowed = spec.allowed_routes.kinds
    return (HTTP_ROUTE,) if not allowed or HTTP_ROUTE in allowed else ()


def _check(gateway: Gateway, spec: Listener, inventory: Inventory) -> Checked:
    served = kinds(spec)
    accepted, conflicted = _accepted(gateway, spec), _conflicted(gateway, spec)
    fault = certificates.fault(gateway, spec, inventory)
    resolved = no("ResolvedRefs", *fault) if fault else _kinds_resolved(spec)
    works = accepted.status == "True" and conflicted.status == "False" and not fault
    return Checked(
        spec,
        served,
        (accepted, resolved, conflicted, *_overlapping(gateway, spec)),
        works=works and bool(served),
    )


def _accepted(gateway: Gateway, spec: Listener) -> Condition:
    if spec.speaks not in HTTP_PROTOCOLS:
        message = f"protocol {spec.protocol} is not served: use HTTP or HTTPS"
        return no("Accepted", "UnsupportedProtocol", message)
    if spec.tls is not None and spec.tls.mode != "Terminate":
        message = f"tls.mode {spec.tls.mode} is not served: use Terminate"
        return no("Accepted", "UnsupportedValue", message)
    if _wants_client_certificates(gateway, spec):
        # Served without, it would be open to everyone.
        message = (
            "certificates of clients are not checked: remove the validation, or do it elsewhere"
        )
        return no("Accepted", "UnsupportedValue", message)
    return yes("Accepted")


def _wants_client_certificates(gateway: Gateway, spec: Listener) -> bool:
    if spec.speaks != _ENCRYPTED:
        return False
    if spec.tls is not None and spec.tls.frontend_validation is not None:
        return True
    whole: Any = gateway.spec.tls
    return isinstance(whole, dict) and whole.get("frontend") is not None


def _kinds_resolved(spec: Listener) -> Condition:
    known = HTTP_ROUTE if spec.speaks in HTTP_PROTOCOLS else None
    foreign = [item for item in spec.allowed_routes.kinds if item != known]
    if not foreign:
        return yes("ResolvedRefs")
    named = ", ".join(
        item.kind if item.group == GATEWAY_API else f"{item.kind} of {item.group or 'core'}"
        for item in foreign
    )
    message = f"allowedRoutes.kinds names {named}: only HTTPRoute is served"
    return no("ResolvedRefs", "InvalidRouteKinds", message)


def _rivals(gateway: Gateway, spec: Listener) -> Iterator[Listener]:
    """The other listeners on the port that could be served; the rest are in nobody's way."""
    for other in gateway.spec.listeners:
        if other.name != spec.name and other.port == spec.port and other.speaks in HTTP_PROTOCOLS:
            yield other


def _conflicted(gateway: Gateway, spec: Listener) -> Condition:
    rivals = list(_rivals(gateway, spec)) if spec.speaks in HTTP_PROTOCOLS else []
    strangers = [other for other in rivals if other.speaks != spec.speaks]
    if strangers:
        named = ", ".join(f"{other.name} speaks {other.speaks}" for other in strangers)
        message = f"on port {spec.port}, {named}: none of them is served"
        return yes("Conflicted", "ProtocolConflict", message)
    twins = [other.name for other in rivals if other.hostname == spec.hostname]
    if twins:
        host = f"hostname {spec.hostname}" if spec.hostname else "every hostname"
        message = f"on port {spec.port}, {', '.join(twins)} too has {host}: none of them is served"
        return yes("Conflicted", "HostnameConflict", message)
    return no("Conflicted", "NoConflicts", "")


def _overlapping(gateway: Gateway, spec: Listener) -> Iterator[Condition]:
    """Say that a client may send requests for one listener over a connection to another.

    Said only where it is so, as Gateway API wants it.
    """
    if spec.speaks != _ENCRYPTED:
        return
    own = spec.hostname or hostnames.ANY
    overlaps = [
        other.name
        for other in _rivals(gateway, spec)
        if other.speaks == _ENCRYPTED
        and (host := other.hostname or hostnames.ANY) != own
        and (hostnames.covers(own, host) or hostnames.covers(host, own))
    ]
    if overlaps:
        message = (
            f"hostnames overlap with those of {', '.join(overlaps)}: on one connection, a client "
            "can send requests for any of them"
        )
        yield yes("OverlappingTLSConfig", "OverlappingHostnames", message)
