from __future__ import annotations

from typing import Any

import pytest

from controlplane.translate import Translation, translate
from tests.contract.envoy.golden import OPTIONS
from tests.contract.envoy.manifests import gateway, listener, manifest, route, text
from tests.contract.envoy.proxy import inventory


def outcome(*documents: Any) -> Translation:
    return translate(inventory(text(*documents)), OPTIONS)


def accepted(translation: Translation) -> list[tuple[str, str, str]]:
    return [
        (found.status, found.reason, found.message)
        for verdict in translation.report.verdicts
        if verdict.ref.kind == "HTTPRoute" and (found := verdict.condition("Accepted"))
    ]


def attached(translation: Translation) -> dict[str, int | None]:
    return {
        verdict.listener: verdict.attached_routes
        for verdict in translation.report.verdicts
        if verdict.listener
    }


TWO = gateway(listener(80, name="http"), listener(8080, name="alt", hostname="*.example.com"))


@pytest.mark.parametrize(
    ("parent", "hosts", "listeners"),
    [
        ({"name": "edge"}, (), {"http": 1, "alt": 1}),
        ({"name": "edge", "namespace": "shop"}, (), {"http": 1, "alt": 1}),
        ({"name": "edge", "sectionName": "alt"}, (), {"http": 0, "alt": 1}),
        ({"name": "edge", "port": 80}, (), {"http": 1, "alt": 0}),
        ({"name": "edge"}, ("a.example.org",), {"http": 1, "alt": 0}),
    ],
)
def test_a_route_attaches_where_both_agree(
    parent: dict[str, Any], hosts: tuple[str, ...], listeners: dict[str, int]
) -> None:
    found = outcome(TWO, route("r", {}, parents=[parent], hosts=hosts))
    assert attached(found) == listeners
    assert accepted(found) == [("True", "Accepted", "")]


@pytest.mark.parametrize(
    ("parent", "hosts", "reason", "message"),
    [
        (
            {"name": "edge", "sectionName": "tls"},
            (),
            "NoMatchingParent",
            "Gateway shop/edge has no listener named tls; it has http (80), alt (8080)",
        ),
        (
            {"name": "edge", "sectionName": "http", "port": 8080},
            (),
            "NoMatchingParent",
            (
                "Gateway shop/edge has no listener named http on port 8080; "
                "it has http (80), alt (8080)"
            ),
        ),
        (
            {"name": "edge", "sectionName": "alt"},
            ("a.example.org",),
            "NoMatchingListenerHostname",
            "no listener serves a hostname of the route; they serve *.example.com",
        ),
        (
            {"name": "egde"},
            (),
            "NoMatchingParent",
            "Gateway shop/egde is not there: create it or correct the parentRef",
        ),
    ],
)
def test_why_a_route_does_not_attach(
    parent: dict[str, Any], hosts: tuple[str, ...], reason: str, message: str
) -> None:
    found = outcome(TWO, route("r", {}, parents=[parent], hosts=hosts))
    assert accepted(found) == [("False", reason, message)]
    assert attached(found) == {"http": 0, "alt": 0}


@pytest.mark.parametrize(
    ("namespaces", "taken"),
    [
        ({"from": "Same"}, ["shop"]),
        ({"from": "All"}, ["shop", "web"]),
        ({"from": "None"}, []),
        (
            {
                "from": "Selector",
                "selector": {"matchLabels": {"kubernetes.io/metadata.name": "web"}},
            },
            ["web"],
        ),
        (
            {
                "from": "Selector",
                "selector": {
                    "matchExpressions": [
                        {
                            "key": "kubernetes.io/metadata.name",
                            "operator": "In",
                            "values": ["shop", "web"],
                        }
                    ]
                },
            },
            ["shop", "web"],
        ),
        ({"from": "Selector", "selector": {"matchLabels": {"team": "web"}}}, []),
        ({"from": "Selector", "selector": {}}, ["shop", "web"]),
        ({"from": "Selector"}, []),
        # A selector for another way of choosing means nothing.
        ({"from": "Same", "selector": {"matchLabels": {"team": "web"}}}, ["shop"]),
    ],
)
def test_namespaces_that_a_listener_takes_routes_from(
    namespaces: dict[str, Any], taken: list[str]
) -> None:
    open_to = gateway(listener(80, allowedRoutes={"namespaces": namespaces}))
    parents = [{"name": "edge", "namespace": "shop"}]
    routes = [route("r", {}, parents=parents), route("r", {}, parents=parents, namespace="web")]
    found = outcome(open_to, routes)
    reasons = {
        verdict.ref.namespace: condition.reason
        for verdict in found.report.verdicts
        if verdict.ref.kind == "HTTPRoute" and (condition := verdict.condition("Accepted"))
    }
    expected = dict.fromkeys(("shop", "web"), "NotAllowedByListeners")
    assert reasons == expected | dict.fromkeys(taken, "Accepted")


def test_a_parent_of_another_controller_is_not_ours_to_judge() -> None:
    other = manifest("GatewayClass", "other", {"controllerName": "example.com/other"})
    del other["metadata"]["namespace"]
    theirs = gateway(listener(80))
    theirs["metadata"]["name"] = "theirs"
    theirs["spec"]["gatewayClassName"] = "other"
    found = outcome(TWO, other, theirs, route("r", {}, parents=[{"name": "theirs"}]))
    assert accepted(found) == []
    assert set(found.snapshots) == {"shop/edge"}
    service = {"group": "", "kind": "Service", "name": "mesh"}
    assert accepted(outcome(TWO, route("r", {}, parents=[service]))) == []


def test_a_route_named_twice_by_its_parents_counts_once() -> None:
    parents = [{"name": "edge"}, {"name": "edge", "sectionName": "http"}]
    found = outcome(TWO, route("r", {}, parents=parents))
    assert attached(found) == {"http": 1, "alt": 1}
    assert len(accepted(found)) == 2


def labelled(**labels: str) -> dict[str, Any]:
    metadata = {"name": "web", "labels": labels}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


@pytest.mark.parametrize(
    ("selector", "labels", "taken"),
    [
        ({"matchLabels": {"team": "web"}}, {"team": "web"}, True),
        ({"matchLabels": {"team": "web"}}, {"team": "shop"}, False),
        ({"matchLabels": {"team": "web", "kubernetes.io/metadata.name": "web"}}, {}, False),
        (
            {"matchLabels": {"team": "web", "kubernetes.io/metadata.name": "web"}},
            {"team": "web"},
            True,
        ),
        ({"matchExpressions": [{"key": "team", "operator": "Exists"}]}, {"team": "x"}, True),
        ({"matchExpressions": [{"key": "team", "operator": "DoesNotExist"}]}, {}, True),
        (
            {"matchExpressions": [{"key": "team", "operator": "NotIn", "values": ["web"]}]},
            {"team": "web"},
            False,
        ),
    ],
)
def test_a_selector_reads_the_labels_of_the_namespace(
    selector: dict[str, Any], labels: dict[str, str], *, taken: bool
) -> None:
    namespaces = {"from": "Selector", "selector": selector}
    open_to = gateway(listener(80, allowedRoutes={"namespaces": namespaces}))
    parents = [{"name": "edge", "namespace": "shop"}]
    found = outcome(open_to, labelled(**labels), route("r", {}, parents=parents, namespace="web"))
    ((_, reason, message),) = accepted(found)
    assert reason == ("Accepted" if taken else "NotAllowedByListeners")
    if not taken:
        assert "no selector chooses its labels, kubernetes.io/metadata.name=web" in message
    assert attached(found) == {"http": int(taken)}


def test_a_route_attaches_to_a_listener_that_does_not_work() -> None:
    # Gateway API counts by what both sides allow, not by the state of the listener.
    lost = gateway(listener(443, secret="lost"), listener(80, name="plain"))
    section = {"name": "edge", "sectionName": "http"}
    found = outcome(lost, route("r", {}, parents=[section]), route("both", {}))
    assert attached(found) == {"http": 2, "plain": 1}
    assert accepted(found) == [
        ("True", "Accepted", ""),
        ("True", "Accepted", "not served, as no listener works: see http of the Gateway"),
    ]


def test_a_route_of_which_nothing_works_is_not_counted() -> None:
    nothing = {"filters": [{"type": "CORS", "cors": {}}]}
    found = outcome(TWO, route("r", nothing), route("s", nothing, {}))
    assert [(status, reason) for status, reason, _ in accepted(found)] == [
        ("False", "UnsupportedValue"),
        ("True", "Accepted"),
    ]
    assert attached(found) == {"http": 1, "alt": 1}


def test_a_route_of_a_kind_that_no_listener_takes() -> None:
    closed = gateway(listener(80, allowedRoutes={"kinds": [{"kind": "GRPCRoute"}]}))
    message = "no listener takes routes of kind HTTPRoute: set allowedRoutes.kinds"
    assert accepted(outcome(closed, route("r", {}))) == [
        ("False", "NotAllowedByListeners", message)
    ]
