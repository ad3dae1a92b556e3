from __future__ import annotations

from typing import Any

import pytest

from controlplane.translate import Translation, translate
from controlplane.translate.bootstrap import proxy_settings
from controlplane.xds import kinds
from tests.contract.envoy.golden import OPTIONS
from tests.contract.envoy.manifests import CLASS, gateway, listener, manifest, route, text
from tests.contract.envoy.proxy import inventory

CONTROLLER = {"controllerName": "sluice.dev/controller"}


def outcome(*documents: Any) -> Translation:
    return translate(inventory(text(*documents)), OPTIONS)


def conditions(translation: Translation, kind: str, name: str = "", part: str = "") -> list[Any]:
    return [
        (found.type, found.status, found.reason, found.message)
        for verdict in translation.report.verdicts
        if verdict.ref.kind == kind and name in {"", verdict.ref.name} and verdict.listener == part
        for found in verdict.conditions
    ]


def test_nothing_gives_nothing() -> None:
    found = translate(inventory(""), OPTIONS)
    assert (found.snapshots, found.sales, found.held, found.report.verdicts) == ({}, (), (), ())


def test_a_gateway_of_another_class_is_left_alone() -> None:
    other = {**CLASS, "metadata": {"name": "other"}, "spec": {"controllerName": "a.com/b"}}
    theirs = gateway(listener(80))
    theirs["spec"]["gatewayClassName"] = "other"
    found = outcome(other, theirs)
    assert found.snapshots == {}
    assert conditions(found, "Gateway") == []
    assert conditions(found, "GatewayClass", "other") == []


def test_a_gateway_without_a_class_says_so() -> None:
    lost = gateway(listener(80))
    lost["spec"]["gatewayClassName"] = "sluize"
    found = outcome(lost)
    message = "GatewayClass sluize is not there: create it"
    assert conditions(found, "Gateway") == [("Accepted", "False", "NoGatewayClass", message)]
    assert found.held == ()


def test_a_gateway_whose_settings_are_gone_keeps_what_it_has() -> None:
    found = outcome(gateway(listener(80), settings="edge"), route("r", {}))
    assert found.snapshots == {}
    assert found.held == ("shop/edge",)
    ((kind, status, reason, message),) = conditions(found, "Gateway")
    assert (kind, status, reason) == ("Accepted", "False", "InvalidParameters")
    assert "EdgeConfig shop/edge is not there" in message
    assert "proxies keep what they have" in message
    assert conditions(found, "HTTPRoute")[0][1:3] == ("False", "Pending")


def test_a_class_whose_settings_are_gone_says_so() -> None:
    reference = {"group": "sluice.dev", "kind": "EdgeConfig", "name": "edge"}
    broken = {**CLASS, "spec": {**CONTROLLER, "parametersRef": reference}}
    found = outcome(broken, gateway(listener(80)))
    assert conditions(found, "GatewayClass")[0][2] == "InvalidParameters"
    assert found.held == ("shop/edge",)


def test_settings_of_another_kind_are_refused() -> None:
    reference = {"group": "", "kind": "ConfigMap", "name": "edge"}
    broken = {**CLASS, "spec": {**CONTROLLER, "parametersRef": reference}}
    message = conditions(outcome(broken), "GatewayClass")[0][3]
    assert "only EdgeConfig of sluice.dev is read" in message


def test_the_gateways_own_settings_stand_before_those_of_the_class() -> None:
    reference = {"group": "sluice.dev", "kind": "EdgeConfig", "name": "all", "namespace": "ops"}
    shared = {**CLASS, "spec": {**CONTROLLER, "parametersRef": reference}}
    settings = [
        manifest("EdgeConfig", "all", {"proxy": {"maxConnections": 1}}, namespace="ops"),
        manifest("EdgeConfig", "own", {"proxy": {"maxConnections": 2}}),
    ]
    for name, expected in (("", 1), ("own", 2)):
        objects = inventory(text(shared, settings, gateway(listener(80), settings=name)))
        found = proxy_settings(objects, "shop/edge")
        assert found is not None
        assert found.max_connections == expected
    assert proxy_settings(objects, "shop/other") is None


@pytest.mark.parametrize(
    ("spec", "condition"),
    [
        (
            listener(90, name="bad", protocol="TCP"),
            ("Accepted", "False", "UnsupportedProtocol"),
        ),
        (
            {**listener(90, name="bad", secret="x"), "tls": {"mode": "Passthrough"}},
            ("Accepted", "False", "UnsupportedValue"),
        ),
        (
            listener(90, name="bad", secret="lost"),
            ("ResolvedRefs", "False", "InvalidCertificateRef"),
        ),
        (
            listener(90, name="bad", secret="opaque"),
            ("ResolvedRefs", "False", "InvalidCertificateRef"),
        ),
        (
            {**listener(90, name="bad", secret="x"), "tls": {"options": {"a.com/b": "c"}}},
            ("ResolvedRefs", "False", "InvalidCertificateRef"),
        ),
        (
            {
                **listener(90, name="bad", secret="x"),
                "tls": {"certificateRefs": [{"name": "x", "namespace": "other"}]},
            },
            ("ResolvedRefs", "False", "RefNotPermitted"),
        ),
        (
            listener(90, name="bad", allowedRoutes={"kinds": [{"kind": "TCPRoute"}]}),
            ("ResolvedRefs", "False", "InvalidRouteKinds"),
        ),
    ],
)
def test_a_listener_that_cannot_work_is_left_out(
    spec: dict[str, Any], condition: tuple[str, str, str]
) -> None:
    secret = manifest("Secret", "opaque", {})
    del secret["spec"]
    secret |= {"apiVersion": "v1", "type": "Opaque", "stringData": {"tls.crt": "x", "tls.key": "y"}}
    found = outcome(gateway(listener(80), spec), secret)
    said = conditions(found, "Gateway", part="bad")
    assert condition in [item[:3] for item in said]
    names = set(found.snapshots["shop/edge"].of_type(kinds.LISTENER))
    assert names == {"edge-80", "sluice-redis"}
    assert ("Accepted", "True", "ListenersNotValid", "left out: bad; served: http") in conditions(
        found, "Gateway"
    )


def test_a_gateway_of_which_nothing_works_is_not_accepted() -> None:
    found = outcome(gateway(listener(80, protocol="UDP")))
    assert conditions(found, "Gateway")[0][:3] == ("Accepted", "False", "ListenersNotValid")
    assert "shop/edge" in found.snapshots


def test_what_is_said_belongs_to_the_generation_that_was_read() -> None:
    document = gateway(listener(80))
    document["metadata"]["generation"] = 7
    found = outcome(document)
    verdicts = found.report.about(next(v.ref for v in found.report.verdicts if v.listener))
    assert {item.observed_generation for verdict in verdicts for item in verdict.conditions} == {7}
