"""The server over mutual TLS: who gets in, and what each may have."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from typing import TYPE_CHECKING

import grpc
import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from controlplane.xds import Store, kinds
from controlplane.xds.credentials import ServerCredentials, TlsFiles
from controlplane.xds.server import PlaintextError, Server
from tests.testkit.certificates import SERVER, Authority, Pair, gateway, put
from tests.testkit.waiting import eventually
from tests.unit.xds.grpc_client import DELTA, SOTW, Client, methods, node
from tests.unit.xds.samples import GATEWAY, listener, snapshot

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

LDS = kinds.LISTENER
MINE = gateway("edge")


class Secure:
    """A server with TLS, and the CA that signs for both sides."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority(folder / "ca")
        self.pair = self.authority.issue(*SERVER).moved_to(folder / "server")
        self.client_ca = folder / "server" / "ca.crt"
        put(self.authority.certificate.read_bytes(), self.client_ca)
        files = TlsFiles(self.pair.certificate, self.pair.key, self.client_ca)
        self.store = Store()
        self.store.open()
        self.store.set(GATEWAY, snapshot(listener("a")))
        self.registry = CollectorRegistry()
        self.credentials = ServerCredentials(files)
        self.server = Server(self.store, registry=self.registry, credentials=self.credentials)
        self.port = 0

    def denied(self) -> float:
        labels = {"code": "PERMISSION_DENIED"}
        return self.registry.get_sample_value("sluice_xds_stream_failures_total", labels) or 0.0

    def client(self, pair: Pair | None, method: str = DELTA, ca: Path | None = None) -> Client:
        trusted = (ca or self.authority.certificate).read_bytes()
        key = pair.key.read_bytes() if pair else None
        chain = pair.certificate.read_bytes() if pair else None
        credentials = grpc.ssl_channel_credentials(trusted, key, chain)
        return Client(self.port, method, credentials)

    async def served(self, pair: Pair, ca: Path | None = None) -> bool:
        async with self.client(pair, ca=ca) as client:
            await client.delta(LDS, node=node())
            return [one.name for one in (await client.receive()).resources] == ["a"]

    async def refused(self, pair: Pair | None, ca: Path | None = None) -> bool:
        """Whether the handshake fails: there is no stream at all."""
        async with self.client(pair, ca=ca) as client:
            with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
                await client.delta(LDS, node=node())  # it may have ended by then
            return (await client.ending())[0] is grpc.StatusCode.UNAVAILABLE


@contextlib.asynccontextmanager
async def started(secure: Secure) -> AsyncIterator[Secure]:
    secure.port = await secure.server.start()
    try:
        yield secure
    finally:
        await secure.server.stop(1.0)


@pytest.fixture
async def secure(tmp_path: Path) -> AsyncIterator[Secure]:
    async with started(Secure(tmp_path)) as running:
        yield running


async def test_a_proxy_gets_its_gateways(secure: Secure) -> None:
    assert await secure.served(secure.authority.issue(MINE))
    assert await secure.served(secure.authority.issue(gateway("other"), MINE))


@pytest.mark.parametrize(
    "names",
    [
        (gateway("other"),),
        (gateway("edge", namespace="other"),),
        (gateway("edge", trust_domain="other"),),
        (MINE.replace("URI:", "DNS:"),),
        ("DNS:edge.shop.gateway.sluice",),
        (),
    ],
    ids=["other-gateway", "other-namespace", "other-domain", "dns-spelling", "dns", "none"],
)
async def test_it_does_not_get_those_of_others(secure: Secure, names: tuple[str, ...]) -> None:
    pair = secure.authority.issue(*names)
    with capture_logs() as logs:
        async with secure.client(pair) as client:
            await client.delta(LDS, node=node())
            code, details = await client.ending()
    assert code is grpc.StatusCode.PERMISSION_DENIED
    assert "it needs the URI SAN spiffe://cluster.local/ns/shop/gateway/edge" in details
    assert secure.denied() == 1
    assert secure.store.proxies() == ()
    [line] = [one for one in logs if one["event"].startswith("Proxy")]
    assert (line["event"], line["log_level"]) == ("Proxy denied", "warning")
    assert line["reason"] == details
    assert (line["node"], line["gateway"]) == ("edge-1", GATEWAY)


@pytest.mark.parametrize("method", [DELTA, SOTW, *(name for name, _ in methods())])
async def test_no_method_is_open(secure: Secure, method: str) -> None:
    async with secure.client(secure.authority.issue(gateway("other")), method) as client:
        send = client.delta if "/Delta" in method else client.sotw
        await send(LDS if method in {DELTA, SOTW} else "", "x", node=node())
        assert (await client.ending())[0] is grpc.StatusCode.PERMISSION_DENIED


async def test_who_is_denied_does_not_come_again_on_the_same_connection(secure: Secure) -> None:
    """Its next certificate would never be seen."""
    with capture_logs() as logs:
        async with secure.client(secure.authority.issue(gateway("other"))) as client:
            await client.delta(LDS, node=node())
            await client.ending()
            await eventually(client.disconnected)
            client.again()
            await client.delta(LDS, node=node())
            await client.ending()
    first, second = (one["address"] for one in logs if one["event"] == "Proxy denied")
    assert first != second


async def test_a_later_request_cannot_change_who_it_is(secure: Secure) -> None:
    secure.store.set("shop/other", snapshot(listener("secret")))
    async with secure.client(secure.authority.issue(MINE)) as client:
        await client.delta(LDS, node=node())
        first = await client.receive()
        await client.delta(LDS, response_nonce=first.nonce, node=node(cluster="shop/other"))
        await client.delta(kinds.ROUTES, "r", node=node(cluster="shop/other"))
        secure.store.set(GATEWAY, snapshot(listener("a"), listener("b")))
        replies = [await client.receive(), await client.receive()]
        assert [one.name for reply in replies for one in reply.resources] == ["b"]


async def test_who_proves_nothing_gets_no_stream(secure: Secure, tmp_path: Path) -> None:
    assert await secure.refused(None)
    assert await secure.refused(secure.authority.issue(MINE, expired=True))
    stranger = Authority(tmp_path / "stranger")
    assert await secure.refused(stranger.issue(MINE))
    async with Client(secure.port, DELTA) as plain:
        assert (await plain.ending())[0] is grpc.StatusCode.UNAVAILABLE
    assert secure.store.proxies() == ()


async def test_both_sides_change_ca_while_a_stream_lives(secure: Secure, tmp_path: Path) -> None:
    old = secure.authority.issue(MINE)
    async with secure.client(old) as client:
        await client.delta(LDS, node=node())
        first = await client.receive()
        await client.delta(LDS, response_nonce=first.nonce)
        after = Authority(tmp_path / "after")
        put(after.certificate.read_bytes(), secure.client_ca)
        after.issue(*SERVER).moved_to(secure.pair.certificate.parent)
        # Whoever comes now meets the new files only.
        assert await secure.served(after.issue(MINE), ca=after.certificate)
        assert await secure.refused(old, ca=after.certificate)
        assert await secure.refused(after.issue(MINE))
        # Whoever was there stays.
        secure.store.set(GATEWAY, snapshot(listener("a", "v2")))
        assert [one.name for one in (await client.receive()).resources] == ["a"]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_no_session_is_resumed(secure: Secure, version: ssl.TLSVersion) -> None:
    """A resumed session would not show a certificate that has expired meanwhile."""
    pair = secure.authority.issue(MINE)
    context = ssl.create_default_context(cafile=secure.authority.certificate)
    context.load_cert_chain(pair.certificate, pair.key)
    context.set_alpn_protocols(["h2"])
    context.minimum_version = context.maximum_version = version

    def connect(session: ssl.SSLSession | None) -> tuple[ssl.SSLSession | None, bool | None]:
        with (
            socket.create_connection(("127.0.0.1", secure.port), timeout=10) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1", session=session) as wrapped,
        ):
            assert wrapped.recv(1)  # after the handshake, so a ticket has come by now
            return wrapped.session, wrapped.session_reused

    session, _ = await asyncio.to_thread(connect, None)
    assert session is not None
    assert (await asyncio.to_thread(connect, session))[1] is False


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])  # noqa: S104 - that is the point
async def test_plaintext_stays_on_loopback(host: str) -> None:
    with pytest.raises(PlaintextError):
        await Server(Store()).start(host)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "localhost"])
async def test_plaintext_is_served_on_loopback(host: str) -> None:
    server = Server(Store())
    assert await server.start(host)
    await server.stop(0.1)


async def test_plaintext_elsewhere_when_it_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    # The test itself opens nothing to other machines.
    monkeypatch.setattr("controlplane.xds.server._is_loopback", lambda _: False)
    with pytest.raises(PlaintextError):
        await Server(Store()).start()
    server = Server(Store())
    assert await server.start(plaintext=True)
    await server.stop(0.1)
