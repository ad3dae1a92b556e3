"""The status of a listener: which routes it takes, and whether proxies listen for them."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.model import ObjectRef
from controlplane.sources.standings import Standing
from controlplane.status.shapes import Known, body
from tests.unit.status.facts import EDGE, SALE, START, Scene, books

GATEWAY = ObjectRef("Gateway", "shop", "edge")
LISTENER = "{name: http, protocol: HTTP, port: 8080}"
HTTP_ROUTE = {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute"}


def listeners(spec: str, *more: str) -> dict[str, Any]:
    assert LISTENER in EDGE
    scene = Scene(EDGE.replace(LISTENER, ", ".join([spec, *more])) + "---" + SALE)
    scene.observe(books())
    status = next(one for one in scene.tracker.status.objects if one.ref == GATEWAY)
    standing = Standing("", "1", 1, {})
    made = body(
        "Gateway",
        Known(standing=standing, inventory=scene.facts.inventory, now=START, status=status),
    )
    assert made is not None
    parts = {part.name: part.as_json() for part in status.parts}
    for one in made["listeners"]:
        assert parts[f"listener {one['name']}"]["supportedKinds"] == one["supportedKinds"]
    return {one["name"]: one for one in made["listeners"]}


def programmed(listener: dict[str, Any]) -> str:
    return next(str(one["status"]) for one in listener["conditions"] if one["type"] == "Programmed")


@pytest.mark.parametrize(
    ("kinds", "supported", "working"),
    [
        ("[]", [HTTP_ROUTE], "True"),
        ("[{kind: HTTPRoute}]", [HTTP_ROUTE], "True"),
        ("[{kind: GRPCRoute}, {kind: HTTPRoute}]", [HTTP_ROUTE], "True"),
        ("[{kind: GRPCRoute}]", [], "False"),
    ],
)
def test_a_listener_tells_which_kinds_it_takes(
    kinds: str, supported: list[Any], working: str
) -> None:
    spec = f"{{name: http, protocol: http, port: 8080, allowedRoutes: {{kinds: {kinds}}}}}"
    found = listeners(spec, "{name: other, protocol: HTTP, port: 8081}")
    assert found["http"]["supportedKinds"] == supported
    assert programmed(found["http"]) == working
    assert programmed(found["other"]) == "True"


def test_listeners_in_conflict_are_not_programmed() -> None:
    found = listeners(
        LISTENER, "{name: b, protocol: http, port: 8080}", "{name: c, protocol: HTTP, port: 8081}"
    )
    assert {name: programmed(one) for name, one in found.items()} == {
        "http": "False",
        "b": "False",
        "c": "True",
    }
    assert found["b"]["attachedRoutes"] == 1
