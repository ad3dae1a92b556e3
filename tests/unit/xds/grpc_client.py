"""A client over gRPC, as thin as can be: it says what it is told and gives what it gets."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self

import grpc

from controlplane.xds import discovery_pb2, kinds
from tests.unit.xds.samples import GATEWAY

if TYPE_CHECKING:
    from types import TracebackType

ADS = "envoy.service.discovery.v3.AggregatedDiscoveryService"
SOTW, DELTA = f"/{ADS}/StreamAggregatedResources", f"/{ADS}/DeltaAggregatedResources"
DEADLINE = 20.0


def node(node_id: str = "edge-1", cluster: str = GATEWAY) -> discovery_pb2.Node:
    made = discovery_pb2.Node(id=node_id, cluster=cluster, user_agent_name="test")
    made.metadata.update({"workers": 2})
    return made


class Client:
    """One stream of one method."""

    def __init__(
        self, port: int, method: str, credentials: grpc.ChannelCredentials | None = None
    ) -> None:
        where = f"127.0.0.1:{port}"
        if credentials is None:
            self._channel = grpc.aio.insecure_channel(where)
        else:
            # Not the connection of a client before this one.
            own = [("grpc.use_local_subchannel_pool", 1)]
            self._channel = grpc.aio.secure_channel(where, credentials, options=own)
        self._method = method
        self._call: Any = self._channel.stream_stream(method)()
        self._response = (
            discovery_pb2.DeltaDiscoveryResponse
            if "/Delta" in method
            else discovery_pb2.DiscoveryResponse
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._call.cancel()
        await self._channel.close()

    def disconnected(self) -> bool:
        """Whether the connection is closed, by the server or for good."""
        return self._channel.get_state() is not grpc.ChannelConnectivity.READY

    def again(self) -> None:
        """A new stream, after the last one has ended."""
        self._call = self._channel.stream_stream(self._method)()

    async def send(self, message: Any) -> None:
        data = message if isinstance(message, bytes) else message.SerializeToString()
        await self._call.write(data)

    async def sotw(self, url: str, *names: str, **fields: Any) -> None:
        await self.send(
            discovery_pb2.DiscoveryRequest(type_url=url, resource_names=names, **fields)
        )

    async def delta(self, url: str, *names: str, **fields: Any) -> None:
        await self.send(
            discovery_pb2.DeltaDiscoveryRequest(
                type_url=url, resource_names_subscribe=names, **fields
            )
        )

    async def receive(self) -> Any:
        """The next response."""
        async with asyncio.timeout(DEADLINE):
            data = await self._call.read()
        if data is grpc.aio.EOF:
            message = f"the stream has ended: {await self._call.details()}"
            raise AssertionError(message)
        return self._response.FromString(data)

    async def half_close(self) -> None:
        await self._call.done_writing()

    async def ending(self) -> tuple[grpc.StatusCode, str]:
        """How the stream ended, when it does."""
        async with asyncio.timeout(DEADLINE):
            return await self._call.code(), await self._call.details()


def methods() -> list[tuple[str, kinds.Kind]]:
    """Every method of the single-type services."""
    return [
        (f"/{kind.service}/{variant}{kind.method}", kind)
        for kind in kinds.KINDS
        for variant in ("Stream", "Delta")
    ]
