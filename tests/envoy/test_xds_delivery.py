"""A real Envoy that is configured by our discovery server and by nothing else.

Requests run all the time; whatever is changed, removed, refused or restarted, each is answered by
the backend.
"""

from __future__ import annotations

import itertools
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client import CollectorRegistry

from controlplane.local import Shop, free_port
from controlplane.xds import Snapshot, Store, kinds
from controlplane.xds.server import Server
from tests.envoy import xds_resources as make
from tests.testkit.load import Ask, Load, get, tally
from tests.testkit.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from controlplane.local import EnvoyProcess
    from controlplane.xds import Nack, Resource
    from tests.testkit.fixtures import StartEnvoy

pytestmark = pytest.mark.envoy

GATEWAY = "shop/edge"
DELTA, SOTW = "DELTA_GRPC", "GRPC"
both = pytest.mark.parametrize("variant", [DELTA, SOTW], ids=["delta", "sotw"])
PATIENCE = 40.0


class Edge:
    """A control plane, and the content that it serves."""

    def __init__(self) -> None:
        self.port = free_port()
        self.xds_port = 0
        self.content: dict[tuple[str, str], Resource] = {}
        self.store = Store()
        self.registry = CollectorRegistry()
        self.server = Server(self.store, registry=self.registry)

    async def start(self) -> None:
        self.store.open()
        self.xds_port = await self.server.start(port=self.xds_port)

    async def restart(self) -> None:
        """As a new process would: nothing is remembered."""
        await self.server.stop(5.0)
        self.store = Store()
        self.registry = CollectorRegistry()
        self.server = Server(self.store, registry=self.registry)
        self.publish()
        await self.start()

    def publish(self, *resources: Resource, without: tuple[str, ...] = ()) -> None:
        """Adds or replaces resources, takes those named `without` away, and serves the rest."""
        for key in [key for key in self.content if key[1] in without]:
            del self.content[key]
        self.content.update({(one.type_url, one.name): one for one in resources})
        self.store.set(GATEWAY, Snapshot.of(self.content.values()))

    def backend(self, name: str, shop: Shop) -> tuple[Resource, Resource]:
        return make.cluster(name), make.endpoints(name, shop.port)

    async def in_sync(self) -> None:
        """Every type is in force, by the proxy's own word."""

        def synced() -> bool:
            proxies = self.store.proxies()
            assert len(proxies) == 1, proxies
            [proxy] = proxies
            late = [url for url, state in proxy.types.items() if not state.in_sync]
            assert not late, proxy
            return len(proxy.types) >= 4

        await eventually(synced, deadline=PATIENCE, what="all types in sync")

    def nack(self, url: str) -> Nack | None:
        [proxy] = self.store.proxies()
        return proxy.types[url].nacked if url in proxy.types else None

    def pushes(self, short: str) -> float:
        labels = {"type": short}
        return self.registry.get_sample_value("sluice_xds_pushes_total", labels) or 0.0

    def load(self) -> Load:
        """A steady load; every answer is kept."""
        return Load(itertools.repeat(Ask(self.port)), concurrency=8, rate=400)


@asynccontextmanager
async def running_edge(shop: Shop) -> AsyncIterator[Edge]:
    edge = Edge()
    edge.publish(
        make.listener(edge.port),
        make.routes("first"),
        *edge.backend("first", shop),
    )
    await edge.start()
    try:
        yield edge
    finally:
        await edge.server.stop(1.0)


@pytest.fixture
async def edge(shop: Shop) -> AsyncIterator[Edge]:
    async with running_edge(shop) as edge:
        yield edge


def bootstrap(edge: Edge, variant: str) -> dict[str, Any]:
    http2 = {
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http2_protocol_options": {}},
        }
    }
    address = {"socket_address": {"address": "127.0.0.1", "port_value": edge.xds_port}}
    return {
        "node": {"id": "edge-1", "cluster": GATEWAY, "metadata": {"workers": 2}},
        "dynamic_resources": {
            "ads_config": api(variant),
            "cds_config": {"resource_api_version": "V3", "ads": {}},
            "lds_config": {"resource_api_version": "V3", "ads": {}},
        },
        "static_resources": {
            "clusters": [
                {
                    "name": "xds",
                    "type": "STATIC",
                    "typed_extension_protocol_options": http2,
                    "load_assignment": {
                        "cluster_name": "xds",
                        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
                    },
                }
            ]
        },
    }


def api(variant: str) -> dict[str, Any]:
    retry = {"retry_back_off": {"base_interval": "0.1s", "max_interval": "0.5s"}}
    envoy_grpc = {"cluster_name": "xds", "retry_policy": retry}
    return {
        "api_type": variant,
        "transport_api_version": "V3",
        "set_node_on_first_message_only": True,
        "grpc_services": [{"envoy_grpc": envoy_grpc}],
    }


def all_answered(load: Load) -> bool:
    """Every request so far was let through."""
    answers = tally(load.answers)
    assert set(answers) == {"200"}, answers
    return True


def served_more(shop: Shop, than: int) -> bool:
    return shop.requests > than


async def more_requests(load: Load, count: int = 200) -> None:
    """Lets some time pass, counted in requests."""
    before = len(load.answers)
    await eventually(lambda: len(load.answers) >= before + count)


async def clusters_of(envoy: EnvoyProcess) -> set[str]:
    return {one["name"] for one in await envoy.clusters()} - {"xds"}


@both
async def test_delivered_changed_and_removed(
    edge: Edge, shop: Shop, start_envoy: StartEnvoy, variant: str
) -> None:
    """W1: make before break: not one request fails while everything changes under it."""
    envoy = await start_envoy(bootstrap(edge, variant), concurrency=2)
    await edge.in_sync()
    assert (await get(edge.port)).status == 200
    async with Shop() as other, edge.load() as load:
        for number, backend in enumerate([other, shop, other, shop]):
            old, new = (f"b{number - 1}" if number else "first"), f"b{number}"
            before = backend.requests
            edge.publish(make.routes(new), *edge.backend(new, backend), without=(old,))
            await edge.in_sync()
            await eventually(partial(served_more, backend, before))

            async def only_the_new(name: str = new) -> bool:
                return await clusters_of(envoy) == {name}

            await eventually(only_the_new, deadline=PATIENCE)
        # A changed cluster warms up again, and needs its endpoints for that (W3).
        edge.publish(make.cluster("b3", timeout=2.5))
        await edge.in_sync()
        # A changed listener replaces its filter chain.
        edge.publish(make.listener(edge.port, stat_prefix="changed"))
        await edge.in_sync()
        # Endpoints move.
        before = other.requests
        edge.publish(make.endpoints("b3", other.port))
        await eventually(lambda: other.requests > before)
        await edge.in_sync()
        await more_requests(load)
    assert all_answered(load)
    [proxy] = edge.store.proxies()
    assert (proxy.node_id, proxy.workers) == ("edge-1", 2)
    assert proxy.agent.startswith("envoy 1.")
    # Nothing was refused on the way, and nothing sent for its own sake.
    assert edge.registry.get_sample_value("sluice_xds_rejects_total", {"type": "RDS"}) is None


@both
async def test_an_extension_changes_alone(
    edge: Edge, start_envoy: StartEnvoy, variant: str
) -> None:
    """An edit of a filter's parameters sends one ECDS resource, and no connection notices."""
    edge.publish(make.listener(edge.port, extension=True), make.extension("one"))
    await start_envoy(bootstrap(edge, variant), concurrency=2)
    await edge.in_sync()
    assert (await get(edge.port)).header("x-stamp") == "one"
    pushed = {one.short: edge.pushes(one.short) for one in kinds.KINDS}
    async with edge.load() as load:
        for stamp in ("two", "three", "four"):
            edge.publish(make.extension(stamp))

            async def stamped(expected: str = stamp) -> bool:
                return (await get(edge.port)).header("x-stamp") == expected

            await eventually(stamped)
            await edge.in_sync()
            await more_requests(load, 50)
    assert all_answered(load)
    pushed["ECDS"] += 3
    assert {one.short: edge.pushes(one.short) for one in kinds.KINDS} == pushed


@both
async def test_an_extension_that_is_in_use_is_not_taken_away(
    edge: Edge, start_envoy: StartEnvoy, variant: str
) -> None:
    """D10: listeners that drain would answer 500."""
    edge.publish(make.listener(edge.port, extension=True), make.extension("one"))
    await start_envoy(bootstrap(edge, variant))
    await edge.in_sync()
    async with edge.load() as load:
        edge.publish(make.listener(edge.port), without=(make.EXTENSION,))
        await edge.in_sync()

        async def unstamped() -> bool:
            return (await get(edge.port)).header("x-stamp") is None

        await eventually(unstamped)
        await more_requests(load)
    assert all_answered(load)


@both
async def test_the_control_plane_is_restarted(
    edge: Edge, start_envoy: StartEnvoy, variant: str
) -> None:
    """Traffic does not notice, nothing is sent twice, and news is caught up with."""
    await start_envoy(bootstrap(edge, variant), concurrency=2)
    await edge.in_sync()
    async with Shop() as other, edge.load() as load:
        await edge.restart()
        await edge.in_sync()
        await more_requests(load)
        if variant == DELTA:
            # Versions are hashes: only the empty answers that wildcards are owed.
            assert edge.pushes("EDS") + edge.pushes("RDS") == 0
        await edge.server.stop(5.0)
        await more_requests(load)  # alone
        edge.publish(make.routes("moved"), *edge.backend("moved", other))
        await edge.restart()
        await eventually(lambda: other.requests > 50, deadline=PATIENCE)
        await edge.in_sync()
    assert all_answered(load)


def refused_by_envoy(url: str, port: int) -> Resource:
    """Content that Python builds and Envoy takes not."""
    if url == kinds.ROUTES:
        return make.routes("first", regex="(")
    if url == kinds.CLUSTER:
        return make.cluster("first", timeout=-1.0)
    return make.listener(port, stat_prefix="")


@both
@pytest.mark.parametrize("kind", [kinds.RDS, kinds.CDS, kinds.LDS], ids=lambda kind: kind.short)
async def test_what_envoy_refuses(
    edge: Edge, start_envoy: StartEnvoy, variant: str, kind: kinds.Kind
) -> None:
    """The last good content stays, also for a proxy that starts now; no loop; the reason shows."""
    envoy = await start_envoy(bootstrap(edge, variant))
    await edge.in_sync()
    url, short = kind.url, kind.short
    bad = refused_by_envoy(url, edge.port)
    async with edge.load() as load:
        edge.publish(bad)
        await eventually(lambda: edge.nack(url))
        nack = edge.nack(url)
        assert nack is not None
        assert nack.message
        assert nack.resources == (bad.name,)
        delivery = edge.store.delivery(GATEWAY, url, bad.name)
        assert not delivery.complete
        assert delivery.refused["edge-1"].message == nack.message
        await eventually(lambda: edge.store.delivery(GATEWAY, url, bad.name).total == 1)
        pushed = edge.pushes(short)
        await more_requests(load)
        # At most the last good content once more; never the bad one again.
        assert edge.pushes(short) <= pushed + 1
        rejected = {"type": short}
        assert edge.registry.get_sample_value("sluice_xds_rejects_total", rejected) == 1
    assert all_answered(load)

    await envoy.stop()
    await envoy.start()
    assert (await get(edge.port)).status == 200
    await eventually(lambda: edge.nack(url))
    assert edge.registry.get_sample_value("sluice_xds_rejects_total", rejected) == 1

    edge.publish(make.listener(edge.port), make.routes("first"), make.cluster("first"))
    await edge.in_sync()
    assert edge.nack(url) is None
    assert (await get(edge.port)).status == 200


async def test_refused_routes_keep_their_cluster(
    edge: Edge, shop: Shop, start_envoy: StartEnvoy
) -> None:
    """W1: bad routes come with a change of backends: the old ones stay with the old routes."""
    envoy = await start_envoy(bootstrap(edge, DELTA))
    await edge.in_sync()
    async with edge.load() as load:
        edge.publish(
            make.routes("second", regex="("), *edge.backend("second", shop), without=("first",)
        )
        await eventually(lambda: edge.nack(kinds.ROUTES))

        async def both_there() -> bool:
            return await clusters_of(envoy) == {"first", "second"}

        await eventually(both_there)
        await more_requests(load, 1000)
        assert await both_there()
        edge.publish(make.routes("second"))

        async def only_the_second() -> bool:
            return await clusters_of(envoy) == {"second"}

        await eventually(only_the_second, deadline=PATIENCE)
    assert all_answered(load)


@both
async def test_single_type_services(
    edge: Edge, shop: Shop, start_envoy: StartEnvoy, variant: str
) -> None:
    """Each type on a stream of its own."""
    own = api(variant)
    edge.publish(
        make.listener(edge.port, extension=True, api=own),
        make.extension("one"),
        make.cluster("first", api=own),
    )
    config = bootstrap(edge, variant)
    source = {"resource_api_version": "V3", "api_config_source": own}
    config["dynamic_resources"] = {"cds_config": source, "lds_config": source}
    await start_envoy(config)
    await edge.in_sync()
    [proxy] = edge.store.proxies()
    assert proxy.streams == 5
    answer = await get(edge.port)
    assert (answer.status, answer.header("x-stamp")) == (200, "one")
    before = shop.requests
    edge.publish(make.extension("two"), make.endpoints("first", shop.port, shop.port))

    async def stamped() -> bool:
        return (await get(edge.port)).header("x-stamp") == "two"

    await eventually(stamped)
    assert shop.requests > before
