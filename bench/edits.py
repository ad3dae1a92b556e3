"""How long an edit takes: from the moment it is made until every worker acts on it.

One connection to each worker asks again and again; the answer tells which edit it comes from.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from bench.loader import LoadError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

_PAUSE = 0.001
_DEADLINE = 10.0
_TRIES = 64
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


@dataclass(slots=True)
class Worker:
    """A connection that one worker serves."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def connect(cls, port: int) -> Self:
        """Opens a connection; which worker gets it is the kernel's choice."""
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def ask(self, path: str) -> bytes:
        """The body of an answer."""
        self.writer.write(f"GET {path} HTTP/1.1\r\nhost: bench\r\n\r\n".encode())
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(head)
        return await self.reader.readexactly(int(length[1]) if length else 0)

    async def until(self, path: str, body: bytes) -> float:
        """Asks until this is the answer; when it was, by the monotonic clock."""
        while await self.ask(path) != body:  # noqa: ASYNC110 - Envoy tells nobody
            await asyncio.sleep(_PAUSE)
        return time.monotonic()

    def close(self) -> None:
        """Ends the connection."""
        self.writer.close()


def body(revision: int) -> bytes:
    """The answer of `not-started` once an edit is in force."""
    return f"revision {revision}\n".encode()


async def one_of_each(
    port: int, count: int, served: Callable[[], Awaitable[list[int]]]
) -> list[Worker]:
    """A connection to each of `count` workers. `served` gives the open connections by worker."""
    found: dict[int, Worker] = {}
    for _ in range(_TRIES):
        before = await served()
        worker = await Worker.connect(port)
        await worker.ask("/plain")
        after = await served()
        number = next((i for i, n in enumerate(after) if n > before[i]), -1)
        if number < 0 or number in found:
            worker.close()
        else:
            found[number] = worker
        if len(found) == count:
            return list(found.values())
    message = f"no connection reached some of {count} workers in {_TRIES} tries"
    raise LoadError(message)


async def measure(
    workers: list[Worker],
    edits: int,
    edit: Callable[[int], Coroutine[None, None, None]],
    *,
    path: str,
) -> list[float]:
    """Seconds that each of `edits` edits took until all workers acted on it, sorted."""
    times = []
    for number in range(1, edits + 1):
        # not in step with any timer
        await asyncio.sleep(0.2 + random.random() / 5)  # noqa: S311 - no secret
        begun = time.monotonic()
        try:
            async with asyncio.timeout(_DEADLINE), asyncio.TaskGroup() as group:
                group.create_task(edit(number))
                seen = [group.create_task(w.until(path, body(number))) for w in workers]
        except TimeoutError as error:
            message = f"edit {number} was not in force after {_DEADLINE:g} s"
            raise LoadError(message) from error
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from failed
        times.append(max(task.result() for task in seen) - begun)
    return sorted(times)
