"""A small kind of the tests' own, so that the machinery is tried without any of our schemas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from controlplane.kube import Object, ResourceType
from tests.testkit.waiting import eventually

if TYPE_CHECKING:
    from tests.cluster.api_server import ApiServer

WIDGETS = ResourceType("test.sluice.dev", "v1", "widgets", "Widget")
_CONDITIONS = {
    "type": "array",
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["type"],
    "items": {
        "type": "object",
        "required": ["type", "status"],
        "properties": {
            name: {"type": "string"} for name in ("type", "status", "reason", "message")
        },
    },
}
_SCHEMA = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "properties": {"size": {"type": "integer", "minimum": 0}, "text": {"type": "string"}},
        },
        "status": {
            "type": "object",
            "properties": {"conditions": _CONDITIONS, "state": {"type": "string"}},
        },
    },
}
CRD: Object = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "widgets.test.sluice.dev"},
    "spec": {
        "group": WIDGETS.group,
        "scope": "Namespaced",
        "names": {"plural": "widgets", "singular": "widget", "kind": "Widget"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": _SCHEMA},
            }
        ],
    },
}


def widget(name: str, namespace: str = "default", **spec: Any) -> Object:
    """A widget."""
    return {
        "apiVersion": WIDGETS.api_version,
        "kind": WIDGETS.kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


async def install_widgets(server: ApiServer) -> None:
    """Installs the kind, if it is not there, and waits until it is served."""
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    found = await server.call("GET", definitions)
    if not any(item["metadata"]["name"] == CRD["metadata"]["name"] for item in found["items"]):
        await server.call("POST", definitions, CRD)

    async def served() -> bool:
        await server.call("GET", WIDGETS.path("default"))
        return True

    await eventually(served, what="the widgets' CRD is served")
