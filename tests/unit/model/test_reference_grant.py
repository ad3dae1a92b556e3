"""Grants and namespaces: what they say, and what they do not."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.model import Invalid, Namespace, ObjectRef, ReferenceGrant, parse

GATEWAY_API = "gateway.networking.k8s.io"
ROUTE = ObjectRef("HTTPRoute", "shop", "r")
SERVICE = ObjectRef("Service", "web", "front")


def grant(
    source: dict[str, Any] | None = None, target: dict[str, Any] | None = None, **document: Any
) -> ReferenceGrant:
    found = parse(
        {
            "apiVersion": f"{GATEWAY_API}/v1beta1",
            "kind": "ReferenceGrant",
            "metadata": {"name": "shop", "namespace": "web"},
            "spec": {
                "from": [
                    {"group": GATEWAY_API, "kind": "HTTPRoute", "namespace": "shop"}
                    | (source or {})
                ],
                "to": [{"group": "", "kind": "Service"} | (target or {})],
            },
            **document,
        }
    )
    assert isinstance(found, ReferenceGrant)
    return found


def problem(**document: Any) -> str:
    with pytest.raises(Invalid) as caught:
        grant(**document)
    return "; ".join(str(found) for found in caught.value.problems)


@pytest.mark.parametrize(
    ("source", "target", "permitted"),
    [
        ({}, {}, True),
        ({}, {"name": "front"}, True),
        ({}, {"name": "back"}, False),
        ({}, {"kind": "Secret"}, False),
        ({}, {"group": "multicluster.x-k8s.io"}, False),
        ({"namespace": "other"}, {}, False),
        ({"kind": "Gateway"}, {}, False),
        ({"group": "example.com"}, {}, False),
    ],
)
def test_a_grant_permits_what_it_names(
    source: dict[str, Any], target: dict[str, Any], *, permitted: bool
) -> None:
    assert grant(source, target).permits(ROUTE, SERVICE) is permitted


@pytest.mark.parametrize(
    ("kind", "group"), [("Deployment", "apps"), ("HorizontalPodAutoscaler", "autoscaling")]
)
def test_a_sale_may_be_let_scale(kind: str, group: str) -> None:
    sale, target = ObjectRef("FlashSale", "shop", "laptop"), ObjectRef(kind, "web", "front")
    source = {"group": "sluice.dev", "kind": "FlashSale"}
    assert grant(source, {"group": group, "kind": kind}).permits(sale, target)
    assert not grant(source, {"group": "", "kind": kind}).permits(sale, target)
    assert not grant({"kind": "FlashSale"}, {"group": group, "kind": kind}).permits(sale, target)
    assert not grant(source, {"group": group, "kind": "StatefulSet"}).permits(sale, target)


def test_a_grant_holds_for_its_own_namespace_only() -> None:
    assert not grant().permits(ROUTE, ObjectRef("Service", "bank", "front"))


def test_each_entry_adds_to_the_others() -> None:
    source = [
        {"group": GATEWAY_API, "kind": "Gateway", "namespace": "ops"},
        {"group": GATEWAY_API, "kind": "HTTPRoute", "namespace": "shop"},
    ]
    target = [{"group": "", "kind": "Secret"}, {"group": "", "kind": "Service", "name": "front"}]
    found = grant(spec={"from": source, "to": target})
    assert found.permits(ROUTE, SERVICE)
    # Every `from` goes with every `to`, as Gateway API has it.
    assert found.permits(ObjectRef("Gateway", "ops", "edge"), ObjectRef("Secret", "web", "x"))
    assert found.permits(ROUTE, ObjectRef("Secret", "web", "x"))
    assert not found.permits(ROUTE, ObjectRef("Service", "web", "back"))


def test_both_versions_are_read() -> None:
    assert grant(apiVersion=f"{GATEWAY_API}/v1").permits(ROUTE, SERVICE)
    assert "must be gateway.networking.k8s.io/v1beta1" in problem(
        apiVersion=f"{GATEWAY_API}/v1alpha2"
    )


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"from": [], "to": [{"group": "", "kind": "Service"}]}, "spec.from"),
        ({"from": [{"group": "", "kind": "X", "namespace": "a"}], "to": []}, "spec.to"),
        ({"from": [{"group": "", "kind": "X"}], "to": [{"group": "", "kind": "S"}]}, "namespace"),
        (
            {
                "from": [{"group": "", "kind": "X", "namespace": ""}],
                "to": [{"group": "", "kind": "S"}],
            },
            "spec.from[0].namespace",
        ),
        (
            {"from": [{"group": "", "kind": "X", "namespace": "a"}], "to": [{"kind": "S"}]},
            "spec.to[0].group",
        ),
    ],
)
def test_a_grant_that_says_too_little_is_refused(spec: dict[str, Any], message: str) -> None:
    assert message in problem(spec=spec)


def test_a_namespace_has_its_name_as_label() -> None:
    found = parse(
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": "web", "labels": {"team": "web"}},
            "spec": {"finalizers": ["kubernetes"]},
            "status": {"phase": "Active"},
        }
    )
    assert isinstance(found, Namespace)
    assert found.labels == {"team": "web", "kubernetes.io/metadata.name": "web"}
    assert found.ref == ObjectRef("Namespace", "", "web")
