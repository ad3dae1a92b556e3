"""A TCP connection to a port of a pod, through the API server and the pod's kubelet.

The protocol is v4.channel.k8s.io on a WebSocket, as kubelets and container runtimes serve it: each
binary message begins with the number of a channel, and for the one port that is asked for here
channel 0 carries its bytes both ways and channel 1 says what went wrong. The first message of each
is the port, in two bytes. It is open before the pod was asked, so a pod that does not listen is
told of later, by channel 1.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final, Self

import aiohttp

from controlplane.kube.errors import UnavailableError, from_transport, one_line
from controlplane.kube.resources import ResourceType
from controlplane.kube.session import Call
from controlplane.kube.websocket import websocket

if TYPE_CHECKING:
    from controlplane.kube.session import Session

PODS: Final = ResourceType("", "v1", "pods", "Pod")
_PROTOCOL: Final = "v4.channel.k8s.io"
_DATA: Final = 0
_ERROR: Final = 1
LARGEST: Final = 32 * 1024
"""Bytes to send at once: what kubelets themselves send in a message."""


class PortForward:
    """One connection; a reader and a writer at a time."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, what: str, server: str) -> None:
        self._socket = socket
        self._what = what
        self._server = server
        self._stack = AsyncExitStack()
        self._begun: set[int] = set()

    @classmethod
    async def open(cls, session: Session, namespace: str, pod: str, port: int) -> Self:
        """Open a connection; needs the right to `get` pods/portforward, later servers `create` too.

        Raises:
            KubeError: the API server refuses, or does not reach the pod's kubelet.
        """
        call = Call(
            f"forward port {port} of pod {pod} in {namespace}",
            "GET",
            PODS.path(namespace, pod, "portforward"),
            {"ports": str(port)},
        )
        stack = AsyncExitStack()
        socket = await stack.enter_async_context(websocket(session, call, _PROTOCOL))
        made = cls(socket, call.what, session.server)
        made._stack = stack
        return made

    async def send(self, data: bytes) -> None:
        """Send bytes, no more than LARGEST; waits while the pod reads none.

        Raises:
            KubeError: the connection has ended.
        """
        try:
            await self._socket.send_bytes(bytes((_DATA,)) + data)
        except (aiohttp.ClientError, OSError) as error:
            raise from_transport(self._what, self._server, error) from error

    async def receive(self) -> bytes:
        """Wait for bytes; none means that the connection has ended.

        Raises:
            KubeError: the kubelet says that it failed.
        """
        while True:
            message = await self._socket.receive()
            if message.type is not aiohttp.WSMsgType.BINARY:
                return b""
            channel, data = message.data[0], message.data[1:]
            if channel not in self._begun:
                self._begun.add(channel)
                data = data[2:]  # the port
            if data and channel == _ERROR:
                raise UnavailableError(
                    f"cannot {self._what}: {one_line(data.decode(errors='replace'))}"
                )
            if data and channel == _DATA:
                return bytes(data)

    async def close(self) -> None:
        """End the connection."""
        await self._stack.aclose()
