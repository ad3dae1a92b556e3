"""A proxy that asks for everything and confirms it when it is told to, or refuses it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import grpc

from controlplane.xds import discovery_pb2, kinds
from tests.unit.xds.grpc_client import DELTA, Client, node

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Proxy:
    """One connection; confirms everything from the start."""

    def __init__(self, client: Client, name: str) -> None:
        self._client = client
        self._name = name
        self.confirming = asyncio.Event()
        self.confirming.set()
        self.refusing = ""
        """Words with which filters' parameters are refused."""
        self.received = 0

    async def run(self) -> None:
        node_of_first = {"node": node(self._name)}
        for kind in kinds.KINDS:
            await self._client.delta(kind.url, "*", **node_of_first)
            node_of_first = {}
        while (data := await self._client._call.read()) is not grpc.aio.EOF:
            response = discovery_pb2.DeltaDiscoveryResponse.FromString(data)
            self.received += 1
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
async def proxy(port: int, name: str = "edge-1") -> AsyncIterator[Proxy]:
    """A proxy of `shop/edge` that is connected while the context is open."""
    async with Client(port, DELTA) as client:
        made = Proxy(client, name)
        task = asyncio.create_task(made.run())
        try:
            yield made
        finally:
            task.cancel()
            await asyncio.wait((task,))
