"""A model API of a few lines: tells what it cost, as JSON or as a stream cut at chance borders."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

EVENTS = 200
_HEAD = "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n{more}\r\n"


@dataclass
class ModelApi:
    """An origin on loopback whose answers the query of a request chooses.

    `tokens`: what it says that it cost (none: it says nothing). `stream=1`: as server-sent events,
    200 of them, usage in the last but one. `seed`: where the bytes are cut. `hang=1`: it stops in
    the middle and never goes on; `hang=head`: it never begins. `break=1`: it closes in the middle.
    `status`: of the answer. `gzip=1`: compressed all the same.
    """

    port: int = 0
    calls: int = 0
    accepted_encodings: list[str] = field(default_factory=list)
    hanging: int = 0

    async def __aenter__(self) -> Self:
        """Begins to listen, on a free port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        self._ends: set[asyncio.StreamWriter] = set()
        return self

    async def __aexit__(self, *error: object) -> None:
        self._server.close()
        for writer in self._ends:
            writer.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._ends.add(writer)
        try:
            while await self._answer(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client has left, as some do on purpose
        finally:
            self._ends.discard(writer)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        target = urlsplit(head[0].split(" ")[1])
        wanted = {name: values[-1] for name, values in parse_qs(target.query).items()}
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if ": " in line)
        await reader.readexactly(int(headers.get("content-length", "0")))
        self.calls += 1
        self.accepted_encodings.append(headers.get("accept-encoding", ""))
        kind, body = _body(wanted)
        more = ""
        if "gzip" in wanted:
            body, more = gzip.compress(body), "content-encoding: gzip\r\n"
        status = wanted.get("status", "200 OK")
        if wanted.get("hang") == "head":
            return await self._hang(reader)
        writer.write(_HEAD.format(status=status, kind=kind, more=more).encode())
        pieces = list(_cut(body, random.Random(wanted.get("seed", "0"))))
        if {"hang", "break"} & {*wanted}:
            pieces = pieces[: len(pieces) // 2]
        for piece in pieces:
            writer.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            await writer.drain()
            await asyncio.sleep(0)
        if "hang" in wanted:
            return await self._hang(reader)
        if "break" in wanted:
            return False
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True

    async def _hang(self, reader: asyncio.StreamReader) -> bool:
        self.hanging += 1
        try:
            await reader.read()  # until the other side gives up
        finally:
            self.hanging -= 1
        return False


def _body(wanted: dict[str, str]) -> tuple[str, bytes]:
    usage = {"usage": {"total_tokens": int(wanted["tokens"])}} if "tokens" in wanted else {}
    if "stream" not in wanted:
        return "application/json", json.dumps({"text": "grüße", **usage}).encode()
    events = [{"delta": f"größe {n}", "usage": None} for n in range(EVENTS - 1)]
    lines = [f"data: {json.dumps(event, ensure_ascii=False)}\n\n" for event in [*events, usage]]
    return "text/event-stream", "".join([*lines, "data: [DONE]\n\n"]).encode()


def _cut(body: bytes, chance: random.Random) -> Iterator[bytes]:
    at = 0
    while at < len(body):
        length = chance.choice((1, 2, 3, 7, 50, 700))
        yield body[at : at + length]
        at += length
