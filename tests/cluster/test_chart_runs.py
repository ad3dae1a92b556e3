"""What the chart starts, started here: its control plane with its rights, its proxy, over TLS.

Paths and ports are those of this machine; all else is as the chart has it, arguments included.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import yaml

from controlplane.local import free_port
from controlplane.local.envoy_process import find_envoy
from controlplane.local.process import Process
from tests.cluster.api_server import SERVICE_ACCOUNT
from tests.cluster.chart.golden import NAMESPACE, documents, render
from tests.cluster.cluster import Objects
from tests.cluster.gateway_api import install
from tests.testkit.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from controlplane.local import RedisServer
    from tests.cluster.api_server import ApiServer

pytestmark = [pytest.mark.cluster, pytest.mark.envoy, pytest.mark.redis]
HOST = "sluice.sluice-system.svc.cluster.local"
# Of what is rendered, all that an API server needs for it: the rest are pods and their like.
MADE_HERE = {"Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding", "ServiceAccount"}
OBJECTS = {"EdgeConfig", "GatewayClass", "Gateway"}
NAMESPACES = "/api/v1/namespaces"


@dataclass
class Ports:
    """Free ones, in the place of the chart's."""

    xds: int
    filters: int
    web: int
    health: int
    listener: int
    status: int
    admin: int

    @classmethod
    def free(cls) -> Ports:
        return cls(*(free_port() for _ in range(7)))


class Release:
    """The chart's programs on this machine."""

    def __init__(self, folder: Path, server: ApiServer, redis: str) -> None:
        self.server = server
        self.objects = Objects(server)
        self.ports = Ports.free()
        self._folder = folder
        listener = {"name": "http", "protocol": "HTTP", "port": self.ports.listener}
        values = {
            "redis": {"address": redis},
            "gateway": {"listeners": [listener]},
            "edge": {"statusPort": self.ports.status, "workers": 1},
        }
        file = folder / "values.yaml"
        file.write_text(yaml.safe_dump(values))
        self.rendered = documents(render("--values", file))
        self.processes: list[Process] = []

    def find(self, kind: str, name: str) -> dict[str, Any]:
        (found,) = (
            one for one in self.rendered if one["kind"] == kind and one["metadata"]["name"] == name
        )
        return found

    def container(self, kind: str, name: str) -> dict[str, Any]:
        (only,) = self.find(kind, name)["spec"]["template"]["spec"]["containers"]
        return dict(only)

    async def apply(self) -> None:
        """What the control plane acts on, and by which right."""
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
        await self.server.call("POST", NAMESPACES, body)
        hooked = ("-now", "-certificates")
        await self.objects.make(
            *(
                one
                for one in self.rendered
                if one["kind"] in MADE_HERE | OBJECTS
                and not one["metadata"]["name"].endswith(hooked)
            )
        )

    def make_certificates(self) -> None:
        arguments = [
            one
            for one in self.container("Job", "sluice-certificates-now")["args"]
            if not one.startswith(("--namespace", "--secret-prefix"))
        ]
        command = [sys.executable, "-m", "controlplane", *arguments]
        subprocess.run(
            [*command, "--output", self._folder / "tls"],
            check=True,
            timeout=60,
            capture_output=True,
        )

    def start_control_plane(self) -> Path:
        places = {
            "/var/lib/sluice": str(self._folder / "state"),
            "/etc/sluice/tls": str(self._folder / "tls" / "server"),
            "-host=0.0.0.0": "-host=127.0.0.1",
        }
        log = self._folder / "serve.log"
        ports = self.ports
        command = [
            *(sys.executable, "-m", "controlplane"),
            *(_replaced(one, places) for one in self.container("Deployment", "sluice")["args"]),
            *(f"--xds-port={ports.xds}", f"--filters-port={ports.filters}"),
            *(f"--web-port={ports.web}", f"--health-port={ports.health}"),
        ]
        kubeconfig = self.server.kubeconfig(SERVICE_ACCOUNT, namespace=NAMESPACE)
        serve = Process("sluice serve", command, log=log, env={"KUBECONFIG": str(kubeconfig)})
        self.processes.append(serve)
        return log

    def start_edge(self) -> None:
        folder = self._folder / "envoy"
        folder.mkdir()
        places = {
            "/etc/sluice/tls": str(self._folder / "tls" / "proxy"),
            "/etc/sluice/envoy": str(folder),
            # The name is checked against the certificate all the same.
            f'{{address: "{HOST}", port_value: 18000}}': _address(self.ports.xds),
            f'{{address: "{HOST}", port_value: 18081}}': _address(self.ports.filters),
            "port_value: 9901": f"port_value: {self.ports.admin}",
            "$(POD_NAME)": "edge-pod",
        }
        for name, text in self.find("ConfigMap", "sluice-edge")["data"].items():
            (folder / name).write_text(_replaced(text, places))
        arguments = self.container("Deployment", "sluice-edge")["args"]
        command: list[str | Path] = [find_envoy(), *(_replaced(one, places) for one in arguments)]
        self.processes.append(Process("envoy", command, log=self._folder / "envoy.log"))

    async def status(self, path: str, method: str = "GET") -> int:
        """What a proxy answers on its status port; 0 when it does not."""
        url = f"http://127.0.0.1:{self.ports.status}{path}"
        async with httpx.AsyncClient(trust_env=False, timeout=1.0) as client:
            try:
                return (await client.request(method, url)).status_code
            except httpx.HTTPError:
                return 0

    async def healthy(self) -> bool:
        url = f"http://127.0.0.1:{self.ports.health}/readyz"
        async with httpx.AsyncClient(trust_env=False, timeout=1.0) as client:
            try:
                return (await client.get(url)).is_success
            except httpx.HTTPError:
                return False

    def pre_stop(self) -> None:
        hook = self.container("Deployment", "sluice-edge")["lifecycle"]["preStop"]["exec"]
        command = [
            _replaced(one, {"/9901": f"/{self.ports.admin}", "sleep 20": "cat <&3"})
            for one in hook["command"]
        ]
        done = subprocess.run(
            command, check=True, timeout=30, capture_output=True, env={"PATH": os.environ["PATH"]}
        )
        assert b"200 OK" in done.stdout


def _address(port: int) -> str:
    return json.dumps({"address": "127.0.0.1", "port_value": port})


def _replaced(text: str, places: dict[str, str]) -> str:
    for old, new in places.items():
        text = text.replace(old, new)
    return text


@pytest.fixture
async def release(
    tmp_path: Path, api_server: ApiServer, redis_server: RedisServer
) -> AsyncIterator[Release]:
    await install(api_server)
    release = Release(tmp_path, api_server, redis_server.address)
    await release.apply()
    release.make_certificates()
    yield release
    for process in reversed(release.processes):
        await process.terminate(20)


async def test_control_plane_and_proxy_find_each_other(release: Release) -> None:
    release.start_edge()
    log = release.start_control_plane()
    await eventually(release.healthy, what="the control plane is ready", deadline=60)

    async def ready() -> bool:
        return await release.status("/ready") == 200

    await eventually(ready, what="the proxy is ready", deadline=60)
    url = f"http://127.0.0.1:{release.ports.listener}/"
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(url)
        assert answer.status_code == 404  # no route yet
        assert "connection" not in answer.headers

        # All else of the admin page is for nobody.
        assert await release.status("/stats/prometheus") == 200
        for path in ("/config_dump", "/", "/ready/", "/stats"):
            assert await release.status(path) == 404
        assert await release.status("/ready", "POST") == 404

        # The control plane may tell; were it refused anything, the log would say so.
        await release.objects.until("GatewayClass", "sluice", "Accepted", "True/Accepted")
        gateway = await release.objects.get("Gateway", "edge", NAMESPACE)
        conditions = {one["type"]: one["status"] for one in gateway["status"]["conditions"]}
        assert conditions["Accepted"] == "True"
        assert "orbidden" not in log.read_text()

        # What a pod does before it ends.
        release.pre_stop()

        async def leaving() -> bool:
            return bool((await client.get(url)).headers.get("connection") == "close")

        await eventually(leaving, what="clients are asked to go elsewhere")


async def test_a_proxy_without_control_plane_is_not_ready(release: Release) -> None:
    release.start_edge()

    async def admin_up() -> bool:
        url = f"http://127.0.0.1:{release.ports.admin}/ready"
        async with httpx.AsyncClient(trust_env=False, timeout=1.0) as client:
            try:
                return "INITIALIZING" in (await client.get(url)).text
            except httpx.HTTPError:
                return False

    await eventually(admin_up, what="the proxy waits for its configuration")
    assert await release.status("/ready") == 0
