"""Lines of a stream of bytes that never ends, with a bound on silence and on length.

aiohttp's own line reader gives up at a few megabytes in a way that leaves the stream unusable,
and its time-outs are for a whole response or for a socket, not for a server that says nothing.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from controlplane.kube.errors import GoneError, SilentError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

LONGEST: Final = 16 * 1024 * 1024
"""Bytes in a line; the store behind an API server takes objects of about 1.5 MB."""


async def lines(
    read: Callable[[], Awaitable[bytes]], silence: float, longest: int = LONGEST
) -> AsyncGenerator[bytes]:
    """Give each whole line that `read` brings, empty ones left out; b"" is the end.

    What stands after the last newline is half a line, and is dropped.

    Raises:
        SilentError: nothing came for `silence` seconds while somebody waited here.
        GoneError: a line is too long to be an object; what follows it cannot be told.
    """
    parts: list[bytes] = []
    length = 0
    while chunk := await _within(silence, read):
        first, *more = chunk.split(b"\n")
        parts.append(first)
        length += len(first)
        for start in more:
            if line := b"".join(parts):
                yield line
            parts, length = [start], len(start)
        if length > longest:
            raise GoneError(f"the API server sent a line of more than {longest} bytes")


async def _within(seconds: float, read: Callable[[], Awaitable[bytes]]) -> bytes:
    try:
        async with asyncio.timeout(seconds):
            return await read()
    except TimeoutError as error:
        raise SilentError(f"the API server said nothing for {seconds:g} s") from error
