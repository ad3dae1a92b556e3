"""Several control planes on one cluster: status speaks of the proxies of all of them."""

from __future__ import annotations

import asyncio
import base64
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from controlplane.kube import CONFIG_MAPS, Listed, Put, ResourceType, Session, reflect
from controlplane.sources.api_types import TYPES
from controlplane.status.replica_report import decode
from controlplane.status.report_writer import KEY, LABEL
from tests.cluster.cluster import Objects, by_type, cluster, edge, prepare, sale
from tests.cluster.proxy import proxy
from tests.cluster.quick_replica import QuickReplica, terms
from tests.testkit.waiting import eventually, holds
from tests.unit.app.control_plane import Running, control_plane

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from controlplane.local import RedisServer
    from controlplane.status.known_reports import ReplicaTerms
    from controlplane.status.replica_report import ReplicaReport
    from tests.cluster.api_server import ApiServer
    from tests.cluster.conftest import OpenSession

pytestmark = [pytest.mark.cluster, pytest.mark.redis]
BINDINGS = ResourceType("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding")
NAMESPACE = "sluice-system"


@pytest.fixture
async def objects(api_server: ApiServer, redis_server: RedisServer) -> Objects:
    made = await prepare(api_server)
    await made.make_all(edge(redis_server.address))
    await made.make_all(sale())
    return made


@asynccontextmanager
async def replica(
    server: ApiServer, folder: Path, known: ReplicaTerms | None = None
) -> AsyncIterator[Running]:
    settings = cluster(server, replicas=known or terms())
    async with control_plane(None, folder, cluster=settings) as running:
        yield running


def xds(running: Running) -> int:
    return int(running.about["xds"].rpartition(":")[2])


async def leads(running: Running) -> None:
    publisher = running.app._publisher
    assert publisher is not None
    await eventually(lambda: publisher.leading, what="it leads")


async def reports(server: ApiServer) -> list[ReplicaReport]:
    path = f"{CONFIG_MAPS.path(NAMESPACE)}?labelSelector={LABEL}%3Dsluice"
    found = (await server.call("GET", path))["items"]
    return [decode(base64.b64decode(one["binaryData"][KEY])) for one in found]


async def counted(objects: Objects, summary: str) -> None:
    status = await objects.status("FlashSale", "laptop")
    assert status.get("proxies", {}).get("summary") == summary, status


class History:
    """Every status of the sale that ever stood on the server, from now on."""

    def __init__(self) -> None:
        self.statuses: list[dict[str, Any]] = []

    async def follow(self, session: Session) -> None:
        async with aclosing(reflect(session, TYPES["FlashSale"], "shop")) as changes:
            async for change in changes:
                found = [change.obj] if isinstance(change, Put) else []
                if isinstance(change, Listed):
                    found = [*change.objects.values()]
                self.statuses += [one.get("status") or {} for one in found]

    async def caught_up(self, objects: Objects) -> None:
        """Waits until it has what stands there now."""

        async def same() -> None:
            assert self.statuses[-1] == await objects.status("FlashSale", "laptop")

        await holds(same)

    @property
    def programmed(self) -> list[str]:
        """Status and reason of Programmed, one after another."""
        known = (by_type(one).get("Programmed", {}) for one in self.statuses)
        words = [f"{one.get('status')}/{one.get('reason')}" for one in known]
        return [word for n, word in enumerate(words) if n == 0 or words[n - 1] != word]

    @property
    def totals(self) -> list[int]:
        return [(one.get("proxies") or {}).get("total", 0) for one in self.statuses]


@asynccontextmanager
async def history(server: ApiServer, open_session: OpenSession) -> AsyncIterator[History]:
    made = History()
    task = asyncio.create_task(made.follow(await open_session(server)))
    try:
        await eventually(lambda: made.statuses, what="the sale is watched")
        yield made
    finally:
        task.cancel()
        await asyncio.wait((task,))


async def test_programmed_speaks_of_the_proxies_of_all(
    api_server: ApiServer, objects: Objects, tmp_path: Path
) -> None:
    async with (
        replica(api_server, tmp_path / "a") as first,
        proxy(xds(first), "edge-1"),
    ):
        await leads(first)
        await objects.until("FlashSale", "laptop", "Programmed", "True")
        async with (
            replica(api_server, tmp_path / "b") as second,
            proxy(xds(second), "edge-2") as edge_2,
        ):
            await holds(lambda: counted(objects, "2/2"))

            # One of the follower's proxies has not confirmed it.
            edge_2.confirming.clear()
            await objects.edit("FlashSale", "laptop", admission={"blockRatio": 0.1})
            pending = await objects.until("FlashSale", "laptop", "Programmed", "False/Pending")
            await holds(lambda: counted(objects, "1/2"))
            assert "of 2 proxies" in pending["message"]
            edge_2.confirming.set()
            await objects.until("FlashSale", "laptop", "Programmed", "True/Programmed")
            await holds(lambda: counted(objects, "2/2"))

            # It refuses, and the leader passes on its words.
            edge_2.refusing = "I do not like it"
            await objects.edit("FlashSale", "laptop", admission={"blockRatio": 0.2})
            refused = await objects.until("FlashSale", "laptop", "Programmed", "False/Rejected")
            assert refused["message"] == "1 of 2 proxies; edge-2 refuses it: I do not like it"
            edge_2.refusing = ""
            await objects.edit("FlashSale", "laptop", admission={"blockRatio": 0.3})
            await objects.until("FlashSale", "laptop", "Programmed", "True")

            # Each replica says the same.
            for one in (first, second):
                await one.sale(proxies={"programmed": 2, "total": 2})
                shown = (await one.get("/api/v1/status"))["proxies"]
                assert sorted(found["node"] for found in shown) == ["edge-1", "edge-2"]
                assert [bool(found["replica"]) for found in shown] == [False, True]
            assert [len(one.gateways) for one in await reports(api_server)] == [1, 1]

            # A proxy that moves counts once.
            async with proxy(xds(first), "edge-2"):
                await first.sale(proxies={"programmed": 2, "total": 2})
                await second.sale(proxies={"programmed": 2, "total": 2})
        # The second has ended in order, and so has its report.
        await holds(lambda: counted(objects, "1/1"))
        assert len(await reports(api_server)) == 1
    assert await reports(api_server) == []


async def test_idle_replicas_write_heartbeats_and_nothing_else(
    api_server: ApiServer, objects: Objects, tmp_path: Path
) -> None:
    async with (
        replica(api_server, tmp_path / "a", terms(heartbeat=3600.0)) as first,
        replica(api_server, tmp_path / "b") as second,
        proxy(xds(first), "edge-1"),
        proxy(xds(second), "edge-2"),
    ):
        await holds(lambda: counted(objects, "2/2"))
        await objects.until("FlashSale", "laptop", "Ready", "True")
        before = await _quiet(first)
        told = {one.replica: one for one in await reports(api_server)}
        name = second.app._publisher.replicas.identity if second.app._publisher else ""

        async def beaten() -> None:
            now = {one.replica: one for one in await reports(api_server)}
            assert now[name].beat > told[name].beat + 3
            assert now[name].same_as(told[name])

        await holds(beaten)
        # Ours had nothing new to say, and the hearts of others make nobody write a status.
        assert await _writes(first) == before


async def _writes(running: Running) -> dict[str, float]:
    async with httpx.AsyncClient(trust_env=False) as client:
        text = (await client.get(f"{running.server}/metrics")).text
    names = {"sluice_replica_report_writes_total", "sluice_status_writes_total"}
    return {
        f"{sample.name} {sorted(sample.labels.values())}": sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name in names
    }


async def _quiet(running: Running) -> dict[str, float]:
    last: dict[str, float] = {}

    async def same() -> bool:
        nonlocal last
        before, last = last, await _writes(running)
        return before == last

    await eventually(same, every=2.0, what="no more is written")
    return last


@pytest.mark.slow
async def test_the_proxies_of_a_killed_replica_count_no_longer(
    api_server: ApiServer, objects: Objects, tmp_path: Path
) -> None:
    async with (
        replica(api_server, tmp_path / "a", terms(dead=8.0)) as first,
        proxy(xds(first), "edge-1"),
    ):
        await leads(first)
        async with QuickReplica(api_server, tmp_path / "b") as second:
            async with proxy(second.xds_port, "edge-2"):
                await holds(lambda: counted(objects, "2/2"))
                assert len(await reports(api_server)) == 2
                second.process.kill()
                await holds(lambda: counted(objects, "1/1"))
            await objects.until("FlashSale", "laptop", "Programmed", "True")

            async def deleted() -> None:
                assert len(await reports(api_server)) == 1

            await holds(deleted)


@pytest.mark.slow
async def test_a_new_leader_knows_of_all_at_once(
    api_server: ApiServer, objects: Objects, open_session: OpenSession, tmp_path: Path
) -> None:
    async with QuickReplica(api_server, tmp_path / "a") as first:
        await eventually(lambda: first.leads, what="the first leads")
        async with (
            replica(api_server, tmp_path / "b", terms(stale=60.0)) as second,
            proxy(xds(second), "edge-2"),
            proxy(first.xds_port, "edge-1"),
        ):
            await holds(lambda: counted(objects, "2/2"))
            await objects.until("FlashSale", "laptop", "Programmed", "True")
            async with history(api_server, open_session) as seen:
                first.process.kill()
                async with proxy(xds(second), "edge-1"):
                    await leads(second)
                    await objects.edit("FlashSale", "laptop", stock=9)

                    async def sold() -> None:
                        status = await objects.status("FlashSale", "laptop")
                        assert status["remaining"] == 9

                    await holds(sold)
                    await objects.until("FlashSale", "laptop", "Programmed", "True")
                    await holds(lambda: counted(objects, "2/2"))
                    await seen.caught_up(objects)
                    assert "Unknown/NoProxies" not in seen.programmed
                    assert set(seen.totals) == {2}


async def test_a_restart_says_nothing_of_proxies_that_have_yet_to_come_back(
    api_server: ApiServer, objects: Objects, open_session: OpenSession, tmp_path: Path
) -> None:
    async with replica(api_server, tmp_path / "a") as first, proxy(xds(first)):
        await objects.until("FlashSale", "laptop", "Ready", "True")
        stood = await objects.until("FlashSale", "laptop", "Programmed", "True")
    async with history(api_server, open_session) as seen:
        patient = terms(reconnect=3600.0)
        async with replica(api_server, tmp_path / "b", patient) as second:
            await leads(second)
            await objects.edit("FlashSale", "laptop", stock=9)

            async def written() -> None:
                status = await objects.status("FlashSale", "laptop")
                assert status["remaining"] == 9
                assert by_type(status)["Accepted"]["observedGeneration"] == 2

            await holds(written)
            await seen.caught_up(objects)
            assert seen.programmed == ["True/Programmed"]
            assert set(seen.totals) == {1}
            # Whoever waits for the new edit is not told that it is in force.
            found = by_type(await objects.status("FlashSale", "laptop"))["Programmed"]
            assert found == stood
        async with replica(api_server, tmp_path / "c") as third:
            await leads(third)
            # Nobody came back: then that is what is said.
            await objects.until("FlashSale", "laptop", "Programmed", "Unknown/NoProxies")


async def test_what_cannot_be_read_is_not_passed_over(
    api_server: ApiServer, objects: Objects, tmp_path: Path
) -> None:
    async with replica(api_server, tmp_path / "a") as first, proxy(xds(first)):
        await objects.until("FlashSale", "laptop", "Programmed", "True")
        metadata = {"name": "strange", "namespace": NAMESPACE, "labels": {LABEL: "sluice"}}
        strange = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
        await api_server.call("POST", CONFIG_MAPS.path(NAMESPACE), strange)
        found = await objects.until("FlashSale", "laptop", "Programmed", "False/Pending")
        assert found["message"].startswith("1 of 1 proxy; the report strange cannot be read")
        [problem] = (await first.get("/api/v1/status"))["problems"]
        assert problem["message"].startswith("the report strange cannot be read")
        # Nobody writes it again: it grows old.
        await objects.until("FlashSale", "laptop", "Programmed", "True")


@pytest.mark.slow
async def test_while_the_api_server_is_away_nobody_grows_old(
    api_server: ApiServer, objects: Objects, open_session: OpenSession, tmp_path: Path
) -> None:
    async with (
        replica(api_server, tmp_path / "a") as first,
        replica(api_server, tmp_path / "b") as second,
        proxy(xds(first), "edge-1"),
        proxy(xds(second), "edge-2"),
        history(api_server, open_session) as seen,
    ):
        await holds(lambda: counted(objects, "2/2"))
        await objects.until("FlashSale", "laptop", "Programmed", "True")
        stood = len(seen.statuses)
        api_server.kill()

        async def noticed() -> None:
            for one in (first, second):
                problems = (await one.get("/api/v1/status"))["problems"]
                assert any("API server" in found["message"] for found in problems)

        await holds(noticed)
        await asyncio.sleep(2 * terms().stale)
        for one in (first, second):
            await one.sale(proxies={"programmed": 2, "total": 2})
        await api_server.restart()
        await objects.edit("FlashSale", "laptop", stock=9)

        async def sold() -> None:
            assert (await objects.status("FlashSale", "laptop"))["remaining"] == 9

        await holds(sold)
        await objects.until("FlashSale", "laptop", "Programmed", "True")
        await holds(lambda: counted(objects, "2/2"))
        await seen.caught_up(objects)
        assert set(seen.totals[stood:]) == {2}


async def test_without_the_right_each_speaks_of_its_own_and_says_so(
    api_server: ApiServer, objects: Objects, tmp_path: Path
) -> None:
    await api_server.call("DELETE", BINDINGS.path(NAMESPACE, "sluice-replicas"))
    async with replica(api_server, tmp_path / "a") as first, proxy(xds(first)):
        found = await objects.until("FlashSale", "laptop", "Programmed", "True")
        assert found["message"] == "1 of 1 proxy of this replica"
        problems = [one["message"] for one in (await first.get("/api/v1/status"))["problems"]]
        assert any("speaks of the proxies of this replica alone" in one for one in problems)
        assert any("do not count the proxies of this one" in one for one in problems)
        assert all("sluice-replica" in one or "configmaps" in one for one in problems), problems
