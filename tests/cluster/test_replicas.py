"""Two control planes on one cluster: both serve, one writes, and the other when that one is gone.

As processes of their own, so that one can be killed in the middle of what it does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.cluster.cluster import Objects, by_type, edge, prepare, sale
from tests.cluster.proxy import proxy
from tests.cluster.replica import Replica
from tests.testkit.waiting import eventually, holds

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from controlplane.local import RedisServer
    from tests.cluster.api_server import ApiServer

pytestmark = [pytest.mark.cluster, pytest.mark.redis, pytest.mark.slow]
LEASE = "/apis/coordination.k8s.io/v1/namespaces/sluice-system/leases/sluice"


@pytest.fixture
async def objects(api_server: ApiServer, redis_server: RedisServer) -> Objects:
    made = await prepare(api_server)
    await made.make_all(edge(redis_server.address))
    await made.make_all(sale())
    return made


@pytest.fixture
async def start(api_server: ApiServer, tmp_path: Path) -> AsyncIterator[Callable[[], Any]]:
    started: list[Replica] = []

    async def start_one() -> Replica:
        replica = Replica(api_server, tmp_path / f"replica-{len(started)}")
        started.append(replica)
        await replica.process.until_ready(replica.ready, 60)
        return replica

    yield start_one
    for replica in started:
        await replica.process.terminate(10)


async def holder(server: ApiServer) -> str:
    lease = await server.call("GET", LEASE)
    return str(lease["spec"].get("holderIdentity") or "")


@pytest.mark.parametrize("kill", [True, False], ids=["killed", "stopped"])
async def test_the_second_takes_over(
    api_server: ApiServer, objects: Objects, start: Callable[[], Any], *, kill: bool
) -> None:
    first = await start()
    await eventually(lambda: first.leads, what="the first leads")
    second = await start()
    async with proxy(first.xds_port, "edge-1"), proxy(second.xds_port, "edge-2") as edge_2:
        # Both serve; only one writes.
        await eventually(lambda: edge_2.received > 3, what="the second serves too")
        await objects.until("FlashSale", "laptop", "Programmed", "True")
        before = await holder(api_server)
        assert not second.leads
        if kill:
            first.process.kill()
        else:
            await first.process.terminate(20)
        received = edge_2.received

        # While nobody leads, objects change all the same, and what they say reaches proxies.
        await objects.edit("FlashSale", "laptop", admission={"blockRatio": 0.5}, stock=9)
        await eventually(lambda: edge_2.received > received, what="the edit is served")

        async def taken_over() -> None:
            status = await objects.status("FlashSale", "laptop")
            assert status["remaining"] == 9
            assert status["proxies"]["summary"] == "2/2"

        async with proxy(second.xds_port, "edge-1"):  # it comes to who is left
            await holds(taken_over)
            await objects.until("FlashSale", "laptop", "Programmed", "True")
        assert await holder(api_server) != before
        status = await objects.status("HTTPRoute", "shop")
        assert by_type(status["parents"][0])["Accepted"]["status"] == "True"
        assert len(await objects.events("SaleOpened")) == 1
    assert "Traceback" not in second.log.read_text()
