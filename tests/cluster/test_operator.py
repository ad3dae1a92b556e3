"""The control plane on a real API server, with the rights of its ServiceAccount and no more."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from controlplane.model.gateway import CONTROLLER_NAME
from tests.cluster.cluster import Objects, by_type, cluster, edge, prepare, sale
from tests.cluster.proxy import proxy
from tests.testkit.waiting import eventually, holds
from tests.unit.app.control_plane import Running, control_plane

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from controlplane.local import RedisServer
    from tests.cluster.api_server import ApiServer

pytestmark = [pytest.mark.cluster, pytest.mark.redis]


class Operator:
    """A control plane that runs on a cluster, and what it has written."""

    def __init__(self, running: Running, objects: Objects) -> None:
        self.running = running
        self.objects = objects

    @property
    def xds_port(self) -> int:
        return int(self.running.about["xds"].rpartition(":")[2])

    async def leads(self) -> None:
        """Waits until it may write."""
        publisher = self.running.app._publisher
        assert publisher is not None
        await eventually(lambda: publisher.leading, what="it leads")

    async def writes(self) -> dict[str, int]:
        """Writes of status that have succeeded, by kind."""
        async with httpx.AsyncClient(trust_env=False) as client:
            text = (await client.get(f"{self.running.server}/metrics")).text
        return {
            sample.labels["kind"]: int(sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == "sluice_status_writes_total" and sample.labels["outcome"] == "written"
        }

    async def quiet(self) -> dict[str, int]:
        """Waits until nothing more is written; gives the writes so far."""
        last: dict[str, int] = {}

        async def same() -> bool:
            nonlocal last
            before, last = last, await self.writes()
            return before == last

        await eventually(same, every=1.5, what="no more is written")
        return last


@asynccontextmanager
async def operator(
    server: ApiServer, folder: Path, objects: Objects, **options: Any
) -> AsyncIterator[Operator]:
    settings = cluster(server)
    async with control_plane(None, folder, cluster=settings, **options) as running:
        yield Operator(running, objects)


@pytest.fixture
async def objects(api_server: ApiServer, redis_server: RedisServer) -> Objects:
    made = await prepare(api_server)
    await made.make_all(edge(redis_server.address))
    return made


@pytest.fixture
async def running(
    api_server: ApiServer, objects: Objects, tmp_path: Path
) -> AsyncIterator[Operator]:
    async with operator(api_server, tmp_path, objects) as made:
        yield made


async def test_a_sale_from_its_apply_to_its_end(running: Operator, objects: Objects) -> None:
    await objects.make_all(sale(stock=3))
    await objects.until("FlashSale", "laptop", "Accepted", "True")
    await objects.until("FlashSale", "laptop", "Programmed", "Unknown/NoProxies")
    async with proxy(running.xds_port) as edge_1:
        await objects.until("FlashSale", "laptop", "Programmed", "True/Programmed")
        await objects.until("FlashSale", "laptop", "Ready", "True")
        status = await objects.status("FlashSale", "laptop")
        assert (status["state"], status["admitted"], status["remaining"]) == ("Open", 0, 3)
        assert status["proxies"] == {"programmed": 1, "total": 1, "summary": "1/1"}

        # Nothing is programmed that was not confirmed.
        edge_1.confirming.clear()
        await objects.edit("FlashSale", "laptop", stock=5, admission=drawn(0.1))
        await objects.until("FlashSale", "laptop", "Programmed", "False/Pending")
        edge_1.confirming.set()
        since = await objects.until("FlashSale", "laptop", "Programmed", "True/Programmed")
        await holds(lambda: remaining(objects, 5))

        # A quick confirmation is no transition, so the time of the last one stays.
        await objects.edit("FlashSale", "laptop", stock=6, admission=drawn(0.2))
        await holds(lambda: remaining(objects, 6))
        now = await objects.until("FlashSale", "laptop", "Programmed", "True/Programmed")
        assert now["lastTransitionTime"] == since["lastTransitionTime"]

        # A refusal is told in the proxy's own words.
        edge_1.refusing = "I do not like it"
        await objects.edit("FlashSale", "laptop", admission=drawn(0.3))
        refused = await objects.until("FlashSale", "laptop", "Programmed", "False/Rejected")
        assert "edge-1 refuses it: I do not like it" in refused["message"]
        edge_1.refusing = ""
        await objects.edit("FlashSale", "laptop", admission=drawn(0.4))
        await objects.until("FlashSale", "laptop", "Programmed", "True")

        # Another object of the name has a status of its own.
        await objects.delete("FlashSale", "laptop")
        await objects.make_all(sale(stock=4))
        await objects.until("FlashSale", "laptop", "Programmed", "True")
        await objects.edit(
            "FlashSale",
            "laptop",
            schedule={"startTime": "2026-01-01T00:00:00Z", "endTime": "2026-01-02T00:00:00Z"},
        )
        await holds(lambda: state(objects, "Ended"))

    async def told() -> None:
        reasons = {one["reason"] for one in await objects.events()}
        wanted = {"Accepted", "Programmed", "NotProgrammed", "SaleOpened", "SaleEnded"}
        assert wanted <= reasons
        refusals = await objects.events("NotProgrammed")
        [refusal] = [one for one in refusals if one["regarding"]["kind"] == "FlashSale"]
        assert "I do not like it" in refusal["note"]
        assert refusal["reportingController"] == CONTROLLER_NAME

    await holds(told)
    await running.quiet()


def drawn(ratio: float) -> dict[str, Any]:
    """An admission with a lottery, of which proxies have to know (of the stock they need not)."""
    return {"blockRatio": ratio}


async def remaining(objects: Objects, number: int) -> None:
    assert (await objects.status("FlashSale", "laptop"))["remaining"] == number


async def state(objects: Objects, name: str) -> None:
    assert (await objects.status("FlashSale", "laptop"))["state"] == name


async def test_gateway_api_gets_its_status_in_its_own_shapes(
    running: Operator, objects: Objects
) -> None:
    metadata = {
        "name": "edge",
        "namespace": "shop",
        "labels": {"gateway.networking.k8s.io/gateway-name": "edge"},
    }
    ports = {"ports": [{"name": "http", "port": 80}]}
    await objects.make({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": ports})
    async with proxy(running.xds_port):
        await objects.until("Gateway", "edge", "Programmed", "True")

        async def complete() -> None:
            status = await objects.status("Gateway", "edge")
            assert by_type(status)["Accepted"]["status"] == "True"
            [listener] = status["listeners"]
            assert listener["name"] == "http"
            assert listener["attachedRoutes"] == 1
            assert listener["supportedKinds"] == [
                {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute"}
            ]
            conditions = by_type(listener)
            assert conditions["Accepted"]["status"] == "True"
            assert conditions["ResolvedRefs"]["status"] == "True"
            assert conditions["Programmed"]["status"] == "True"
            assert conditions["Conflicted"]["status"] == "False"
            service = await objects.get("Service", "edge")
            address = {"type": "IPAddress", "value": service["spec"]["clusterIP"]}
            assert status["addresses"] == [address]

        await holds(complete)

        async def attached() -> None:
            [parent] = (await objects.status("HTTPRoute", "shop"))["parents"]
            assert parent["controllerName"] == CONTROLLER_NAME
            assert parent["parentRef"] == {
                "group": "gateway.networking.k8s.io",
                "kind": "Gateway",
                "name": "edge",
            }
            assert by_type(parent)["Accepted"]["status"] == "True"
            assert by_type(parent)["Programmed"]["status"] == "True"

        await holds(attached)
        gateway_class = await objects.get("GatewayClass", "sluice", "")
        assert by_type(gateway_class["status"])["Accepted"]["status"] == "True"


async def test_what_others_say_stays(running: Operator, objects: Objects) -> None:
    await objects.make_all(sale())
    await objects.until("FlashSale", "laptop", "Accepted", "True")
    foreign = {
        "type": "example.com/Audited",
        "status": "True",
        "reason": "Looked",
        "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }

    async def add_condition() -> bool:
        found = await objects.get("FlashSale", "laptop")
        found["status"]["conditions"].append(foreign)
        return bool(await objects.replace(found, "status"))

    await eventually(add_condition)
    parent = {
        "controllerName": "example.com/other",
        "parentRef": {"name": "theirs", "group": "gateway.networking.k8s.io", "kind": "Gateway"},
        "conditions": [{**foreign, "type": "Accepted"}],
    }

    async def add_parent() -> bool:
        found = await objects.get("HTTPRoute", "shop")
        found.setdefault("status", {}).setdefault("parents", []).append(parent)
        return bool(await objects.replace(found, "status"))

    await eventually(add_parent)
    # What is edited away from under us is put back, and theirs is not touched.
    found = await objects.get("FlashSale", "laptop")
    found["status"]["state"] = "Ended"
    await objects.replace(found, "status")
    await holds(lambda: state(objects, "Open"))
    async with proxy(running.xds_port):
        await objects.until("FlashSale", "laptop", "Programmed", "True")
        conditions = by_type(await objects.status("FlashSale", "laptop"))
        assert conditions["example.com/Audited"]["reason"] == "Looked"

        async def both() -> None:
            parents = (await objects.status("HTTPRoute", "shop"))["parents"]
            ours = {one["controllerName"]: one for one in parents}
            assert ours["example.com/other"]["conditions"] == parent["conditions"]
            assert by_type(ours[CONTROLLER_NAME])["Programmed"]["status"] == "True"

        await holds(both)
        # A route that leaves us keeps only what others said.
        await objects.edit("HTTPRoute", "shop", parentRefs=[{"name": "theirs"}])

        async def left() -> None:
            parents = (await objects.status("HTTPRoute", "shop"))["parents"]
            assert [one["controllerName"] for one in parents] == ["example.com/other"]

        await holds(left)
        detached = await objects.until("FlashSale", "laptop", "Accepted", "False/TargetNotAttached")
        assert "attached to no gateway" in detached["message"]


async def test_what_cannot_be_read_is_told_on_the_object(
    running: Operator, objects: Objects
) -> None:
    async with proxy(running.xds_port):
        await objects.until("Gateway", "edge", "Programmed", "True")
        found = await objects.get("Gateway", "edge")
        found["spec"]["listeners"][0]["port"] = 0
        await objects.replace(found)
        refused = await objects.until("Gateway", "edge", "Accepted", "False/Invalid")
        assert "spec.listeners[0].port" in refused["message"]
        found = await objects.get("HTTPRoute", "shop")
        found["spec"]["rules"][0]["name"] = "Not A Name"
        await objects.replace(found)

        async def fallen_back() -> None:
            [parent] = (await objects.status("HTTPRoute", "shop"))["parents"]
            condition = by_type(parent).get("PartiallyInvalid", {"status": "False"})
            assert condition["status"] == "True"
            assert condition["message"].startswith("Fall Back: spec.rules[0].name")

        await holds(fallen_back)
        found = await objects.get("Gateway", "edge")
        found["spec"]["listeners"][0]["port"] = 8081
        await objects.replace(found)
        await objects.until("Gateway", "edge", "Accepted", "True")
        await objects.until("Gateway", "edge", "Programmed", "True")


@pytest.mark.slow
async def test_an_api_server_that_is_away_changes_nothing(
    api_server: ApiServer, running: Operator, objects: Objects
) -> None:
    await objects.make_all(sale())
    async with proxy(running.xds_port) as edge_1:
        await objects.until("FlashSale", "laptop", "Programmed", "True")
        before = await running.quiet()
        received = edge_1.received
        api_server.kill()

        async def noticed() -> None:
            problems = (await running.running.get("/api/v1/status"))["problems"]
            assert any("API server" in one["message"] for one in problems)

        await holds(noticed)
        async with proxy(running.xds_port, "edge-2") as edge_2:
            # A proxy that comes now gets everything; its coming is written later.
            await eventually(lambda: edge_2.received > 3, what="it is served")
            await api_server.restart()

            async def counted() -> None:
                proxies = (await objects.status("FlashSale", "laptop"))["proxies"]
                assert proxies["summary"] == "2/2"

            await holds(counted)
            assert edge_1.received == received
            await objects.edit("FlashSale", "laptop", stock=9)
            await holds(lambda: remaining(objects, 9))
            await objects.until("FlashSale", "laptop", "Programmed", "True")
        after = await running.quiet()
        # A second proxy came and went, and one edit: a handful, not a storm.
        assert after["FlashSale"] - before["FlashSale"] <= 8
        assert after["Gateway"] - before["Gateway"] <= 4


@pytest.mark.slow
async def test_a_paused_api_server_gets_its_status_later(
    api_server: ApiServer, running: Operator, objects: Objects
) -> None:
    await objects.make_all(sale())
    async with proxy(running.xds_port):
        await objects.until("FlashSale", "laptop", "Programmed", "True")
        api_server.pause()
        try:
            async with proxy(running.xds_port, "edge-2") as edge_2:
                await eventually(lambda: edge_2.received > 3, what="it is served")
                # Longer than a call may take, and than the lease can be renewed for.
                await asyncio.sleep(16)
                api_server.resume()

                async def counted() -> None:
                    proxies = (await objects.status("FlashSale", "laptop"))["proxies"]
                    assert proxies["summary"] == "2/2"

                await holds(counted)
        finally:
            api_server.resume()


async def test_a_restart_writes_nothing_that_stands_there(
    api_server: ApiServer, objects: Objects, tmp_path: Path
) -> None:
    await objects.make_all(sale())
    async with operator(api_server, tmp_path, objects) as first, proxy(first.xds_port):
        await objects.until("FlashSale", "laptop", "Ready", "True")
        await first.quiet()
    stood = await objects.get("FlashSale", "laptop")
    async with operator(api_server, tmp_path, objects) as second, proxy(second.xds_port):
        await second.leads()
        await second.running.sale(state="Open", healing=False)
        await objects.until("FlashSale", "laptop", "Ready", "True")
        written = await second.quiet()
        now = await objects.get("FlashSale", "laptop")
    # Nothing, unless it saw a moment without the proxy.
    assert written.get("FlashSale", 0) <= 2
    assert written.get("GatewayClass", 0) == 0
    assert now["status"]["admitted"] == stood["status"]["admitted"]
    before, after = by_type(stood["status"]), by_type(now["status"])
    assert after["Accepted"]["lastTransitionTime"] == before["Accepted"]["lastTransitionTime"]
    opened = await objects.events("SaleOpened")
    assert len(opened) == 1
    assert "series" not in opened[0]
