from __future__ import annotations

from typing import Any

import pytest

from controlplane.translate import Translation, translate
from controlplane.translate.describe import describe
from controlplane.translate.wire import message_class
from controlplane.xds import kinds
from tests.contract.envoy.golden import OPTIONS
from tests.contract.envoy.manifests import gateway, listener, manifest, route, text
from tests.contract.envoy.proxy import GATEWAY, inventory


def outcome(*documents: Any) -> Translation:
    return translate(inventory(text(gateway(listener(80)), *documents)), OPTIONS)


def resource(translation: Translation, url: str, name: str) -> dict[str, Any] | None:
    found, kind = translation.snapshots[GATEWAY].get(url, name), message_class(url)
    assert kind is not None
    return describe(kind, found.body) if found is not None else None


def endpoints(translation: Translation, name: str = "svc/shop/a/80") -> list[str]:
    found = resource(translation, kinds.ENDPOINTS, name)
    assert found is not None
    members = [item for place in found.get("endpoints", []) for item in place["lb_endpoints"]]
    places = [member["endpoint"]["address"]["socket_address"] for member in members]
    return [f"{place['address']}:{place['port_value']}" for place in places]


def slice_(name: str, family: str, ports: list[Any], *servers: Any) -> dict[str, Any]:
    found = manifest("EndpointSlice", name, {}, labels={"kubernetes.io/service-name": "a"})
    del found["spec"]
    return found | {"addressType": family, "ports": ports, "endpoints": list(servers)}


def server(*addresses: str, **conditions: bool) -> dict[str, Any]:
    return {"addresses": list(addresses), "conditions": conditions}


SERVICE = manifest(
    "Service", "a", {"ports": [{"name": "http", "port": 80}, {"name": "grpc", "port": 81}]}
)
ROUTE = route("r", {"backendRefs": [{"name": "a", "port": 80}, {"name": "a", "port": 81}]})
HTTP = {"name": "http", "port": 8000}


def test_ready_endpoints_of_the_named_port_in_order() -> None:
    found = outcome(
        SERVICE,
        ROUTE,
        slice_(
            "a-2",
            "IPv4",
            [HTTP, {"name": "grpc", "port": 9000}, {"name": "other", "port": 1}],
            server("10.0.0.2"),
            server("10.0.0.9", ready=False),
            server("10.0.0.1", "10.0.0.8", ready=True),
        ),
        slice_("a-1", "IPv4", [HTTP], server("10.0.0.3"), server("10.0.0.2")),
    )
    assert endpoints(found) == ["10.0.0.1:8000", "10.0.0.2:8000", "10.0.0.3:8000"]
    assert endpoints(found, "svc/shop/a/81") == ["10.0.0.1:9000", "10.0.0.2:9000"]
    verdict = next(v for v in found.report.verdicts if v.ref.kind == "HTTPRoute")
    condition = verdict.condition("ResolvedRefs")
    assert condition is not None
    assert (condition.status, condition.message) == ("True", "")


def test_the_same_servers_in_two_families_are_taken_once() -> None:
    four = slice_("a-4", "IPv4", [HTTP], server("10.0.0.1"))
    six = slice_("a-6", "IPv6", [HTTP], server("2001:db8::1"))
    assert endpoints(outcome(SERVICE, ROUTE, four, six)) == ["10.0.0.1:8000"]
    assert endpoints(outcome(SERVICE, ROUTE, six)) == ["2001:db8::1:8000"]


@pytest.mark.parametrize(
    "other",
    [
        slice_("a", "IPv4", [{"name": "", "port": 8000}], server("10.0.0.1")),
        slice_(
            "a", "IPv4", [{"name": "http", "port": 8000, "protocol": "UDP"}], server("10.0.0.1")
        ),
        slice_("a", "IPv4", [{"name": "http"}], server("10.0.0.1")),
        slice_("a", "FQDN", [HTTP], server("a.example.com")),
        slice_("a", "IPv4", [HTTP], server("not-an-address")),
        {**slice_("a", "IPv4", [HTTP], server("10.0.0.1")), "metadata": {"name": "a"}},
    ],
)
def test_what_is_no_endpoint_of_the_port(other: dict[str, Any]) -> None:
    found = outcome(SERVICE, ROUTE, other)
    assert endpoints(found) == []
    assert found.report.problems == ()
    messages = [item.message for v in found.report.verdicts for item in v.conditions]
    assert any("Service shop/a has no ready endpoints on port 80" in text for text in messages)


@pytest.mark.parametrize(
    ("spec", "port", "place"),
    [
        ({}, 443, ("STRICT_DNS", "far.example.com", 443)),
        (
            {"ports": [{"port": 80, "targetPort": 8080}]},
            80,
            ("STRICT_DNS", "far.example.com", 8080),
        ),
        ({"ports": [{"port": 80}], "externalName": "10.0.0.1"}, 80, ("STATIC", "10.0.0.1", 80)),
    ],
)
def test_an_external_name(spec: dict[str, Any], port: int, place: tuple[str, str, int]) -> None:
    spec = {"type": "ExternalName", "externalName": "far.example.com", **spec}
    found = outcome(
        manifest("Service", "far", spec),
        route("r", {"backendRefs": [{"name": "far", "port": port}]}),
    )
    cluster = resource(found, kinds.CLUSTER, f"svc/shop/far/{port}")
    assert cluster is not None
    address = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]
    seen = address["socket_address"]
    assert (cluster["type"], seen["address"], seen["port_value"]) == place
    assert not found.snapshots[GATEWAY].of_type(kinds.ENDPOINTS)


@pytest.mark.parametrize(
    ("ref", "reason"),
    [
        ({"name": "gone", "port": 80}, "BackendNotFound"),
        ({"name": "a", "port": 8080}, "BackendNotFound"),
        ({"name": "a", "port": 80, "namespace": "other"}, "RefNotPermitted"),
        ({"name": "a", "kind": "Bucket", "group": "s3.example.com"}, "InvalidKind"),
    ],
)
def test_a_backend_that_leads_nowhere(ref: dict[str, Any], reason: str) -> None:
    found = outcome(SERVICE, route("r", {"backendRefs": [ref]}))
    verdict = next(v for v in found.report.verdicts if v.ref.kind == "HTTPRoute")
    condition = verdict.condition("ResolvedRefs")
    assert condition is not None
    assert (condition.status, condition.reason) == ("False", reason)
    accepted = verdict.condition("Accepted")
    assert accepted is not None
    assert accepted.status == "True"


def test_a_backend_that_wants_tls_is_not_spoken_to_without() -> None:
    ports = [{"port": 80, "appProtocol": "kubernetes.io/wss"}]
    secure = manifest("Service", "secure", {"ports": ports})
    backend = {"name": "secure", "port": 80}
    found = outcome(secure, route("r", {"backendRefs": [backend]}))
    verdict = next(v for v in found.report.verdicts if v.ref.kind == "HTTPRoute")
    condition = verdict.condition("ResolvedRefs")
    assert condition is not None
    assert (condition.status, condition.reason) == ("False", "UnsupportedProtocol")
    assert resource(found, kinds.CLUSTER, "svc/shop/secure/80") is None


PATH = {"type": "ReplaceFullPath", "replaceFullPath": "/x"}


@pytest.mark.parametrize(
    "changed",
    [
        {"type": "URLRewrite", "urlRewrite": {"path": PATH}},
        {"type": "CORS", "cors": {}},
    ],
)
def test_a_filter_that_a_backend_cannot_have_is_a_fault_of_the_route(
    changed: dict[str, Any],
) -> None:
    bad = {"name": "a", "port": 80, "filters": [changed]}
    for backends, kind, status in (
        ([bad], "Accepted", "False"),
        ([bad, {"name": "a", "port": 80}], "PartiallyInvalid", "True"),
    ):
        found = outcome(SERVICE, route("r", {"backendRefs": backends}))
        verdict = next(v for v in found.report.verdicts if v.ref.kind == "HTTPRoute")
        condition = verdict.condition(kind)
        assert condition is not None
        assert (condition.status, condition.reason) == (status, "UnsupportedValue")
        assert "its share of the requests gets a 500" in condition.message
        resolved = verdict.condition("ResolvedRefs")
        assert resolved is not None
        assert resolved.status == "True"


def test_a_route_that_is_attached_nowhere_brings_no_cluster() -> None:
    away = route(
        "r", {"backendRefs": [{"name": "a", "port": 80}]}, parents=[{"name": "edge", "port": 9}]
    )
    assert resource(outcome(SERVICE, away), kinds.CLUSTER, "svc/shop/a/80") is None


def test_connections_are_bounded_by_what_the_proxy_accepts() -> None:
    settings = manifest("EdgeConfig", "edge", {"proxy": {"maxConnections": 77_000}})
    found = translate(
        inventory(text(gateway(listener(80), settings="edge"), settings, SERVICE, ROUTE)), OPTIONS
    )
    cluster = resource(found, kinds.CLUSTER, "svc/shop/a/80")
    assert cluster is not None
    (threshold,) = cluster["circuit_breakers"]["thresholds"]
    assert set(threshold.values()) == {77_000}
