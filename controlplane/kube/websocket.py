"""WebSockets to the API server, which tell in its own words why there is none."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import aiohttp

from controlplane.kube.errors import from_response, from_transport

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from controlplane.kube.session import Call, Session

DEADLINE: Final = 10.0
"""Seconds for it to open: the API server asks others first."""
_CLOSE_DEADLINE: Final = 1.0
"""Seconds for the other side to say that it closes too."""
_LONGEST_ERROR: Final = 65_536
"""Bytes read of a body that tells of an error."""


@asynccontextmanager
async def websocket(
    session: Session, call: Call, protocol: str, *, deadline: float = DEADLINE
) -> AsyncGenerator[aiohttp.ClientWebSocketResponse]:
    """Open a WebSocket with one subprotocol; once it is open, deadlines are the caller's.

    Raises:
        KubeError: it cannot be opened.
    """
    transports: list[asyncio.Transport] = []
    try:
        async with aiohttp.ClientSession(
            raise_for_status=partial(_check, call.what, transports),
            timeout=aiohttp.ClientTimeout(total=None),
            trust_env=True,
        ) as client:
            try:
                async with asyncio.timeout(deadline):
                    socket = await session.upgrade(client, call, protocol)
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                raise from_transport(call.what, session.server, error) from error
            try:
                yield socket
            finally:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_CLOSE_DEADLINE):
                        await socket.close()
    finally:
        # All is said. A TLS connection would wait for the other side's farewell beyond our loop.
        for transport in transports:
            transport.abort()


async def _check(
    what: str, transports: list[asyncio.Transport], response: aiohttp.ClientResponse
) -> None:
    """Raise what the server says, which the client itself would drop; note the connection."""
    if response.connection is not None and response.connection.transport is not None:
        transports.append(response.connection.transport)
    if response.status == HTTPStatus.SWITCHING_PROTOCOLS:
        return
    body = await response.content.read(_LONGEST_ERROR)
    raise from_response(what, response.status, body, response.headers)
