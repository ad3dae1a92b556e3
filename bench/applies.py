"""How long an apply takes: from the request to an API server until every worker acts on it.

The parts are those of a cluster: etcd and kube-apiserver, a control plane that has the rights of
its ServiceAccount and writes status, and an Envoy. Each edit is sent as `kubectl apply
--server-side` sends it, and its time begins before it is sent.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import time
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Self

import httpx

from bench import edits
from bench.stage import GATEWAY, StageError, clients_by_worker, made, manifests, sluice
from controlplane.local import EnvoyProcess, RedisServer, free_port
from controlplane.local.process import Process
from controlplane.sources.api_types import TYPES
from tests.cluster.api_server import ADMIN, SERVICE_ACCOUNT, ApiServer, binary
from tests.cluster.cluster import Objects, prepare

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

PROGRAMS = ("etcd", "kube-apiserver")
SALE = "not-started"
PATH = "/sale"
_NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "bench"}}
_READY = 60.0
_APPLIED = 10.0


def need() -> None:
    """Tells at once when the programs are missing, and not after all else was measured.

    Raises:
        MissingBinaryError: one is not there.
    """
    for name in PROGRAMS:
        binary(name)


class Cluster:
    """An API server with the benchmark's objects, and what acts on them."""

    def __init__(self, server: ApiServer, envoy: EnvoyProcess, redis: str, port: int) -> None:
        self.envoy = envoy
        self.port = port
        self._redis = redis
        self._client = httpx.AsyncClient(
            base_url=server.url,
            verify=ssl.create_default_context(cafile=str(server.ca)),
            headers={
                "Authorization": f"Bearer {server.token(ADMIN)}",
                "Content-Type": "application/apply-patch+yaml",
            },
            timeout=_APPLIED,
            trust_env=False,
        )

    @classmethod
    @asynccontextmanager
    async def open(cls, folder: Path, workers: int) -> AsyncIterator[Self]:
        """Starts everything, and ends it."""
        port, xds, web = (free_port() for _ in range(3))
        async with AsyncExitStack() as stack:
            redis = RedisServer(directory=made(folder / "redis"))
            await redis.start()
            stack.push_async_callback(redis.close)
            server = await stack.enter_async_context(ApiServer(folder / "api"))
            objects = await prepare(server)
            await objects.make(_NAMESPACE, *_objects(redis.address, port, 0))
            control = Process(
                "sluice", _command(server, folder, xds, web), log=folder / "sluice.log"
            )
            stack.push_async_callback(control.terminate, 10.0)
            await control.until_ready(lambda: _is_ready(web), _READY)
            address = ("--gateway", GATEWAY, "--xds-address", f"127.0.0.1:{xds}")
            bootstrap = sluice("bootstrap", *address)
            envoy = EnvoyProcess(bootstrap, concurrency=workers, directory=made(folder / "envoy"))
            stack.push_async_callback(envoy.stop)
            await envoy.start()
            cluster = cls(server, envoy, redis.address, port)
            stack.push_async_callback(cluster._client.aclose)
            await _programmed(objects)
            yield cluster

    async def apply(self, revision: int) -> None:
        """Sends the sale of that revision."""
        (sale,) = (
            one for one in _objects(self._redis, self.port, revision) if one["kind"] == "FlashSale"
        )
        path = TYPES["FlashSale"].path("bench", SALE)
        options = {"fieldManager": "bench", "force": "true"}
        answer = await self._client.patch(path, params=options, content=json.dumps(sale))
        if answer.is_error:
            raise StageError(f"the API server refuses an edit: {answer.text[:500]}")

    async def by_worker(self) -> list[int]:
        """Open client connections of each worker."""
        return await clients_by_worker(self.envoy, self.port)


async def measure(
    folder: Path, count: int, workers: int, advance: Callable[[], object]
) -> list[float]:
    """Seconds that each of `count` edits took until all workers acted on it, sorted."""
    async with Cluster.open(made(folder), workers) as cluster:

        async def apply(revision: int) -> None:
            await cluster.apply(revision)
            advance()

        asked = await edits.one_of_each(cluster.port, workers, cluster.by_worker)
        try:
            return await edits.measure(asked, count, apply, path=PATH)
        finally:
            for worker in asked:
                worker.close()


def _objects(redis: str, port: int, revision: int) -> list[dict[str, Any]]:
    wanted = frozenset({SALE})
    return manifests(redis=redis, port=port, revision=revision, policies=wanted)


def _command(server: ApiServer, folder: Path, xds: int, web: int) -> list[str | Path]:
    kubeconfig = server.kubeconfig(SERVICE_ACCOUNT, namespace="sluice-system")
    return [
        *(sys.executable, "-m", "controlplane", "serve", "--kubernetes"),
        *("--kubeconfig", kubeconfig, "--state-dir", folder / "state"),
        *("--xds-port", str(xds), "--web-port", str(web)),
    ]


async def _is_ready(web: int) -> bool:
    async with httpx.AsyncClient(trust_env=False) as client:
        try:
            return (await client.get(f"http://127.0.0.1:{web}/readyz")).is_success
        except httpx.HTTPError:
            return False


async def _programmed(objects: Objects) -> None:
    """Waits until status says that Envoy runs the sale: then all is as it will stay."""
    end = time.monotonic() + _READY
    while True:
        found = await objects.get("FlashSale", SALE, "bench")
        conditions = (found.get("status") or {}).get("conditions", ())
        told = {one["type"]: one["status"] for one in conditions}
        if told.get("Programmed") == "True":
            return
        if time.monotonic() > end:
            raise StageError(f"the sale was not in force after {_READY:g} s: {conditions}")
        await asyncio.sleep(0.1)
