"""Listeners of one port: which are served together, and what is said of those that are not."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.translate import Translation, translate
from controlplane.xds import kinds
from tests.contract.envoy.golden import OPTIONS
from tests.contract.envoy.manifests import gateway, listener, route, text
from tests.contract.envoy.proxy import inventory

GRPC = {"kind": "GRPCRoute"}
HTTP = {"kind": "HTTPRoute"}


def outcome(*documents: Any) -> Translation:
    return translate(inventory(text(*documents)), OPTIONS)


def said(translation: Translation, kind: str) -> dict[str, tuple[str, str]]:
    return {
        verdict.listener: (found.status, found.reason)
        for verdict in translation.report.verdicts
        if verdict.listener and (found := verdict.condition(kind))
    }


def whole(translation: Translation) -> tuple[str, str, str]:
    (found,) = (
        condition
        for verdict in translation.report.verdicts
        if verdict.ref.kind == "Gateway" and not verdict.listener
        for condition in verdict.conditions
    )
    return found.status, found.reason, found.message


def ports(translation: Translation) -> set[str]:
    names = translation.snapshots["shop/edge"].of_type(kinds.LISTENER)
    return {name for name in names if name.startswith("edge-")}


def test_of_listeners_that_speak_different_protocols_on_a_port_none_is_served() -> None:
    found = outcome(
        gateway(
            listener(80, name="a"),
            listener(80, name="b", secret="x"),
            listener(80, name="c", hostname="c.example.com"),
            listener(81, name="d"),
        )
    )
    conflict = ("True", "ProtocolConflict")
    assert said(found, "Conflicted") == {
        "a": conflict,
        "b": conflict,
        "c": conflict,
        "d": ("False", "NoConflicts"),
    }
    assert ports(found) == {"edge-81"}
    assert whole(found) == ("True", "ListenersNotValid", "left out: a, b, c; served: d")
    problems = [str(problem) for problem in found.report.problems]
    assert any("on port 80, b speaks HTTPS: none of them is served" in one for one in problems)


def test_of_listeners_with_one_hostname_on_a_port_none_is_served() -> None:
    host = "a.example.com"
    found = outcome(
        gateway(
            listener(80, name="a", hostname=host),
            listener(80, name="b", hostname=host, protocol="http"),
            listener(80, name="c"),
            listener(81, name="d", hostname=host),
        )
    )
    conflict = ("True", "HostnameConflict")
    assert said(found, "Conflicted") == {
        "a": conflict,
        "b": conflict,
        "c": ("False", "NoConflicts"),
        "d": ("False", "NoConflicts"),
    }
    assert ports(found) == {"edge-80", "edge-81"}
    assert whole(found) == ("True", "ListenersNotValid", "left out: a, b; served: c, d")


def test_a_gateway_of_conflicts_alone_is_not_accepted() -> None:
    found = outcome(gateway(listener(80, name="a"), listener(80, name="b", protocol="Http")))
    assert set(said(found, "Conflicted").values()) == {("True", "HostnameConflict")}
    assert whole(found) == ("False", "ListenersNotValid", "no listener works: see a, b")


def test_a_protocol_that_is_not_served_is_in_nobodys_way() -> None:
    found = outcome(gateway(listener(80), listener(80, name="tcp", protocol="TCP")))
    assert set(said(found, "Conflicted").values()) == {("False", "NoConflicts")}
    assert said(found, "Accepted")["tcp"] == ("False", "UnsupportedProtocol")
    assert ports(found) == {"edge-80"}


def test_protocols_are_told_apart_in_any_case() -> None:
    found = outcome(gateway(listener(80, protocol="http")))
    assert said(found, "Accepted") == {"http": ("True", "Accepted")}
    assert ports(found) == {"edge-80"}


def test_listeners_that_share_connections_say_so() -> None:
    found = outcome(
        gateway(
            listener(443, name="a", hostname="foo.example.com", secret="x"),
            listener(443, name="b", hostname="foo.example.org", secret="x"),
            listener(443, name="c", hostname="*.example.com", secret="x"),
            listener(444, name="d", secret="x"),
            listener(80, name="e"),
            listener(80, name="f", hostname="foo.example.com"),
        )
    )
    # Gateway API's own example; the condition must not be there when it does not hold.
    overlap = ("True", "OverlappingHostnames")
    assert said(found, "OverlappingTLSConfig") == {"a": overlap, "c": overlap}
    assert not [one for one in found.report.problems if "overlap" in one.message]


@pytest.mark.parametrize(
    ("allowed", "supported", "resolved", "served"),
    [
        ([], 1, ("True", "ResolvedRefs"), True),
        ([HTTP], 1, ("True", "ResolvedRefs"), True),
        ([HTTP, HTTP], 1, ("True", "ResolvedRefs"), True),
        ([GRPC], 0, ("False", "InvalidRouteKinds"), False),
        ([GRPC, HTTP], 1, ("False", "InvalidRouteKinds"), True),
        ([{**HTTP, "group": "example.com"}], 0, ("False", "InvalidRouteKinds"), False),
        ([{**HTTP, "group": ""}], 0, ("False", "InvalidRouteKinds"), False),
    ],
)
def test_kinds_of_routes_that_a_listener_takes(
    allowed: list[Any], supported: int, resolved: tuple[str, str], *, served: bool
) -> None:
    found = outcome(
        gateway(listener(80, allowedRoutes={"kinds": allowed}), listener(81, name="other")),
        route("r", {}, parents=[{"name": "edge", "sectionName": "http"}]),
    )
    (listed,) = (
        verdict.supported_kinds for verdict in found.report.verdicts if verdict.listener == "http"
    )
    assert listed is not None
    assert [kind.kind for kind in listed] == ["HTTPRoute"] * supported
    assert said(found, "ResolvedRefs")["http"] == resolved
    assert said(found, "Accepted")["http"] == ("True", "Accepted")
    assert ("edge-80" in ports(found)) is served
    (reason,) = (
        condition.reason
        for verdict in found.report.verdicts
        if verdict.ref.kind == "HTTPRoute" and (condition := verdict.condition("Accepted"))
    )
    assert reason == ("Accepted" if served else "NotAllowedByListeners")


def test_a_listener_of_a_foreign_protocol_serves_no_kind_of_route() -> None:
    found = outcome(
        gateway(listener(80, protocol="TCP", allowedRoutes={"kinds": [{"kind": "TCPRoute"}]}))
    )
    assert [verdict.supported_kinds for verdict in found.report.verdicts if verdict.listener] == [
        ()
    ]
    assert said(found, "ResolvedRefs") == {"http": ("False", "InvalidRouteKinds")}


@pytest.mark.parametrize("whole_gateway", [True, False])
def test_clients_that_must_be_checked_are_not_served_unchecked(*, whole_gateway: bool) -> None:
    validation = {"caCertificateRefs": [{"group": "", "kind": "ConfigMap", "name": "ca"}]}
    document = gateway(listener(80, name="plain"), listener(443, name="tls", secret="x"))
    if whole_gateway:
        document["spec"]["tls"] = {"frontend": {"default": {"validation": validation}}}
    else:
        document["spec"]["listeners"][1]["tls"]["frontendValidation"] = validation
    found = outcome(document)
    assert said(found, "Accepted") == {
        "plain": ("True", "Accepted"),
        "tls": ("False", "UnsupportedValue"),
    }
    assert ports(found) == {"edge-80"}
