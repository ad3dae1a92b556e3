"""The server over a loopback connection."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import grpc
import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from controlplane.xds import discovery_pb2, kinds
from controlplane.xds.server import ListenError, Server
from controlplane.xds.session import Limits
from controlplane.xds.store import Store
from tests.testkit.waiting import eventually
from tests.unit.xds import samples
from tests.unit.xds.grpc_client import DELTA, SOTW, Client, methods, node
from tests.unit.xds.samples import GATEWAY, cluster, listener, routes, snapshot

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

LDS, RDS = kinds.LISTENER, kinds.ROUTES
MAKERS = {
    "CDS": cluster,
    "EDS": samples.endpoints,
    "SDS": samples.secret,
    "ECDS": samples.extension,
    "LDS": listener,
    "RDS": routes,
}


class Running:
    """A server, its store and its metrics."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.store = Store()
        self.store.open()
        self.registry = CollectorRegistry()
        self.server = Server(self.store, registry=self.registry, limits=limits)
        self.port = 0

    def metric(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(f"sluice_xds_{name}", labels) or 0.0


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    running = Running()
    running.port = await running.server.start()
    yield running
    await running.server.stop(1.0)


async def test_delta(running: Running) -> None:
    """Sent, confirmed, changed, removed."""
    running.store.set(GATEWAY, snapshot(listener("a"), listener("b")))
    async with Client(running.port, DELTA) as client:
        await client.delta(LDS, node=node())
        first = await client.receive()
        assert [one.name for one in first.resources] == ["a", "b"]
        await client.delta(LDS, response_nonce=first.nonce)
        await eventually(lambda: running.store.delivery(GATEWAY, LDS, "a").complete)
        running.store.set(GATEWAY, snapshot(listener("b", "v2")))
        second = await client.receive()
        assert [one.name for one in second.resources] == ["b"]
        assert list(second.removed_resources) == ["a"]


async def test_state_of_the_world(running: Running) -> None:
    running.store.set(GATEWAY, snapshot(listener("a"), listener("b")))
    async with Client(running.port, SOTW) as client:
        await client.sotw(LDS, node=node())
        first = await client.receive()
        assert len(first.resources) == 2
        await client.sotw(LDS, response_nonce=first.nonce, version_info=first.version_info)
        running.store.set(GATEWAY, snapshot(listener("b", "v2")))
        second = await client.receive()
        assert [one.value for one in second.resources] == [listener("b", "v2").body]


@pytest.mark.parametrize(("method", "kind"), methods())
async def test_single_type_services(running: Running, method: str, kind: kinds.Kind) -> None:
    running.store.set(GATEWAY, snapshot(*(make("x") for make in MAKERS.values())))
    async with Client(running.port, method) as client:
        if "/Delta" in method:
            await client.delta("", "x", node=node())
        else:
            await client.sotw("", "x", node=node())
        reply = await client.receive()
        assert reply.type_url == kind.url
        assert len(reply.resources) == 1


async def test_the_status_of_a_proxy(running: Running) -> None:
    running.store.set(GATEWAY, snapshot(listener("a", "bad")))
    async with Client(running.port, DELTA) as client:
        await client.delta(LDS, node=node())
        reply = await client.receive()
        error = discovery_pb2.Status(code=3, message="no such filter")
        with capture_logs() as logs:
            await client.delta(LDS, response_nonce=reply.nonce, error_detail=error)
            await eventually(lambda: running.store.proxies()[0].types[LDS].nacked)
        [proxy] = running.store.proxies()
        assert (proxy.node_id, proxy.workers, proxy.agent) == ("edge-1", 2, "test")
        assert proxy.address.startswith("ipv4:127.0.0.1:")
        nacked = proxy.types[LDS].nacked
        assert nacked is not None
        assert nacked.message == "no such filter"
        [entry] = [one for one in logs if one["event"] == "Proxy refused configuration"]
        assert entry["resources"] == ["a"]
        assert entry["reason"] == "no such filter"
        assert running.metric("rejects_total", type="LDS") == 1
    await eventually(lambda: running.store.proxies() == ())


async def test_it_waits_until_the_store_is_opened() -> None:
    """W13: the stream stays open, and nothing is sent."""
    store = Store()
    store.set(GATEWAY, snapshot(listener("a")))
    server = Server(store)
    port = await server.start()
    async with Client(port, DELTA) as client:
        await client.delta(LDS, node=node())
        await eventually(store.proxies)
        assert store.proxies()[0].waiting != ""
        store.open()
        assert len((await client.receive()).resources) == 1
    await server.stop(1.0)


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (discovery_pb2.DeltaDiscoveryRequest(type_url=LDS), "node.id"),
        (discovery_pb2.DeltaDiscoveryRequest(type_url=LDS, node=node("")), "node.id"),
        (discovery_pb2.DeltaDiscoveryRequest(node=node()), "type_url"),
        (b"\xff\xff\xff", "not a discovery request"),
    ],
)
async def test_faults_of_the_client_end_the_stream(
    running: Running, request_: object, words: str
) -> None:
    async with Client(running.port, DELTA) as client:
        await client.send(request_)
        code, details = await client.ending()
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert words in details
    assert running.metric("stream_failures_total", code="INVALID_ARGUMENT") == 1


async def test_a_silent_stream_ends() -> None:
    running = Running(Limits(first_request=0.05))
    port = await running.server.start()
    async with Client(port, DELTA) as client:
        assert (await client.ending())[0] is grpc.StatusCode.DEADLINE_EXCEEDED
    await running.server.stop(1.0)


async def test_a_request_above_the_limit_ends_the_stream() -> None:
    """D11: and a large one below it is read."""
    running = Running(Limits(message_bytes=6 << 20))
    running.store.set(GATEWAY, snapshot(routes("r")))
    port = await running.server.start()
    async with Client(port, DELTA) as client:
        # More than gRPC would take unless told.
        await client.delta(RDS, "r", node=node(), initial_resource_versions={"x" * (5 << 20): "1"})
        assert len((await client.receive()).resources) == 1
    async with Client(port, DELTA) as client:
        await client.delta(RDS, "r", node=node(), initial_resource_versions={"x" * (7 << 20): "1"})
        assert (await client.ending())[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
    await running.server.stop(1.0)


async def test_a_client_that_does_not_read_is_given_up() -> None:
    """W16: it delays nobody, and not for ever."""
    running = Running(Limits(write=0.2))
    port = await running.server.start()
    huge = [routes(f"r{number}", "x" * (1 << 20)) for number in range(40)]
    running.store.set(GATEWAY, snapshot(*huge, listener("l")))
    async with Client(port, DELTA) as stuck, Client(port, DELTA) as quick:
        await stuck.delta(RDS, "*", node=node("stuck"))
        await eventually(running.store.proxies)
        await quick.delta(LDS, node=node("quick"))
        assert len((await quick.receive()).resources) == 1
        await eventually(lambda: [one.node_id for one in running.store.proxies()] == ["quick"])
        assert running.metric("stream_failures_total", code="DEADLINE_EXCEEDED") == 1
    await running.server.stop(1.0)


async def test_a_client_that_only_talks_is_slowed_down(running: Running) -> None:
    """A queue of a few requests, then the connection itself holds it back."""
    running.store.set(GATEWAY, snapshot(listener("a")))
    async with Client(running.port, DELTA) as client:
        await client.delta(LDS, node=node())
        for _ in range(1000):
            await client.delta(LDS)
        reply = await client.receive()
        assert len(reply.resources) == 1


async def test_the_client_ends_the_stream(running: Running) -> None:
    async with Client(running.port, DELTA) as client:
        await client.delta(LDS, node=node())
        await eventually(running.store.proxies)
        await client.half_close()
        assert (await client.ending())[0] is grpc.StatusCode.OK
    await eventually(lambda: running.store.proxies() == ())
    assert running.metric("streams", variant="delta") == 0


async def test_the_client_vanishes(running: Running) -> None:
    async with Client(running.port, DELTA) as client:
        await client.delta(LDS, node=node())
        await eventually(running.store.proxies)
    await eventually(lambda: running.store.proxies() == ())


async def test_stopping_ends_streams_in_order(running: Running) -> None:
    """UNAVAILABLE: proxies connect elsewhere, or again, and keep what they have."""
    running.store.set(GATEWAY, snapshot(listener("a")))
    async with Client(running.port, DELTA) as client:
        await client.delta(LDS, node=node())
        await client.receive()
        ending = asyncio.create_task(client.ending())
        await running.server.stop(5.0)
        code, details = await ending
    assert code is grpc.StatusCode.UNAVAILABLE
    assert "shutting down" in details
    assert running.store.proxies() == ()
    await running.server.stop(5.0)  # and again is no error


async def test_a_server_on_the_port_of_another(running: Running) -> None:
    running.store.set(GATEWAY, snapshot(listener("a")))
    await running.server.stop(1.0)
    again = Server(running.store)
    assert await again.start(port=running.port) == running.port
    async with Client(running.port, DELTA) as client:
        await client.delta(LDS, node=node())
        assert len((await client.receive()).resources) == 1
    await again.stop(1.0)


async def test_a_port_in_use_is_one_clear_error(running: Running) -> None:
    with pytest.raises(ListenError, match="in use") as caught:
        await Server(Store()).start(port=running.port)
    assert str(running.port) in str(caught.value)


async def test_a_port_in_use_by_something_else() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ListenError, match="in use"):
            await Server(Store()).start(port=taken.getsockname()[1])


@pytest.mark.parametrize(
    ("host", "port"), [("192.0.2.1", 0), ("no such host", 0), ("127.0.0.1", 70_000)]
)
async def test_an_address_that_is_not_here(host: str, port: int) -> None:
    with pytest.raises(ListenError, match="cannot serve xDS on"):
        await Server(Store()).start(host, port)


async def test_metrics(running: Running) -> None:
    running.store.set(GATEWAY, snapshot(listener("a")))
    async with Client(running.port, SOTW) as client:
        await client.sotw(LDS, node=node())
        first = await client.receive()
        assert running.metric("streams", variant="sotw") == 1
        await client.sotw(LDS, response_nonce="stale")
        await client.sotw(LDS, response_nonce=first.nonce)
        await eventually(lambda: running.store.delivery(GATEWAY, LDS, "a").complete)
        running.store.set(GATEWAY, snapshot(listener("a", "v2")))
        second = await client.receive()
        await client.sotw(LDS, response_nonce=second.nonce)
        await eventually(lambda: running.metric("convergence_seconds_count", type="LDS") == 1)
    assert running.metric("pushes_total", type="LDS") == 2
    assert running.metric("ignored_requests_total", reason="stale_nonce") == 1
    assert running.metric("send_seconds_count", type="LDS") == 2
    assert running.metric("response_bytes_count", type="LDS") == 2
