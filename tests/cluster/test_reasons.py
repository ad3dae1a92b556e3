"""Every reason that a control plane gives is reached on a real API server, and goes away again.

With the rights that the chart gives to its ServiceAccount, and a real Redis. That no reason is
left out is checked in tests/unit/status/test_every_reason.py.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from redis.asyncio import Redis

from controlplane.model.crds import definitions
from controlplane.settings import Cluster as Access
from controlplane.sources.api_types import TYPES
from controlplane.xds import discovery_pb2
from tests.cluster import (
    gateway_reasons,
    live_reasons,
    policy_reasons,
    route_reasons,
    scaling_plane,
)
from tests.cluster.api_server import ApiServer
from tests.cluster.chart.golden import NAMESPACE
from tests.cluster.cluster import AT_ONCE
from tests.cluster.conftest import make_namespace
from tests.cluster.gateway_api import install
from tests.cluster.proxy import Proxy, proxy
from tests.cluster.reason_board import DEADLINE, Cluster
from tests.cluster.reason_manifests import (
    HTTP,
    Gone,
    edge_config,
    gateway,
    gateway_class,
    quota,
    route,
    rule,
    sale,
    service,
)
from tests.testkit.waiting import alongside, eventually
from tests.unit.app.control_plane import Running, control_plane
from tests.unit.xds.grpc_client import DELTA, Client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from controlplane.local import RedisServer
    from tests.cluster.reason_manifests import Says

pytestmark = [pytest.mark.cluster, pytest.mark.redis]

CASES = (*gateway_reasons.CASES, *route_reasons.CASES, *policy_reasons.CASES)
SHOP = "shop"
AS_COMMANDS = {"x-sluice-client": "test"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """All kinds, and the chart's rights."""
    made = ApiServer(tmp_path_factory.mktemp("api"))

    async def start() -> None:
        await made.start()
        await install(made, *(_older(crd) for crd in definitions().values()))
        await scaling_plane.prepare(made)

    try:
        asyncio.run(start())
        yield made
    finally:
        asyncio.run(made.close())


@pytest.fixture
async def cluster(server: ApiServer) -> AsyncIterator[Cluster]:
    """Nothing is left of what a test makes there."""
    made = Cluster(server)
    yield made
    await made.clear()


def _older(crd: dict[str, Any]) -> dict[str, Any]:
    """A definition as of a release that knew fewer rules: what it let in may stand there."""
    spec = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    if crd["spec"]["names"]["kind"] == "FlashSale":
        spec["properties"]["stock"].pop("minimum")
    if crd["spec"]["names"]["kind"] == "QuotaPolicy":
        spec["properties"]["limits"]["items"]["properties"]["name"].pop("pattern")
    return crd


@asynccontextmanager
async def operator(cluster: Cluster, folder: Path) -> AsyncIterator[Running]:
    """A control plane with the chart's rights."""
    server = cluster.server
    token = await server.service_account_token(NAMESPACE, "sluice")
    kubeconfig = server.kubeconfig("sluice", token=token, namespace=NAMESPACE)
    access = Access(kubeconfig=kubeconfig, replicas=AT_ONCE)
    async with control_plane(None, folder, cluster=access) as running:
        yield running


def port(running: Running) -> int:
    return int(running.about["xds"].rpartition(":")[2])


async def test_whatever_objects_are_wrong_about(
    cluster: Cluster, redis_server: RedisServer, tmp_path: Path
) -> None:
    await cluster.namespaces([SHOP, *(one.name for one in CASES)])
    settings = {"name": "edge", "namespace": SHOP}
    shared = (gateway_class("sluice", **settings), edge_config("edge", redis_server.address))
    await cluster.apply(SHOP, shared)
    async with operator(cluster, tmp_path):
        for number in range(max(len(one.steps) for one in CASES)):
            steps = [(one.name, one.steps[number]) for one in CASES if number < len(one.steps)]
            await asyncio.gather(*(cluster.apply(at, step.changes) for at, step in steps))
            await cluster.until(*((at, one) for at, step in steps for one in step.says))


@pytest.fixture
async def shop(cluster: Cluster, redis_server: RedisServer) -> Cluster:
    """An edge with a sale and a quota policy."""
    await cluster.namespaces([SHOP])
    around = (
        edge_config("edge", redis_server.address),
        gateway_class("sluice", name="edge", namespace=SHOP),
        gateway(),
        service(),
        route("shop", rule("buy"), rule("pay")),
        sale("laptop", {"name": "shop", "sectionName": "buy"}),
        quota("model-api"),
    )
    await cluster.apply(SHOP, around)
    return cluster


async def reach(cluster: Cluster, *says: Says) -> None:
    await cluster.until(*((SHOP, one) for one in says))


class Stubborn(Proxy):
    """Refuses all that it is sent as long as `refusing` has words."""

    async def _answer(self, response: Any) -> None:
        url, nonce = response.type_url, response.nonce
        if not self.refusing:
            await self._client.delta(url, response_nonce=nonce)
            return
        error = discovery_pb2.Status(code=3, message=self.refusing)
        await self._client.delta(url, response_nonce=nonce, error_detail=error)


@asynccontextmanager
async def stubborn(running: Running) -> AsyncIterator[Stubborn]:
    async with Client(port(running), DELTA) as client:
        made = Stubborn(client, "edge-1")
        async with alongside(made.run()):
            yield made


async def test_what_proxies_do(shop: Cluster, tmp_path: Path) -> None:
    async with operator(shop, tmp_path) as running:
        await reach(shop, *live_reasons.NO_PROXIES, *live_reasons.NOT_READY)
        async with stubborn(running) as edge:
            edge.confirming.clear()
            await eventually(lambda: edge.received > 0, what="it is served")
            await reach(shop, *live_reasons.PENDING)
            edge.confirming.set()
            await reach(shop, *live_reasons.PROGRAMMED, *live_reasons.READY)
            edge.refusing = "I do not like it"
            await everything_is_other(shop, "a.example.com")
            await reach(shop, *live_reasons.REJECTED, *live_reasons.NOT_READY)
            edge.refusing = ""
            await everything_is_other(shop, "b.example.com")
            await reach(shop, *live_reasons.PROGRAMMED, *live_reasons.READY)
        await reach(shop, *live_reasons.NO_PROXIES)


async def everything_is_other(cluster: Cluster, host: str) -> None:
    """Changes each object, so that a proxy has to confirm all of them anew."""
    await cluster.edit(SHOP, "Gateway", "edge", listeners=[{**HTTP, "hostname": host}])
    await cluster.edit(SHOP, "HTTPRoute", "shop", hostnames=[host])
    await cluster.edit(SHOP, "FlashSale", "laptop", admission={"blockRatio": len(host) / 100})
    limits = [{"name": "all", "requests": 10 + len(host), "per": "1m"}]
    await cluster.edit(SHOP, "QuotaPolicy", "model-api", limits=limits)


async def in_state(cluster: Cluster, state: str) -> None:
    """Waits for the state of the sale."""
    path = TYPES["FlashSale"].path(SHOP, "laptop")

    async def reached() -> bool:
        seen = (await cluster.server.call("GET", path))["status"]["state"]
        assert seen == state, seen
        return True

    await eventually(reached, what=f"the sale is {state}", every=0.1, deadline=DEADLINE)


async def by_hand(running: Running, path: str, body: Any = None) -> None:
    """Does what commands do."""
    url = f"{running.server}/api/v1/sales/{SHOP}/laptop/{path}"
    async with httpx.AsyncClient(trust_env=False, headers=AS_COMMANDS) as client:
        answer = await client.post(url, json={} if body is None else body)
        assert answer.is_success, answer.text


async def test_what_becomes_of_books(
    shop: Cluster, redis_server: RedisServer, tmp_path: Path
) -> None:
    async with operator(shop, tmp_path) as running, proxy(port(running), "edge-1"):
        await reach(shop, *live_reasons.READY)
        async with Redis.from_url(redis_server.url) as redis:
            [meta] = [key async for key in redis.scan_iter("*:meta")]
            await redis.hset(meta, "heal_until", 1 << 42)
            await reach(shop, live_reasons.HEALING)
            await redis.hset(meta, "heal_until", 0)
        await reach(shop, *live_reasons.READY)

        # A stock below who is in takes nothing back, and says so.
        users = [{"id": "alice"}, {"id": "bob"}]
        await by_hand(running, "data/apply", {"users": users})
        await shop.edit(SHOP, "FlashSale", "laptop", stock=1)
        await reach(shop, live_reasons.BELOW)
        await in_state(shop, "SoldOut")
        await shop.edit(SHOP, "FlashSale", "laptop", stock=5)
        await reach(shop, live_reasons.ENOUGH, *live_reasons.READY)
        await in_state(shop, "Open")
        await shop.edit(SHOP, "FlashSale", "laptop", suspend=True)
        await in_state(shop, "Suspended")
        later = {"startTime": "2099-01-01T00:00:00Z"}
        await shop.edit(SHOP, "FlashSale", "laptop", suspend=False, schedule=later)
        await in_state(shop, "Scheduled")

        over = {"startTime": "2001-01-01T00:00:00Z", "endTime": "2001-01-02T00:00:00Z"}
        await shop.edit(SHOP, "FlashSale", "laptop", schedule=over, epoch="old")
        await reach(shop, live_reasons.EXPIRED)
        await in_state(shop, "Ended")
        now = {"startTime": "2026-01-01T00:00:00Z"}
        await shop.edit(SHOP, "FlashSale", "laptop", schedule=now, durability="Replicated")
        via = {"address": redis_server.address, "via": "Proxy"}
        await shop.edit(SHOP, "EdgeConfig", "edge", redis=via)
        await reach(shop, live_reasons.UNUSABLE)
        await shop.edit(SHOP, "FlashSale", "laptop", durability="Local")
        await reach(shop, *live_reasons.READY)


async def test_what_becomes_of_redis(
    shop: Cluster, redis_server: RedisServer, tmp_path: Path
) -> None:
    async with operator(shop, tmp_path) as running, proxy(port(running), "edge-1"):
        async with proxy(port(running), "edge-2") as other:
            await reach(shop, *live_reasons.READY)
            await eventually(lambda: other.received > 0, what="it is served")
            await reach(shop, *live_reasons.BOTH)
            redis_server.kill()
        await reach(shop, *live_reasons.REDIS_AWAY)
        await redis_server.start()
        await reach(shop, *live_reasons.LOST)
        await by_hand(running, "restore")
        await reach(shop, *live_reasons.FOUND)


async def test_books_that_nobody_could_open_yet(
    shop: Cluster, redis_server: RedisServer, tmp_path: Path
) -> None:
    phone = sale("phone", {"name": "shop", "sectionName": "pay"})
    async with operator(shop, tmp_path) as running, proxy(port(running), "edge-1"):
        await reach(shop, *live_reasons.READY)
        # It is said for as long as Redis keeps the first call waiting: a second.
        for _ in range(5):
            redis_server.pause()
            try:
                await shop.apply(SHOP, (phone,))
                reasons = await shop.first_said(SHOP, live_reasons.BOOKS_PENDING)
            finally:
                redis_server.resume()
            await reach(shop, live_reasons.BOOKS_OPEN)
            if reasons:
                break
            await shop.apply(SHOP, (Gone("FlashSale", "phone"),))
        assert reasons


async def test_scaling_that_is_on_its_way(server: ApiServer) -> None:
    scene = scaling_plane.Scene(server, await make_namespace(server))
    await scene.deployment()
    await scene.sale()
    scene.at(0)
    # What is to be changed is written down before: there this one ends.
    async with scaling_plane.plane(scene, lives=2) as first:
        await first.dies()
    await scene.is_scaled("Unknown/Scaling")
    async with scaling_plane.plane(scene):
        await scene.is_scaled("True/Scaled")
    scene.at(60)
    async with scaling_plane.plane(scene, lives=1) as second:
        await second.dies()
    await scene.is_scaled("Unknown/ScalingBack")
    async with scaling_plane.plane(scene, account=scaling_plane.WITHOUT):
        condition = await scene.is_scaled("Unknown/NotScaledBack")
        assert "controlPlane.scaling=true" in condition["message"]
    async with scaling_plane.plane(scene):
        await scene.is_scaled("False/ScaledBack")
