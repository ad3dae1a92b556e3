"""A cluster for the operator: our kinds, its ServiceAccount with its rights, and objects to run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import yaml

from controlplane.kube import ResourceType
from controlplane.model.crds import definitions
from controlplane.settings import Cluster
from controlplane.sources.api_types import TYPES
from controlplane.status.known_reports import ReplicaTerms
from tests.cluster.api_server import ROOT, SERVICE_ACCOUNT, ApiServer
from tests.cluster.gateway_api import gateway_api, install
from tests.testkit.waiting import eventually
from tests.unit.app.control_plane import EDGE, SALE

if TYPE_CHECKING:
    from collections.abc import Iterable

RBAC_GROUP: Final = "rbac.authorization.k8s.io"
OTHERS: Final = {
    "ServiceAccount": ResourceType("", "v1", "serviceaccounts", "ServiceAccount"),
    "ClusterRole": ResourceType(RBAC_GROUP, "v1", "clusterroles", "ClusterRole", namespaced=False),
    "ClusterRoleBinding": ResourceType(
        RBAC_GROUP, "v1", "clusterrolebindings", "ClusterRoleBinding", namespaced=False
    ),
    "Role": ResourceType(RBAC_GROUP, "v1", "roles", "Role"),
    "RoleBinding": ResourceType(RBAC_GROUP, "v1", "rolebindings", "RoleBinding"),
}
EVENTS: Final = "/apis/events.k8s.io/v1/namespaces/shop/events"
RBAC: Final = ROOT / "tests" / "cluster" / "rbac.yaml"
NAMESPACE: Final = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}
AT_ONCE: Final = ReplicaTerms(reconnect=0.0)
"""For a control plane on its own, whose proxies come when a test has them come."""


class Objects:
    """Makes, changes and reads objects as the admin, past all code that is under test."""

    def __init__(self, server: ApiServer) -> None:
        self.server = server

    async def make(self, *objects: dict[str, Any]) -> None:
        for obj in objects:
            await self.server.call("POST", self._path(obj, named=False), obj)

    async def make_all(self, text: str) -> None:
        await self.make(*yaml.safe_load_all(text))

    async def get(self, kind: str, name: str, namespace: str = "shop") -> dict[str, Any]:
        found = await self.server.call("GET", _type(kind).path(namespace, name))
        return dict(found)

    async def edit(self, kind: str, name: str, **spec: Any) -> dict[str, Any]:
        """Sets fields of a spec."""
        found = await self.get(kind, name)
        found["spec"].update(spec)
        return await self.replace(found)

    async def replace(self, obj: dict[str, Any], subresource: str = "") -> dict[str, Any]:
        path = self._path(obj, named=True) + (f"/{subresource}" if subresource else "")
        return dict(await self.server.call("PUT", path, obj))

    async def delete(self, kind: str, name: str, namespace: str = "shop") -> None:
        await self.server.call("DELETE", _type(kind).path(namespace, name))

    async def status(self, kind: str, name: str) -> dict[str, Any]:
        return dict((await self.get(kind, name)).get("status") or {})

    async def events(self, reason: str = "") -> list[dict[str, Any]]:
        found = (await self.server.call("GET", EVENTS))["items"]
        return [one for one in found if not reason or one["reason"] == reason]

    async def until(self, kind: str, name: str, condition: str, expected: str) -> dict[str, Any]:
        """Waits for a condition, as `kubectl wait` does: of the newest generation; `True/Reason`.

        Gives the condition.
        """

        async def holds() -> dict[str, Any]:
            obj = await self.get(kind, name)
            found = by_type(obj.get("status") or {}).get(condition, {})
            seen = f"{found.get('status')}/{found.get('reason')}"
            assert expected in {seen, found.get("status")}, found
            assert found["observedGeneration"] == obj["metadata"]["generation"], found
            return found

        what = f"{kind} {name}: {condition} is {expected}"
        return dict(await eventually(holds, what=what, every=0.05))

    @staticmethod
    def _path(obj: dict[str, Any], *, named: bool) -> str:
        metadata = obj["metadata"]
        name = metadata["name"] if named else ""
        return _type(obj["kind"]).path(metadata.get("namespace"), name)


def _type(kind: str) -> ResourceType:
    return TYPES.get(kind) or OTHERS[kind]


def by_type(status: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The conditions of a status, by type."""
    return {one["type"]: one for one in status.get("conditions") or ()}


async def prepare(server: ApiServer, *, without: str = "") -> Objects:
    """Installs all kinds but one, the operator's rights, and the namespace `shop`."""
    wanted = (*gateway_api(), *definitions().values())
    await install(server, *(crd for crd in wanted if crd["spec"]["names"]["kind"] != without))
    objects = Objects(server)
    await objects.make(*yaml.safe_load_all(RBAC.read_text()), NAMESPACE)
    return objects


def edge(redis: str) -> str:
    """An edge with one gateway, a route, and a Service."""
    return EDGE.format(redis=redis)


def sale(name: str = "laptop", stock: int = 3) -> str:
    """A sale that is open."""
    return SALE.format(name=name, stock=stock)


def cluster(
    server: ApiServer, namespaces: Iterable[str] = (), replicas: ReplicaTerms = AT_ONCE
) -> Cluster:
    """How the operator reaches it: as its ServiceAccount, never as the admin."""
    kubeconfig = server.kubeconfig(SERVICE_ACCOUNT, namespace="sluice-system")
    return Cluster(kubeconfig=kubeconfig, namespaces=tuple(namespaces), replicas=replicas)
