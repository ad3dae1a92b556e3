"""A cluster for kubectl's plug-in: a control plane that runs, and pods that are it.

Nothing makes pods here. So the tests write Pod objects bound to a Node whose kubelet is the rig's:
the API server asks it as it would any other, and it passes on to programs of this machine.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import httpx

from controlplane.local import RedisServer, free_port
from controlplane.local.process import Process
from tests.cluster.api_server import SERVICE_ACCOUNT, ApiServer, binary
from tests.cluster.cluster import Objects, edge, prepare, sale
from tests.testkit.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

HOME: Final = "sluice-system"
PORT: Final = 18080
NODE: Final = "this-machine"
PODS: Final = "/api/v1/namespaces/{}/pods"
SEES_PODS: Final = {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}
FORWARDS: Final = {
    "apiGroups": [""],
    "resources": ["pods/portforward"],
    "verbs": ["get", "create"],
}


@dataclass
class Rig:
    """The programs, and what is in the cluster."""

    folder: Path
    server: ApiServer
    redis: RedisServer
    web_port: int = field(default_factory=free_port)
    kubelet_port: int = field(default_factory=free_port)
    processes: list[Process] = field(default_factory=list)
    pods: dict[tuple[str, str], int | None] = field(default_factory=dict)

    @property
    def _pods_file(self) -> Path:
        return self.folder / "pods"

    async def start(self) -> None:
        await self.server.start()
        await self.redis.start()
        objects = await prepare(self.server)
        await objects.make_all(edge(self.redis.address))
        await objects.make_all(sale("laptop", 10))
        self._pods_file.write_text("")
        kubelet = ["-listen", f"127.0.0.1:{self.kubelet_port}", "-pods", self._pods_file]
        self._run("kubelet", [binary("kubelet"), *kubelet])
        self._run("sluice serve", self._serve())
        await self._make_node()
        await eventually(self._answers, what="the control plane knows the sale", deadline=60)

    def _run(self, name: str, command: list[Any]) -> None:
        log = self.folder / f"{name.replace(' ', '-')}.log"
        self.processes.append(Process(name, command, log=log))

    def _serve(self) -> list[Any]:
        kubeconfig = self.server.kubeconfig(SERVICE_ACCOUNT, namespace=HOME)
        return [
            *(sys.executable, "-m", "controlplane", "serve", "--kubernetes"),
            *("--kubeconfig", kubeconfig, "--state-dir", self.folder / "state"),
            *("--xds-port", str(free_port()), "--web-port", str(self.web_port)),
        ]

    async def _answers(self) -> bool:
        url = f"http://127.0.0.1:{self.web_port}/api/v1/sales/shop/laptop"
        async with httpx.AsyncClient(trust_env=False, timeout=1.0) as client:
            try:
                answer = await client.get(url)
            except httpx.HTTPError:
                return False
        return answer.is_success and answer.json()["state"] == "Open"

    async def _make_node(self) -> None:
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}}
        await self.server.call("POST", "/api/v1/nodes", node)
        await self.move_kubelet(self.kubelet_port)

    async def move_kubelet(self, port: int) -> None:
        """Says where the Node's kubelet listens."""
        node = await self.server.call("GET", f"/api/v1/nodes/{NODE}")
        node["status"] = {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        }
        await self.server.call("PUT", f"/api/v1/nodes/{NODE}/status", node)

    async def close(self) -> None:
        for process in reversed(self.processes):
            await process.terminate(20)
        await self.redis.close()
        await self.server.close()

    # ---------------------------------------------------------------------------------- pods
    def add_pod(
        self,
        name: str,
        *,
        namespace: str = HOME,
        release: str = "sluice",
        port: int | None = 0,
        ready: bool = True,
    ) -> None:
        """A pod of the chart; its API is the control plane's, at a port, or nowhere (None)."""
        asyncio.run(self._add(name, namespace, release, ready=ready))
        self.pods[namespace, name] = self.web_port if port == 0 else port
        self.tell_kubelet()

    async def _add(self, name: str, namespace: str, release: str, *, ready: bool) -> None:
        labels = {
            "app.kubernetes.io/name": "sluice",
            "app.kubernetes.io/instance": release,
            "app.kubernetes.io/component": "control-plane",
        }
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": namespace, "labels": labels},
            "spec": {"nodeName": NODE, "containers": [{"name": "sluice", "image": "sluice"}]},
        }
        path = PODS.format(namespace)
        made = await self.server.call("POST", path, pod)
        status = "True" if ready else "False"
        made["status"] |= {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": status}],
        }
        await self.server.call("PUT", f"{path}/{name}/status", made)

    def forget_pod(self, name: str, namespace: str = HOME) -> None:
        """The kubelet knows it no more, while its object is still there, and ready."""
        del self.pods[namespace, name]
        self.tell_kubelet()

    def remove_pods(self) -> None:
        """All objects and what the kubelet knows."""
        asyncio.run(self._remove())
        self.pods.clear()
        self.tell_kubelet()

    async def _remove(self) -> None:
        for pod in (await self.server.call("GET", "/api/v1/pods"))["items"]:
            metadata = pod["metadata"]
            path = f"{PODS.format(metadata['namespace'])}/{metadata['name']}"
            await self.server.call("DELETE", path, {"gracePeriodSeconds": 0})

    def tell_kubelet(self) -> None:
        """Writes down for it what runs here."""
        lines = []
        for (namespace, name), port in self.pods.items():
            where = f" {PORT} 127.0.0.1:{port}" if port else ""
            lines.append(f"{namespace}/{name}{where}\n")
        new = self._pods_file.with_suffix(".new")
        new.write_text("".join(lines))
        new.replace(self._pods_file)

    # --------------------------------------------------------------------------------- users
    def user(self, name: str, *rules: dict[str, Any], everywhere: bool = False) -> Path:
        """A ServiceAccount that may do this in the release's namespace; gives its kubeconfig."""
        return asyncio.run(self._user(name, list(rules), everywhere=everywhere))

    async def _user(self, name: str, rules: list[dict[str, Any]], *, everywhere: bool) -> Path:
        objects = Objects(self.server)
        kind = "ClusterRole" if everywhere else "Role"
        place = {"name": name} if everywhere else {"name": name, "namespace": HOME}
        group = "rbac.authorization.k8s.io"
        account = {"name": name, "namespace": HOME}
        await objects.make(
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account},
            {"apiVersion": f"{group}/v1", "kind": kind, "metadata": place, "rules": rules},
            {
                "apiVersion": f"{group}/v1",
                "kind": f"{kind}Binding",
                "metadata": place,
                "roleRef": {"apiGroup": group, "kind": kind, "name": name},
                "subjects": [{"kind": "ServiceAccount", **account}],
            },
        )
        token = await self.server.service_account_token(HOME, name)
        return self.server.kubeconfig(name, token=token, namespace="shop")
