"""A way to servers that breaks: connections are cut again and again, in the midst of a line."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

from controlplane.local.ports import LOOPBACK

if TYPE_CHECKING:
    from types import TracebackType


class UnsteadyPath:
    """Passes bytes on to a port of this machine; `cut` ends all connections without a word.

    Of several ports each connection gets the first that answers, as by a Service with pods that go.
    """

    def __init__(self, *ports: int, listen: int = 0) -> None:
        self._targets = ports
        self._listen = listen
        self._server: asyncio.Server | None = None
        self._blocked = False
        self._open: set[asyncio.StreamWriter] = set()
        self.port = 0
        self.cuts = 0

    @property
    def url(self) -> str:
        """Where it listens; the server's certificate is good for it, as ports are in none."""
        return f"https://{LOOPBACK}:{self.port}"

    def cut(self) -> None:
        """Ends every connection that is open now."""
        self.cuts += len(self._open) // 2
        for writer in self._open:
            writer.transport.abort()

    def block(self) -> None:
        """Ends every connection, and takes no more until `unblock`."""
        self._blocked = True
        self.cut()

    def unblock(self) -> None:
        """Lets connections through again."""
        self._blocked = False

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, LOOPBACK, self._listen)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._server is not None:
            self._server.close()
            self.cut()
            await self._server.wait_closed()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for target in () if self._blocked else self._targets:
            try:
                there, back = await asyncio.open_connection(LOOPBACK, target)
            except OSError:
                continue
            break
        else:
            writer.transport.abort()
            return
        self._open |= {writer, back}
        async with asyncio.TaskGroup() as group:
            group.create_task(self._pass_on(reader, back))
            group.create_task(self._pass_on(there, writer))
        self._open -= {writer, back}

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1000):
                writer.write(data)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
