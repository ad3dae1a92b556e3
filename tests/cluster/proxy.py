"""A proxy that asks for everything and confirms it when it is told to, or refuses it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import grpc

from controlplane.xds import discovery_pb2, kinds
from tests.testkit.waiting import alongside
from tests.unit.xds.grpc_client import DELTA, Client, node
from tests.unit.xds.samples import GATEWAY

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Proxy:
    """One connection; confirms everything from the start."""

    def __init__(self, client: Client, name: str, gateway: str = GATEWAY) -> None:
        self._client = client
        self._name = name
        self._gateway = gateway
        self.confirming = asyncio.Event()
        self.confirming.set()
        self.refusing = ""
        """Words with which filters' parameters are refused."""
        self.received = 0
        self.gone = asyncio.Event()
        """Set when the stream has ended."""
        self.has: dict[tuple[str, str], str] = {}
        """Version of each resource, by type URL and name."""
        self.removed: list[str] = []
        """Names of all resources that were taken from it, in order."""

    async def run(self) -> None:
        try:
            await self._run()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            pass  # whoever wants to know looks at `gone`
        finally:
            self.gone.set()

    async def _run(self) -> None:
        node_of_first = {"node": node(self._name, self._gateway)}
        for kind in kinds.KINDS:
            await self._client.delta(kind.url, "*", **node_of_first)
            node_of_first = {}
        while (data := await self._client._call.read()) is not grpc.aio.EOF:
            response = discovery_pb2.DeltaDiscoveryResponse.FromString(data)
            self.received += 1
            self.has |= {(response.type_url, one.name): one.version for one in response.resources}
            for name in response.removed_resources:
                self.has.pop((response.type_url, name), None)
                self.removed.append(name)
            await self.confirming.wait()
            await self._answer(response)

    async def _answer(self, response: discovery_pb2.DeltaDiscoveryResponse) -> None:
        url, nonce = response.type_url, response.nonce
        if self.refusing and url == kinds.EXTENSION and response.resources:
            error = discovery_pb2.Status(code=3, message=self.refusing)
            await self._client.delta(url, response_nonce=nonce, error_detail=error)
        else:
            await self._client.delta(url, response_nonce=nonce)


@asynccontextmanager
async def proxy(port: int, name: str = "edge-1", gateway: str = GATEWAY) -> AsyncIterator[Proxy]:
    """A proxy of a gateway (`shop/edge`) that is connected while the context is open."""
    async with Client(port, DELTA) as client:
        made = Proxy(client, name, gateway)
        async with alongside(made.run()):
            yield made
