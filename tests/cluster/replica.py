"""One `sluice serve --kubernetes` as a process of its own, and what it costs and says."""

from __future__ import annotations

import os
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from controlplane.local import free_port
from controlplane.local.process import Process
from tests.cluster.api_server import SERVICE_ACCOUNT, ApiServer

if TYPE_CHECKING:
    from collections.abc import Sequence

_TICKS = os.sysconf("SC_CLK_TCK")
_DEADLINE = 30.0


@dataclass(frozen=True, slots=True)
class Cost:
    """What a process has used, and the most memory that it ever had."""

    cpu: float
    """Seconds."""
    resident: float
    peak: float
    """Megabytes."""


class Replica:
    """A control plane with the rights of its ServiceAccount; `url` leads by another way."""

    def __init__(
        self,
        server: ApiServer,
        folder: Path,
        *,
        url: str | None = None,
        options: Sequence[str] = (),
    ) -> None:
        self.xds_port, self.web_port = free_port(), free_port()
        self.log = folder / "serve.log"
        folder.mkdir()
        kubeconfig = server.kubeconfig(SERVICE_ACCOUNT, namespace="sluice-system", url=url)
        self.process = Process(
            "sluice serve",
            [
                sys.executable,
                *("-m", "controlplane", "serve", "--kubernetes", "--kubeconfig", kubeconfig),
                *("--state-dir", folder / "state", "--xds-port", str(self.xds_port)),
                *("--web-port", str(self.web_port)),
                *options,
            ],
            log=self.log,
        )

    async def ready(self) -> bool:
        """Whether it has read all objects once."""
        async with httpx.AsyncClient(trust_env=False) as client:
            try:
                return (await client.get(f"{self._server}/readyz")).is_success
            except httpx.HTTPError:
                return False

    @property
    def leads(self) -> bool:
        """Whether it has ever been the leader."""
        return "Became the leader" in self.log.read_text()

    @property
    def leads_now(self) -> bool:
        """Whether it is the leader, as far as it knows."""
        words = ("Became the leader", "Lost the lease", "Gave the lease back")
        log = self.log.read_text()
        became, *ended = (log.rfind(one) for one in words)
        return became > max(ended)

    async def status(self) -> dict[str, Any]:
        """What it says of all objects."""
        async with httpx.AsyncClient(trust_env=False, timeout=_DEADLINE) as client:
            answer = await client.get(f"{self._server}/api/v1/status")
        return dict(answer.json())

    async def writes(self) -> Counter[tuple[str, str]]:
        """Attempts to write status so far, by kind and outcome."""
        async with httpx.AsyncClient(trust_env=False, timeout=_DEADLINE) as client:
            text = (await client.get(f"{self._server}/metrics")).text
        return Counter(
            {
                (sample.labels["kind"], sample.labels["outcome"]): int(sample.value)
                for family in text_string_to_metric_families(text)
                for sample in family.samples
                if sample.name == "sluice_status_writes_total"
            }
        )

    def cost(self) -> Cost:
        """What it has cost so far; the tether that holds it has become it."""
        process = Path("/proc") / str(self.process.pid)
        # The name in brackets may hold spaces.
        fields = (process / "stat").read_text().rpartition(")")[2].split()
        lines = (process / "status").read_text().splitlines()
        memory = {name: rest for name, _, rest in (line.partition(":") for line in lines)}
        return Cost(
            (int(fields[11]) + int(fields[12])) / _TICKS,
            int(memory["VmRSS"].split()[0]) / 1024,
            int(memory["VmHWM"].split()[0]) / 1024,
        )

    @property
    def _server(self) -> str:
        return f"http://127.0.0.1:{self.web_port}"
