"""Gateway API's kinds as far as the control plane sees them, and our own from manifests/crds.

Specs are taken as they are: what is in them is the business of other tests. Status has the
structure of the standard CRDs (v1.3), since server-side apply goes by it: which lists are maps,
which are one value, and what stands in a new object from the start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from controlplane.model.crds import definitions
from controlplane.model.gateway import GATEWAY_API
from controlplane.sources.api_types import TYPES
from tests.cluster.api_server import manifest
from tests.testkit.waiting import eventually

if TYPE_CHECKING:
    from tests.cluster.api_server import ApiServer

DEFINITIONS: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_STATUS: Final = """
conditions: &conditions
  type: array
  maxItems: 8
  x-kubernetes-list-type: map
  x-kubernetes-list-map-keys: [type]
  items:
    type: object
    required: [lastTransitionTime, message, reason, status, type]
    properties:
      lastTransitionTime: {type: string, format: date-time}
      message: {type: string, maxLength: 32768}
      observedGeneration: {type: integer, format: int64, minimum: 0}
      reason: {type: string, minLength: 1, maxLength: 1024}
      status: {type: string, enum: ["True", "False", Unknown]}
      type: {type: string, maxLength: 316}
GatewayClass:
  type: object
  default:
    conditions:
    - &waiting
      {type: Accepted, status: Unknown, reason: Pending, message: Waiting for controller,
       lastTransitionTime: "1970-01-01T00:00:00Z"}
  properties: {conditions: *conditions}
Gateway:
  type: object
  default:
    conditions:
    - *waiting
    - {type: Programmed, status: Unknown, reason: Pending, message: Waiting for controller,
       lastTransitionTime: "1970-01-01T00:00:00Z"}
  properties:
    conditions: *conditions
    addresses:
      type: array
      maxItems: 16
      x-kubernetes-list-type: atomic
      items:
        type: object
        required: [value]
        properties: {type: {type: string, default: IPAddress}, value: {type: string}}
    listeners:
      type: array
      maxItems: 64
      x-kubernetes-list-type: map
      x-kubernetes-list-map-keys: [name]
      items:
        type: object
        required: [attachedRoutes, conditions, name]
        properties:
          name: {type: string}
          attachedRoutes: {type: integer, format: int32}
          conditions: *conditions
          supportedKinds:
            type: array
            x-kubernetes-list-type: atomic
            items:
              type: object
              required: [kind]
              properties:
                group: {type: string, default: gateway.networking.k8s.io}
                kind: {type: string}
HTTPRoute:
  type: object
  required: [parents]
  properties:
    parents:
      type: array
      maxItems: 32
      x-kubernetes-list-type: atomic
      items:
        type: object
        required: [conditions, controllerName, parentRef]
        properties:
          conditions: *conditions
          controllerName: {type: string}
          parentRef:
            type: object
            required: [name]
            properties:
              group: {type: string, default: gateway.networking.k8s.io}
              kind: {type: string, default: Gateway}
              namespace: {type: string}
              name: {type: string}
              sectionName: {type: string}
              port: {type: integer}
ReferenceGrant: {type: object}
"""


def gateway_api() -> list[dict[str, Any]]:
    """CRDs of the kinds of Gateway API that we read."""
    statuses = manifest(_STATUS)
    return [
        _definition(kind, statuses[kind]) for kind, one in TYPES.items() if one.group == GATEWAY_API
    ]


def _definition(kind: str, status: dict[str, Any]) -> dict[str, Any]:
    resource = TYPES[kind]
    schema = {
        "type": "object",
        "properties": {
            "spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
            "status": status,
        },
    }
    version = {
        "name": resource.version,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": schema},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": str(resource),
            "annotations": {"api-approved.kubernetes.io": "https://github.com/kubernetes-sigs"},
        },
        "spec": {
            "group": resource.group,
            "scope": "Namespaced" if resource.namespaced else "Cluster",
            "names": {"kind": kind, "plural": resource.plural, "singular": kind.lower()},
            "versions": [version],
        },
    }


async def install(server: ApiServer, *crds: dict[str, Any]) -> None:
    """Installs CRDs that are not there (by default of all our kinds), until they are served."""
    wanted = crds or (*gateway_api(), *definitions().values())
    there = {one["metadata"]["name"] for one in (await server.call("GET", DEFINITIONS))["items"]}
    for crd in wanted:
        if crd["metadata"]["name"] not in there:
            await server.call("POST", DEFINITIONS, crd)

    async def served() -> bool:
        for crd in wanted:
            names = crd["spec"]["names"]
            await server.call("GET", TYPES[names["kind"]].path())
        return True

    await eventually(served, what="the CRDs are served")
