"""A toy shop: the origin that a sale protects, small enough to cost nearly nothing a request.

It sells to whoever reaches it, without a check of its own. So its count of buyers shows what the
edge let through, which is what the demo and the tests look at. A toy model is on sale there, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from controlplane.local.model_api import PATH as MODEL, Completion, complete
from controlplane.local.ports import LOOPBACK

if TYPE_CHECKING:
    from types import TracebackType

_SHOWN = "x-sluice-"
_MAX_HEAD = 64 * 1024
_MAX_BODY = 1024 * 1024
_MAX_USERS = 1_000_000
_OVERFLOW = "(others)"


class Shop:
    """An HTTP/1.1 server on loopback that takes an order with every request.

    `GET /stats` answers what it sold so far, and `GET /healthz` that it lives; neither is an order.
    Any other request is one, by the user in `x-sluice-user`, else in `authorization`, else in
    `x-api-key`, else nobody. Its answer is JSON: the method, the path, the x-sluice-* headers that
    came, the user, and how many orders that user has made; but a path that ends with
    `/chat/completions` is answered by a toy model (see `model_api`).
    """

    def __init__(self, *, port: int = 0, name: str = "shop") -> None:
        self.name = name
        self.port = port
        self.orders: Counter[str] = Counter()
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()

    @property
    def address(self) -> str:
        """`127.0.0.1:PORT`."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def requests(self) -> int:
        """All orders taken."""
        return self.orders.total()

    async def start(self) -> None:
        """Begins to listen; with port 0 on a free one, told by `port` then. OSError when taken."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Connection(self), LOOPBACK, self.port, backlog=1024
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Closes the port and every connection; a no-op when it does not run."""
        if self._server is None:
            return
        self._server.close()
        for connection in tuple(self._connections):
            connection.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5):
                await self._server.wait_closed()
        self._server = None

    async def __aenter__(self) -> Self:
        """Starts the shop."""
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    def answer(self, request: Request) -> bytes:
        """Takes the order (or tells the numbers) and says so; the answer as it is sent."""
        if request.path.endswith(MODEL):
            self.orders[self._account(request)] += 1
            return _encode(complete(request.body))
        body = json.dumps(self._told(request)).encode() + b"\n"
        return _encode(Completion("application/json", (body,)))

    def _told(self, request: Request) -> dict[str, object]:
        if request.path == "/healthz":
            return {"shop": self.name}
        if request.path == "/stats":
            return {
                "shop": self.name,
                "requests": self.requests,
                "users": len(self.orders),
                "orders": dict(self.orders),
            }
        user = self._account(request)
        self.orders[user] += 1
        return {
            "shop": self.name,
            "method": request.method,
            "path": request.path,
            "sluice": {k: v for k, v in request.headers.items() if k.startswith(_SHOWN)},
            "user": user,
            "orders": self.orders[user],
        }

    def _account(self, request: Request) -> str:
        names = ("x-sluice-user", "authorization", "x-api-key")
        user = next((user for name in names if (user := request.headers.get(name))), "")
        # A bound on memory: a toy may still be left running behind a long load test.
        return user if user in self.orders or len(self.orders) < _MAX_USERS else _OVERFLOW


@dataclass(frozen=True, slots=True)
class Request:
    """One request: line, headers (names in lower case, the last of a name wins), and body."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class _Connection(asyncio.Protocol):
    """Reads requests from one keep-alive connection and writes the answers, in order."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            self._transport = transport
            self._shop._connections.add(self)  # noqa: SLF001 - the shop's other half

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._shop._connections.discard(self)  # noqa: SLF001 - the shop's other half

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while self._transport is not None and not self._transport.is_closing():
            try:
                request = self._take()
            except ValueError:
                self._transport.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
                self._transport.close()
                return
            if request is None:
                return
            self._transport.write(self._shop.answer(request))
            if request.headers.get("connection", "").lower() == "close":
                self._transport.close()

    def _take(self) -> Request | None:
        """The next whole request; None while one is still coming. ValueError: it is no HTTP."""
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > _MAX_HEAD:
                raise ValueError
            return None
        line, *fields = self._buffer[:end].decode("latin-1").split("\r\n")
        method, path, _ = line.split(" ")
        pairs = (field.partition(":") for field in fields)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        found = self._body(end + 4, headers)
        if found is None:
            return None
        body, body_end = found
        del self._buffer[:body_end]
        return Request(method, path.partition("?")[0], headers, body)

    def _body(self, start: int, headers: dict[str, str]) -> tuple[bytes, int] | None:
        """The body and where it ends; None while it is still coming."""
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return self._chunks(start)
        length = int(headers.get("content-length", "0"))
        if not 0 <= length <= _MAX_BODY:
            raise ValueError
        end = start + length
        return (bytes(self._buffer[start:end]), end) if len(self._buffer) >= end else None

    def _chunks(self, start: int) -> tuple[bytes, int] | None:
        body = bytearray()
        while (line_end := self._buffer.find(b"\r\n", start)) >= 0:
            size = int(self._buffer[start:line_end].partition(b";")[0], 16)
            if size < 0 or len(body) + size > _MAX_BODY:
                raise ValueError
            next_chunk = line_end + 2 + size + 2
            if len(self._buffer) < next_chunk:
                return None
            if size == 0:  # trailers are not read: Envoy sends none
                return bytes(body), next_chunk
            body += self._buffer[line_end + 2 : line_end + 2 + size]
            start = next_chunk
        return None


def _encode(answer: Completion) -> bytes:
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {answer.content_type}\r\n".encode()
    if answer.streams:
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in answer.parts)
        return head + b"transfer-encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
    body = b"".join(answer.parts)
    return head + b"content-length: %d\r\n\r\n" % len(body) + body
