"""How each reason comes about that is said of an HTTPRoute."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.cluster.reason_manifests import (
    HTTP,
    VAULT,
    Gone,
    Says,
    case,
    gateway,
    leave,
    route,
    rule,
    service,
)

if TYPE_CHECKING:
    from tests.cluster.reason_manifests import Case

_ROUTE_OK: Final = Says("HTTPRoute/shop", "Accepted", "True/Accepted")
_EXTENSION: Final = {
    "type": "ExtensionRef",
    "extensionRef": {"group": "example.com", "kind": "Thing", "name": "x"},
}
_LISTENERS: Final = (
    {**HTTP, "hostname": "*.example.com"},
    {
        **HTTP,
        "name": "closed",
        "port": 8081,
        "allowedRoutes": {"namespaces": {"from": "None"}},
    },
)


def _one_route(
    name: str, wrong: list[dict[str, object]], says: list[Says], right: list[dict[str, object]]
) -> Case:
    """A route on a gateway, wrong at first."""
    around = [gateway(*_LISTENERS), service()]
    resolved = Says("HTTPRoute/shop", "ResolvedRefs", "True/ResolvedRefs")
    partly = Says("HTTPRoute/shop", "PartiallyInvalid", "")
    return case(name, ([*around, *wrong], says), ([*right], [_ROUTE_OK, resolved, partly]))


def _backend(
    name: str, reason: str, words: str, right: list[dict[str, object]], /, **ref: str
) -> Case:
    """A backend that cannot be; its Service or the leave to use it comes later."""
    reference = {"name": "other", "port": 80, **ref}
    says = [_ROUTE_OK, Says("HTTPRoute/shop", "ResolvedRefs", f"False/{reason}", words)]
    return _one_route(name, [route("shop", rule("buy", reference))], says, right)


CASES: Final = (
    _one_route(
        "no-such-listener",
        [route(parents=({"name": "edge", "sectionName": "nope"},))],
        [Says("HTTPRoute/shop", "Accepted", "False/NoMatchingParent", "no listener named nope")],
        [route()],
    ),
    _one_route(
        "not-allowed",
        [route(parents=({"name": "edge", "sectionName": "closed"},))],
        [Says("HTTPRoute/shop", "Accepted", "False/NotAllowedByListeners", "set allowedRoutes.")],
        [route()],
    ),
    _one_route(
        "no-such-host",
        [route(parents=({"name": "edge", "port": 8080},), hostnames=["example.org"])],
        [Says("HTTPRoute/shop", "Accepted", "False/NoMatchingListenerHostname", "*.example.com")],
        [route()],
    ),
    _one_route(
        "no-rule-works",
        [route("shop", rule("buy", filters=[_EXTENSION]))],
        [Says("HTTPRoute/shop", "Accepted", "False/UnsupportedValue", "shop/buy")],
        [route()],
    ),
    _one_route(
        "one-rule-works",
        [route("shop", rule("buy"), rule("pay", filters=[_EXTENSION]))],
        [
            _ROUTE_OK,
            Says("HTTPRoute/shop", "PartiallyInvalid", "True/UnsupportedValue", "get a 500"),
        ],
        [route()],
    ),
    _backend("no-backend", "BackendNotFound", "create it or correct", [service("other")]),
    _backend("odd-backend", "InvalidKind", "only Service can", [route()], kind="Bucket"),
    _backend(
        "foreign-backend",
        "RefNotPermitted",
        "no ReferenceGrant in vault",
        [leave("HTTPRoute", "foreign-backend", "Service", name="backends")],
        name="pay",
        namespace=VAULT,
    ),
    _one_route(
        "udp-backend",
        [
            service("other", protocol="UDP"),
            route("shop", rule("buy", {"name": "other", "port": 80})),
        ],
        [Says("HTTPRoute/shop", "ResolvedRefs", "False/UnsupportedProtocol", "only TCP is served")],
        [route()],
    ),
    case(
        "gateway-gone",
        ([gateway(), service(), route()], [_ROUTE_OK]),
        (
            [Gone("Gateway", "edge")],
            [Says("HTTPRoute/shop", "Accepted", "False/NoMatchingParent", "create it or correct")],
        ),
        ([gateway()], [_ROUTE_OK]),
    ),
    case(
        "route-unread",
        ([gateway(), service(), route()], [_ROUTE_OK]),
        (
            [route("shop", rule("Not A Name"))],
            [
                Says(
                    "HTTPRoute/shop",
                    "PartiallyInvalid",
                    "True/UnsupportedValue",
                    "Fall Back: spec.",
                )
            ],
        ),
        ([route()], [_ROUTE_OK, Says("HTTPRoute/shop", "PartiallyInvalid", "")]),
    ),
)
