"""References across namespaces: not followed without a grant, nor a moment longer than it."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.translate import Translation, translate
from controlplane.xds import kinds
from tests.contract.envoy.golden import OPTIONS
from tests.contract.envoy.manifests import (
    gateway,
    grant,
    listener,
    manifest,
    route,
    service,
    text,
    to,
)
from tests.contract.envoy.proxy import inventory

PEM = {
    "tls.crt": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    "tls.key": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
}
BACKEND = "service/web/front/80"


def moved(*documents: Any) -> list[dict[str, Any]]:
    """The same objects, in the namespace `web`."""
    return [{**found, "metadata": {**found["metadata"], "namespace": "web"}} for found in documents]


def outcome(*documents: Any) -> Translation:
    return translate(inventory(text(*documents)), OPTIONS)


def resolved(translation: Translation, kind: str) -> tuple[str, str, str]:
    (found,) = (
        condition
        for verdict in translation.report.verdicts
        if verdict.ref.kind == kind and (condition := verdict.condition("ResolvedRefs"))
    )
    return found.status, found.reason, found.message


def clusters(translation: Translation) -> set[str]:
    return {
        name
        for name in translation.snapshots["shop/edge"].of_type(kinds.CLUSTER)
        if "front" in name
    }


ROUTE = route("r", {"backendRefs": [to("front", namespace="web")]})
FRONT = moved(*service("front", 8000))


@pytest.mark.parametrize(
    ("given", "followed"),
    [
        ([], False),
        ([grant("HTTPRoute", "Service")], True),
        ([grant("HTTPRoute", "Service", name="front")], True),
        ([grant("HTTPRoute", "Service", name="other")], False),
        ([grant("HTTPRoute", "Secret")], False),
        ([grant("Gateway", "Service")], False),
        ([grant("HTTPRoute", "Service", source="ops")], False),
        ([grant("HTTPRoute", "Service", namespace="shop")], False),
        ([grant("Gateway", "Secret", title="a"), grant("HTTPRoute", "Service", title="b")], True),
    ],
)
def test_a_backend_of_another_namespace(given: list[Any], *, followed: bool) -> None:
    found = outcome(gateway(listener(80)), ROUTE, FRONT, given)
    status, reason, message = resolved(found, "HTTPRoute")
    assert bool(clusters(found)) is followed
    if followed:
        assert (status, reason) == ("True", "ResolvedRefs")
    else:
        assert (status, reason) == ("False", "RefNotPermitted")
        assert "no ReferenceGrant in web lets HTTPRoutes of shop refer to it" in message
        assert "its share of the requests gets a 500" in message
    # The route itself is not at fault.
    assert [
        condition.status
        for verdict in found.report.verdicts
        if verdict.ref.kind == "HTTPRoute" and (condition := verdict.condition("Accepted"))
    ] == ["True"]


def test_what_may_not_be_referred_to_is_not_told_apart_from_what_is_not_there() -> None:
    there = resolved(outcome(gateway(listener(80)), ROUTE, FRONT), "HTTPRoute")
    missing = resolved(outcome(gateway(listener(80)), ROUTE), "HTTPRoute")
    assert there == missing


def test_a_grant_does_not_make_a_service() -> None:
    found = outcome(gateway(listener(80)), ROUTE, grant("HTTPRoute", "Service"))
    assert resolved(found, "HTTPRoute")[1] == "BackendNotFound"


def test_a_namespace_needs_no_grant_of_its_own() -> None:
    backend = to("front", namespace="shop")
    found = outcome(
        gateway(listener(80)), route("r", {"backendRefs": [backend]}), service("front", 8000)
    )
    assert resolved(found, "HTTPRoute")[:2] == ("True", "ResolvedRefs")


@pytest.mark.parametrize(
    ("given", "followed"),
    [
        ([], False),
        ([grant("Gateway", "Secret")], True),
        ([grant("Gateway", "Secret", name="cert")], True),
        ([grant("Gateway", "Secret", name="other")], False),
        ([grant("HTTPRoute", "Secret")], False),
    ],
)
def test_a_certificate_of_another_namespace(given: list[Any], *, followed: bool) -> None:
    secret = manifest("Secret", "cert", {}, namespace="web")
    del secret["spec"]
    secret |= {"apiVersion": "v1", "type": "kubernetes.io/tls", "stringData": PEM}
    spec = listener(443, secret="cert")
    spec["tls"]["certificateRefs"][0]["namespace"] = "web"
    found = outcome(gateway(spec), secret, given)
    expected = ("True", "ResolvedRefs") if followed else ("False", "RefNotPermitted")
    assert resolved(found, "Gateway")[:2] == expected
    snapshot = found.snapshots["shop/edge"]
    assert bool(snapshot.of_type(kinds.SECRET)) is followed
    assert ("edge-443" in snapshot.of_type(kinds.LISTENER)) is followed
