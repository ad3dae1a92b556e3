"""A network that takes its time: what is sent arrives `delay` seconds later."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Self


class SlowLink:
    """A TCP relay on loopback. Everything keeps its order; each direction takes `delay` seconds."""

    def __init__(self, target: str) -> None:
        self.delay = 0.0
        self.connections = 0
        self._host, _, port = target.rpartition(":")
        self._port = int(port)
        self._relays: set[asyncio.Task[None]] = set()

    @property
    def address(self) -> str:
        """`127.0.0.1:PORT`."""
        host, port = self._server.sockets[0].getsockname()
        return f"{host}:{port}"

    async def __aenter__(self) -> Self:
        """Begins to listen, on a free port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *error: object) -> None:
        self._server.close()
        for relay in self._relays:
            relay.cancel()
        await asyncio.gather(*self._relays, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._relays.add(task)
        task.add_done_callback(self._relays.discard)
        far_reader, far_writer = await asyncio.open_connection(self._host, self._port)
        self.connections += 1
        try:
            async with asyncio.TaskGroup() as ways:
                ways.create_task(self._carry(reader, far_writer))
                ways.create_task(self._carry(far_reader, writer))
        except* OSError:
            pass  # one side has gone, and the other follows
        finally:
            writer.close()
            far_writer.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Reads at once and writes later, so that a delay is no limit of throughput."""
        loop = asyncio.get_running_loop()
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def deliver() -> None:
            while True:
                due, data = await under_way.get()
                await asyncio.sleep(due - loop.time())
                if not data:
                    with contextlib.suppress(OSError):
                        writer.write_eof()
                    return
                writer.write(data)
                await writer.drain()

        async with asyncio.TaskGroup() as group:
            group.create_task(deliver())
            while data := await reader.read(65536):
                under_way.put_nowait((loop.time() + self.delay, data))
            under_way.put_nowait((loop.time() + self.delay, b""))
