"""A real Envoy that gets what was translated from manifests, from a real xDS server."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import http.client
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest
import yaml

import controlplane
from controlplane.local.ports import LOOPBACK
from controlplane.model import Inventory
from controlplane.model.parsing import parse
from controlplane.translate import (
    BootstrapOptions,
    CodeRef,
    FilterCode,
    Fragments,
    Options,
    Translation,
    bootstrap,
    translate,
)
from controlplane.xds.server import Server
from controlplane.xds.store import Store
from tests.testkit.waiting import eventually

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Iterable, Mapping

    from controlplane.local import EnvoyProcess
    from tests.testkit.fixtures import StartEnvoy

GATEWAY = "shop/edge"
_TIMEOUT = 10.0
_FILTERS = Path(controlplane.__file__).parent / "filters"


def inventory(manifests: str) -> Inventory:
    """The objects of a multi-document YAML text."""
    return Inventory.build(parse(document) for document in yaml.safe_load_all(manifests))


def built_filters() -> FilterCode:
    """The filters that `make filters` built."""
    return FilterCode(
        flash_sale=_code("flash-sale"),
        quota=_code("quota"),
        redis_bridge=_code("redis-bridge"),
    )


def options(**more: Any) -> Options:
    """Options with the built filters, on the date of today."""
    return Options(built_filters(), datetime.now(UTC).date(), **more)


def _code(stem: str) -> CodeRef:
    path = _FILTERS / f"{stem}.wasm"
    return CodeRef(hashlib.sha256(path.read_bytes()).hexdigest(), str(path))


@dataclass(slots=True)
class Edge:
    """One gateway's control plane, cut down to translation and xDS, and one Envoy."""

    store: Store
    server: Server
    options: Options
    fragments: Fragments = field(default_factory=Fragments)
    translation: Translation = field(default_factory=Translation)

    def apply(self, manifests: str) -> None:
        """Translate the manifests and hand the result to the proxies."""
        self.translation = translate(inventory(manifests), self.options, self.fragments)
        self.store.set(GATEWAY, self.translation.snapshots[GATEWAY])

    async def settled(self) -> None:
        """Wait until every proxy has taken all of the newest snapshot."""
        await eventually(self._is_settled, what="every resource is acknowledged")

    def _is_settled(self) -> bool:
        deliveries = [
            self.store.delivery(GATEWAY, url, name)
            for url, named in self.translation.snapshots[GATEWAY].resources.items()
            for name in named
        ]
        refused = [found.refused for found in deliveries if found.refused]
        if refused:
            pytest.fail(f"refused: {refused}")
        return all(found.complete for found in deliveries)


@contextlib.asynccontextmanager
async def running_edge(
    start_envoy: StartEnvoy,
    manifests: str,
    *,
    web_port: int = 1,
    **envoy: Any,
) -> AsyncIterator[tuple[Edge, EnvoyProcess]]:
    """An edge whose Envoy has taken everything; `envoy` are more of its process's options.

    `web_port` is where Envoy gets Wasm code from, if it is told to.
    """
    store = Store()
    server = Server(store)
    edge = Edge(store, server, options())
    port = await server.start()
    try:
        edge.apply(manifests)
        store.open()
        started = await start_envoy(
            bootstrap(
                BootstrapOptions(gateway=GATEWAY, xds=(LOOPBACK, port), web=(LOOPBACK, web_port))
            ),
            **envoy,
        )
        await edge.settled()
        yield edge, started
    finally:
        await server.stop(1.0)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client got to see."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: str

    def all(self, name: str) -> list[str]:
        """Every value of a header."""
        return [value for key, value in self.headers if key.lower() == name]

    def header(self, name: str) -> str | None:
        """The only value of a header."""
        found = self.all(name)
        assert len(found) <= 1, found
        return found[0] if found else None

    @property
    def seen(self) -> dict[str, Any]:
        """What the echo server behind the edge saw."""
        found: dict[str, Any] = json.loads(self.body)
        return found


async def ask(
    port: int,
    path: str = "/",
    *,
    method: str = "GET",
    headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    tls: ssl.SSLContext | None = None,
    server_name: str = "",
) -> Answer:
    """One request on a connection of its own, sent exactly as given."""
    return await asyncio.to_thread(_ask, port, path, method, dict(headers), tls, server_name)


def _ask(
    port: int,
    path: str,
    method: str,
    headers: Mapping[str, str],
    tls: ssl.SSLContext | None,
    server_name: str,
) -> Answer:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=_TIMEOUT)
    with contextlib.closing(connection):
        connection.connect()
        if tls is not None:
            connection.sock = tls.wrap_socket(connection.sock, server_hostname=server_name)
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in {"Host": server_name or "example.com", **headers}.items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        body = answer.read().decode()
        return Answer(answer.status, tuple(answer.getheaders()), body)


class Echo:
    """An origin that answers with what it was asked, and its own name."""

    def __init__(self, name: str = "echo") -> None:
        self.name = name
        self.port = 0
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        """Begins to listen on a free port."""
        self._server = await asyncio.start_server(self._serve, LOOPBACK, 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stops listening."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                line, *lines = head.rstrip("\r\n").split("\r\n")
                method, path, _ = line.split(" ")
                headers = [text.split(": ", 1) for text in lines]
                if any(name.lower() == "upgrade" for name, _ in headers):
                    await _mirror(reader, writer)
                    break
                seen = {"origin": self.name, "method": method, "path": path}
                body = json.dumps({**seen, "headers": headers}).encode()
                writer.write(
                    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nserver: echo\r\n"
                    b"x-origin: yes\r\nset-cookie: own=1\r\ncontent-length: %d\r\n\r\n" % len(body)
                )
                writer.write(body)
                await writer.drain()
        writer.close()


async def _mirror(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Sends back whatever comes, as a WebSocket server in the smallest sense."""
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
    )
    while data := await reader.read(1024):
        writer.write(data)
        await writer.drain()
