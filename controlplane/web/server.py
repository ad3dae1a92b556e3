"""Serves the web app inside the control plane's own event loop, and ends when told to.

uvicorn would take the signals for itself and bind the port where nobody hears of a failure; here
the socket is bound first, so that a port in use is one clear line at the start.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING

import uvicorn

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

    from starlette.applications import Starlette

GRACE_SECONDS = 3
BACKLOG = 256


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to the control plane."""
        yield


class WebServer:
    """One listening socket and the app behind it; over TLS when there is a context for it."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> None:
        self.host = host
        self._tls = tls
        self._socket: socket.socket | None = None
        self._server: _Server | None = None
        self.port = port

    def bind(self) -> int:
        """Take the port (0: any that is free). OSError when that cannot be."""
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        bound = socket.socket(family, socket.SOCK_STREAM)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind((self.host, self.port))
            bound.listen(BACKLOG)
        except OSError:
            bound.close()
            raise
        self._socket = bound
        self.port = bound.getsockname()[1]
        return self.port

    async def serve(self, app: Starlette) -> None:
        """Answer until `stop`; requests under way get a moment to end."""
        if self._socket is None:
            raise RuntimeError("bind comes before serve")
        config = uvicorn.Config(
            app,
            access_log=False,
            log_config=None,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
            limit_concurrency=512,
        )
        config.load()
        # Not by uvicorn's own options: they take files, and read them once.
        config.ssl = self._tls
        self._server = _Server(config)
        try:
            await self._server.serve(sockets=[self._socket])
        except asyncio.CancelledError:
            self.close()
            raise

    def stop(self) -> None:
        """End `serve` in order."""
        if self._server is not None:
            self._server.should_exit = True

    def close(self) -> None:
        """Let go of the port."""
        if self._socket is not None:
            self._socket.close()
