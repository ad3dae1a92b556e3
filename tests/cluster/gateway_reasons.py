"""How each reason comes about that is said of a GatewayClass, a Gateway and its listeners."""

from __future__ import annotations

from typing import Final

from tests.cluster.reason_manifests import (
    HTTP,
    VAULT,
    Gone,
    Says,
    case,
    certificate,
    edge_config,
    gateway,
    gateway_class,
    leave,
    quota,
    route,
    sale,
    service,
)

_ROUTE_OK: Final = Says("HTTPRoute/shop", "Accepted", "True/Accepted")
_EDGE_OK: Final = Says("Gateway/edge", "Accepted", "True/Accepted")
_HOLDING: Final = Says("Gateway/edge", "Programmed", "Unknown/NoProxies", "no proxy is connected")


def _https(name: str, port: int, host: str = "", /, **reference: str) -> dict[str, object]:
    tls = {"certificateRefs": [reference or {"name": "cert"}]}
    named = {"hostname": host} if host else {}
    return {"name": name, "protocol": "HTTPS", "port": port, "tls": tls, **named}


CASES: Final = (
    case(
        "settings-missing",
        (
            [
                gateway_class("astray", name="nowhere", namespace="settings-missing"),
                gateway(of="astray"),
                route(),
                service(),
                sale("laptop"),
                quota("model-api", ("Gateway", "edge")),
            ],
            [
                Says(
                    "GatewayClass/astray", "Accepted", "False/InvalidParameters", "/nowhere is not"
                ),
                Says("Gateway/edge", "Accepted", "False/InvalidParameters", "proxies keep what"),
                Says("Gateway/edge", "Programmed", "False/Invalid", "it is not accepted"),
                Says("HTTPRoute/shop", "Accepted", "False/Pending", "see its conditions"),
                Says("FlashSale/laptop", "Accepted", "False/TargetNotAttached", "HTTPRoute"),
                Says("QuotaPolicy/model-api", "Accepted", "False/TargetNotAttached", "see its"),
            ],
        ),
        (
            [edge_config("nowhere")],
            [
                Says("GatewayClass/astray", "Accepted", "True/Accepted"),
                _EDGE_OK,
                _HOLDING,
                _ROUTE_OK,
                Says("FlashSale/laptop", "Accepted", "True/Accepted"),
                Says("QuotaPolicy/model-api", "Accepted", "True/Accepted"),
            ],
        ),
    ),
    case(
        "class-gone",
        ([gateway_class("fleeting"), gateway(of="fleeting")], [_EDGE_OK]),
        (
            [Gone("GatewayClass", "fleeting")],
            [Says("Gateway/edge", "Accepted", "False/NoGatewayClass", "fleeting is not there")],
        ),
        ([gateway_class("fleeting")], [_EDGE_OK]),
    ),
    case(
        "gateway-unread",
        ([gateway()], [_EDGE_OK]),
        (
            [gateway({**HTTP, "port": 0})],
            [Says("Gateway/edge", "Accepted", "False/Invalid", "spec.listeners[0].port")],
        ),
        ([gateway()], [_EDGE_OK]),
    ),
    case(
        "no-listener-works",
        (
            [gateway({**HTTP, "protocol": "TCP"})],
            [
                Says("Gateway/edge", "Accepted", "False/ListenersNotValid", "see http"),
                Says("Gateway/edge#http", "Programmed", "False/Invalid", "left out: protocol TCP"),
            ],
        ),
        ([gateway()], [_EDGE_OK, Says("Gateway/edge#http", "Programmed", "Unknown/NoProxies")]),
    ),
    case(
        "listeners",
        (
            [
                certificate("cert"),
                gateway(
                    HTTP,
                    {"name": "tcp", "protocol": "TCP", "port": 9000},
                    {**_https("through", 9001), "tls": {"mode": "Passthrough"}},
                    _https("uncertified", 9002, name="lost"),
                    _https("foreign", 9003, name="cert", namespace=VAULT),
                    {
                        **HTTP,
                        "name": "kinds",
                        "port": 9004,
                        "allowedRoutes": {"kinds": [{"kind": "GRPCRoute"}]},
                    },
                    {**HTTP, "name": "plain", "port": 9005},
                    _https("secure", 9005),
                    {**HTTP, "name": "upper", "port": 9006},
                    {**HTTP, "name": "lower", "port": 9006, "protocol": "http"},
                    _https("one", 9007, "a.example.com"),
                    _https("every", 9007, "*.example.com"),
                ),
            ],
            [
                Says("Gateway/edge", "Accepted", "True/ListenersNotValid", "served: http"),
                Says("Gateway/edge#http", "Accepted", "True/Accepted"),
                Says("Gateway/edge#http", "ResolvedRefs", "True/ResolvedRefs"),
                Says("Gateway/edge#http", "Conflicted", "False/NoConflicts"),
                Says("Gateway/edge#tcp", "Accepted", "False/UnsupportedProtocol", "use HTTP or"),
                Says("Gateway/edge#through", "Accepted", "False/UnsupportedValue", "use Terminate"),
                Says(
                    "Gateway/edge#uncertified",
                    "ResolvedRefs",
                    "False/InvalidCertificateRef",
                    "Secret listeners/lost is not there: create it",
                ),
                Says(
                    "Gateway/edge#foreign",
                    "ResolvedRefs",
                    "False/RefNotPermitted",
                    "no ReferenceGrant in vault",
                ),
                Says("Gateway/edge#kinds", "ResolvedRefs", "False/InvalidRouteKinds", "GRPCRoute"),
                Says("Gateway/edge#plain", "Conflicted", "True/ProtocolConflict", "secure speaks"),
                Says("Gateway/edge#secure", "Conflicted", "True/ProtocolConflict", "plain speaks"),
                Says("Gateway/edge#upper", "Conflicted", "True/HostnameConflict", "lower too has"),
                Says(
                    "Gateway/edge#one",
                    "OverlappingTLSConfig",
                    "True/OverlappingHostnames",
                    "those of every",
                ),
            ],
        ),
        (
            [
                certificate("lost"),
                leave("Gateway", "listeners", "Secret", name="listeners"),
                gateway(
                    HTTP,
                    _https("uncertified", 9002, name="lost"),
                    _https("foreign", 9003, name="cert", namespace=VAULT),
                    {**HTTP, "name": "kinds", "port": 9004},
                    {**HTTP, "name": "plain", "port": 9005},
                    {**HTTP, "name": "upper", "port": 9006},
                    _https("one", 9007, "a.example.com"),
                ),
            ],
            [
                _EDGE_OK,
                Says("Gateway/edge#tcp", "Accepted", ""),
                Says("Gateway/edge#uncertified", "ResolvedRefs", "True/ResolvedRefs"),
                Says("Gateway/edge#foreign", "ResolvedRefs", "True/ResolvedRefs"),
                Says("Gateway/edge#kinds", "ResolvedRefs", "True/ResolvedRefs"),
                Says("Gateway/edge#plain", "Conflicted", "False/NoConflicts"),
                Says("Gateway/edge#upper", "Conflicted", "False/NoConflicts"),
                Says("Gateway/edge#one", "OverlappingTLSConfig", ""),
            ],
        ),
    ),
)
