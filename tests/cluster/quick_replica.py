"""A control plane on a cluster as a process that can be killed, with the terms of a test.

Run as `python -m tests.cluster.quick_replica KUBECONFIG FOLDER XDS_PORT WEB_PORT STALE`.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Self

import httpx

from controlplane.app import App
from controlplane.cli import logs
from controlplane.local import free_port
from controlplane.local.process import Process
from controlplane.settings import Cluster
from controlplane.status.known_reports import ReplicaTerms
from tests.cluster.api_server import SERVICE_ACCOUNT, ApiServer
from tests.unit.app.control_plane import settings

if TYPE_CHECKING:
    from types import TracebackType


def terms(**changes: float) -> ReplicaTerms:
    """Terms with which nothing is waited for that a test does not have to see."""
    known = {"heartbeat": 0.5, "apart": 0.1, "settle": 0.05, "stale": 3.0, "reconnect": 0.5}
    known |= {"shortest": 0.05, "longest": 0.3}
    return ReplicaTerms(**{**known, **changes})


class QuickReplica:
    """The process; ends with the context."""

    def __init__(self, server: ApiServer, folder: Path, *, stale: float = 3.0) -> None:
        self.xds_port, self.web_port = free_port(), free_port()
        self.log = folder / "serve.log"
        folder.mkdir()
        kubeconfig = server.kubeconfig(SERVICE_ACCOUNT, namespace="sluice-system")
        self.process = Process(
            "replica",
            [
                *(sys.executable, "-m", "tests.cluster.quick_replica", kubeconfig, folder),
                *(str(self.xds_port), str(self.web_port), str(stale)),
            ],
            log=self.log,
        )

    @property
    def leads(self) -> bool:
        """Whether it has ever been the leader."""
        return "Became the leader" in self.log.read_text()

    async def _ready(self) -> bool:
        async with httpx.AsyncClient(trust_env=False) as client:
            try:
                return (await client.get(f"http://127.0.0.1:{self.web_port}/readyz")).is_success
            except httpx.HTTPError:
                return False

    async def __aenter__(self) -> Self:
        await self.process.until_ready(self._ready, 60)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.process.terminate(20)


async def main(kubeconfig: str, folder: str, xds_port: str, web_port: str, stale: str) -> None:
    """Run until it is killed, or told to stop."""
    logs.configure("info", "text")
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    cluster = Cluster(kubeconfig=Path(kubeconfig), replicas=terms(stale=float(stale)))
    ports = {"xds_port": int(xds_port), "web_port": int(web_port)}
    await App(settings(None, Path(folder), cluster=cluster, **ports), {}).run(stop)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
