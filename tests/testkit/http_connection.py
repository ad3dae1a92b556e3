"""The client side of one HTTP/1.1 connection, reading no more of an answer than the load needs."""

from __future__ import annotations

import asyncio
import re

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
_NO_BODY = frozenset({204, 304})

Reply = tuple[int, bytes, bytes]


class Connection(asyncio.Protocol):
    """Sends one request at a time; `ask` is its whole use."""

    def __init__(self) -> None:
        self.closed = False
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._method = "GET"
        self._waiter: asyncio.Future[Reply] | None = None

    async def ask(self, request: bytes, method: str) -> Reply:
        """Status, head (up to the empty line) and body of the answer.

        Raises:
            ConnectionError: the connection closed before the answer was whole, or what came is not
                HTTP.
        """
        if self.closed or self._transport is None:
            raise ConnectionResetError
        self._method = method
        self._waiter = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._waiter

    def close(self) -> None:
        """Drops the connection. A late answer is not waited for."""
        self.closed = True
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        try:
            reply = self._take(at_end=False)
        except ValueError:
            self._fail(ConnectionError("the answer is not HTTP"))
            self.close()
            return
        if reply is not None:
            self._give(reply)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        try:
            reply = self._take(at_end=True)
        except ValueError:
            reply = None
        if reply is not None:
            self._give(reply)
        else:
            self._fail(exc or ConnectionResetError())

    def _give(self, reply: Reply) -> None:
        if _CLOSE.search(reply[1]):
            self.closed = True
            if self._transport is not None:
                self._transport.close()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(reply)

    def _fail(self, error: Exception) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)

    def _take(self, *, at_end: bool) -> Reply | None:
        """The whole answer, removed from the buffer; None while some of it is still to come."""
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return None
        head = bytes(self._buffer[:end])
        status = int(head[9:12])
        parsed = self._body(end + 4, status, head, at_end=at_end)
        if parsed is None:
            return None
        body, body_end = parsed
        del self._buffer[:body_end]
        return status, head, body

    def _body(
        self, start: int, status: int, head: bytes, *, at_end: bool
    ) -> tuple[bytes, int] | None:
        if self._method == "HEAD" or status in _NO_BODY:
            return b"", start
        length = _LENGTH.search(head)
        if length is not None:
            end = start + int(length[1])
            return (bytes(self._buffer[start:end]), end) if len(self._buffer) >= end else None
        if _CHUNKED.search(head):
            return self._chunks(start)
        # Neither: the body ends where the connection does.
        return (bytes(self._buffer[start:]), len(self._buffer)) if at_end else None

    def _chunks(self, start: int) -> tuple[bytes, int] | None:
        body = bytearray()
        while (line_end := self._buffer.find(b"\r\n", start)) >= 0:
            size = int(self._buffer[start:line_end].partition(b";")[0], 16)
            after = line_end + 2 + size + 2
            if len(self._buffer) < after:
                return None
            body += self._buffer[line_end + 2 : line_end + 2 + size]
            if size == 0:
                return bytes(body), after
            start = after
        return None
