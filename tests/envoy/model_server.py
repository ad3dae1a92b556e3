"""An origin that answers like the server of a language model, and like one that fails.

`/model/json?30` tells of 30 tokens in JSON, `/model/events?12` of 12 at the end of a stream;
`/model/packed?30` in a coding that nobody between reads. `/model/text` tells of none,
`/model/fails` answers 503, `/model/breaks` ends in the middle, `/model/begins` never ends, and
`/model/hangs` never begins.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
from typing import TYPE_CHECKING, Any, Self

from controlplane.local.ports import LOOPBACK
from tests.envoy.stack import thing

if TYPE_CHECKING:
    from collections.abc import Iterable


class ModelServer:
    """Listens on a loopback port that is free; `seen` has the heads of all requests."""

    def __init__(self) -> None:
        self.port = 0
        self.seen: list[str] = []
        self._server: asyncio.Server | None = None
        self._over = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, LOOPBACK, 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *error: object) -> None:
        self._over.set()
        if self._server is not None:
            self._server.close()
            for writer in self._writers:
                writer.close()
            await self._server.wait_closed()

    def manifests(self, gateways: Iterable[str]) -> list[dict[str, Any]]:
        """A route of everything under /model, with its service."""
        rule = {
            "matches": [{"path": {"type": "PathPrefix", "value": "/model"}}],
            "backendRefs": [{"name": "model", "port": 80}],
        }
        route = {"parentRefs": [{"name": name} for name in gateways], "rules": [rule]}
        endpoints = {
            **thing("EndpointSlice", "model-1", {}, group="discovery.k8s.io/v1"),
            "addressType": "IPv4",
            "endpoints": [{"addresses": [LOOPBACK]}],
            "ports": [{"name": "http", "port": self.port}],
        }
        del endpoints["spec"]
        endpoints["metadata"]["labels"] = {"kubernetes.io/service-name": "model"}
        ports = [{"name": "http", "port": 80}]
        return [
            thing("HTTPRoute", "model", route, group="gateway.networking.k8s.io/v1"),
            thing("Service", "model", {"ports": ports}, group="v1"),
            endpoints,
        ]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                while True:
                    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
                    self.seen.append(head)
                    path, _, tokens = head.split(" ")[1].partition("?")
                    if not await self._answer(writer, path.rpartition("/")[2], int(tokens or 0)):
                        break
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _answer(self, writer: asyncio.StreamWriter, what: str, tokens: int) -> bool:
        """Writes an answer; whether the connection goes on."""
        usage = json.dumps({"text": "x" * 3000, "usage": {"total_tokens": tokens}}).encode()
        if what == "hangs":
            await self._over.wait()
            return False
        if what in {"begins", "breaks"}:
            writer.write(_head("application/json", "content-length: 9999") + usage[:1000])
            await writer.drain()
            if what == "begins":
                await self._over.wait()
            return False
        if what == "events":
            writer.write(_head("text/event-stream", "transfer-encoding: chunked"))
            for piece in (
                b'data: {"usage": null}\n\nda',
                b"ta: " + usage + b"\n\ndata: [DONE]\n\n",
            ):
                writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                await writer.drain()
            writer.write(b"0\r\n\r\n")
        else:
            body = gzip.compress(usage) if what == "packed" else usage
            kind = "text/plain" if what == "text" else "application/json"
            extra = "content-encoding: gzip\r\n" if what == "packed" else ""
            status = "503 Service Unavailable" if what == "fails" else "200 OK"
            writer.write(_head(kind, f"{extra}content-length: {len(body)}", status) + body)
        await writer.drain()
        return True


def _head(kind: str, more: str, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\n{more}\r\n\r\n".encode()
