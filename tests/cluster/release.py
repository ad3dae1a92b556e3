"""What the chart starts, started here: its control planes with their rights, its proxy, over TLS.

Paths and ports are those of this machine; all else is as the chart has it, arguments included.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import httpx
import yaml

from controlplane.local import free_port
from controlplane.local.envoy_process import find_envoy
from controlplane.local.process import Process
from tests.cluster.api_server import SERVICE_ACCOUNT
from tests.cluster.chart.golden import NAMESPACE, documents, render
from tests.cluster.cluster import Objects
from tests.cluster.gateway_api import install
from tests.cluster.kubectl import Kubectl

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.cluster.api_server import ApiServer

HOST: Final = "sluice.sluice-system.svc.cluster.local"
_DEADLINE: Final = 60.0


@dataclass(frozen=True)
class Ports:
    """Of a control plane: free ones, in the place of the chart's."""

    xds: int
    filters: int
    web: int
    health: int

    @classmethod
    def free(cls) -> Ports:
        return cls(*(free_port() for _ in range(4)))


@dataclass(frozen=True)
class ControlPlane:
    """One replica."""

    process: Process
    ports: Ports

    @property
    def log(self) -> str:
        return self.process.log.read_text()

    @property
    def leads(self) -> bool:
        """Whether it has ever been the leader."""
        return "Became the leader" in self.log

    async def healthy(self) -> bool:
        url = f"http://127.0.0.1:{self.ports.health}/readyz"
        return (await answered(url)) == httpx.codes.OK


class Release:
    """The chart's programs on this machine.

    `values` and `files` are the chart's, as for `helm install`.
    """

    def __init__(
        self, folder: Path, server: ApiServer, values: Mapping[str, Any], *files: Path
    ) -> None:
        self.server = server
        self.objects = Objects(server)
        self.kubectl = Kubectl(server, folder)
        self.ports = Ports.free()
        self.status_port, self.admin_port = free_port(), free_port()
        self._folder = folder
        self._values = folder / "values.yaml"
        edge = {"statusPort": self.status_port, "workers": 2}
        self._values.write_text(yaml.safe_dump({**values, "edge": edge}))
        options = [part for file in (*files, self._values) for part in ("--values", file)]
        self.text = render(*options)
        self.rendered = documents(self.text)
        self.processes: list[Process] = []

    def find(self, kind: str, name: str) -> dict[str, Any]:
        (found,) = (
            one for one in self.rendered if one["kind"] == kind and one["metadata"]["name"] == name
        )
        return found

    def container(self, kind: str, name: str) -> dict[str, Any]:
        (only,) = self.find(kind, name)["spec"]["template"]["spec"]["containers"]
        return dict(only)

    async def install(self) -> None:
        """Makes all that the chart makes; what its Jobs and Deployments would run is up to you."""
        await install(self.server)
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
        await self.server.call("POST", "/api/v1/namespaces", body)
        await self.kubectl.does("apply", "--server-side", "-f", "-", text=self.text)
        self._make_certificates()

    def _make_certificates(self) -> None:
        arguments = [
            one
            for one in self.container("Job", "sluice-certificates-now")["args"]
            if not one.startswith(("--namespace", "--secret-prefix"))
        ]
        command = [sys.executable, "-m", "controlplane", *arguments]
        subprocess.run(
            [*command, "--output", self._folder / "tls"],
            check=True,
            timeout=_DEADLINE,
            capture_output=True,
        )

    def start_control_plane(self, ports: Ports | None = None) -> ControlPlane:
        """Starts one replica; without `ports` it listens where the proxy looks for it."""
        ports = ports or self.ports
        folder = self._folder / f"control-plane-{ports.xds}"
        folder.mkdir()
        places = {
            "/var/lib/sluice": str(folder / "state"),
            "/etc/sluice/tls": str(self._folder / "tls" / "server"),
            "-host=0.0.0.0": "-host=127.0.0.1",
        }
        command = [
            *(sys.executable, "-m", "controlplane"),
            *(_replaced(one, places) for one in self.container("Deployment", "sluice")["args"]),
            *(f"--xds-port={ports.xds}", f"--filters-port={ports.filters}"),
            *(f"--web-port={ports.web}", f"--health-port={ports.health}"),
        ]
        kubeconfig = self.server.kubeconfig(SERVICE_ACCOUNT, namespace=NAMESPACE)
        environment = {"KUBECONFIG": str(kubeconfig)}
        serve = Process("sluice serve", command, log=folder / "serve.log", env=environment)
        self.processes.append(serve)
        return ControlPlane(serve, ports)

    def start_edge(self) -> None:
        folder = self._folder / "envoy"
        folder.mkdir()
        places = {
            "/etc/sluice/tls": str(self._folder / "tls" / "proxy"),
            "/etc/sluice/envoy": str(folder),
            # The name is checked against the certificate all the same.
            f'{{address: "{HOST}", port_value: 18000}}': _address(self.ports.xds),
            f'{{address: "{HOST}", port_value: 18081}}': _address(self.ports.filters),
            "port_value: 9901": f"port_value: {self.admin_port}",
            "$(POD_NAME)": "edge-pod",
        }
        for name, text in self.find("ConfigMap", "sluice-edge")["data"].items():
            (folder / name).write_text(_replaced(text, places))
        arguments = self.container("Deployment", "sluice-edge")["args"]
        command: list[str | Path] = [find_envoy(), *(_replaced(one, places) for one in arguments)]
        self.processes.append(Process("envoy", command, log=self._folder / "envoy.log"))

    async def status(self, path: str, method: str = "GET") -> int:
        """What a proxy answers on its status port; 0 when it does not."""
        return await answered(f"http://127.0.0.1:{self.status_port}{path}", method)

    async def ready(self) -> bool:
        """Whether the proxy has its first configuration."""
        return (await self.status("/ready")) == httpx.codes.OK

    def pre_stop(self) -> None:
        hook = self.container("Deployment", "sluice-edge")["lifecycle"]["preStop"]["exec"]
        command = [
            _replaced(one, {"/9901": f"/{self.admin_port}", "sleep 20": "cat <&3"})
            for one in hook["command"]
        ]
        done = subprocess.run(
            command, check=True, timeout=30, capture_output=True, env={"PATH": os.environ["PATH"]}
        )
        assert b"200 OK" in done.stdout

    async def close(self) -> None:
        for process in reversed(self.processes):
            await process.terminate(20)


async def answered(url: str, method: str = "GET") -> int:
    """The status of an answer; 0 when there is none."""
    async with httpx.AsyncClient(trust_env=False, timeout=1.0) as client:
        try:
            return (await client.request(method, url)).status_code
        except httpx.HTTPError:
            return 0


def _address(port: int) -> str:
    return json.dumps({"address": "127.0.0.1", "port_value": port})


def _replaced(text: str, places: dict[str, str]) -> str:
    for old, new in places.items():
        text = text.replace(old, new)
    return text
