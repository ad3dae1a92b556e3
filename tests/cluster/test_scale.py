"""A thousand sales on fifty gateways: what the control plane costs, and how much it writes.

Writes are counted and bounded, by the server's own count. Times and memory are printed (`-s` shows
them; docs/operations.md has a table), and never asserted: they are the machine's.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from controlplane.ledger.books import Books
from controlplane.ledger.client import RedisClient, Server
from tests.cluster.catalogue import Admin, Catalogue, complete, statuses
from tests.cluster.cluster import prepare
from tests.cluster.replica import Replica
from tests.testkit.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from controlplane.local import RedisServer
    from tests.cluster.api_server import ApiServer

pytestmark = [pytest.mark.cluster, pytest.mark.redis, pytest.mark.slow]
LONG = 180.0
CATALOGUE = Catalogue(gateways=50, sales=1000)
WITH_STATUS = 1 + CATALOGUE.gateways + 2 * CATALOGUE.sales
NUMBERS_PER_SECOND = 20
MANY = 300
SALE = "item-0007"


class Crowd:
    """The server with everything on it, and what is seen of it."""

    def __init__(self, admin: Admin) -> None:
        self.admin = admin
        self._started = time.monotonic()

    def say(self, words: str) -> None:
        """Prints, for people."""
        print(f"[{time.monotonic() - self._started:6.1f} s] {words}")  # noqa: T201 - figures

    def tell(self, what: str, *replicas: Replica) -> None:
        """Prints what replicas have cost up to here."""
        costs = "; ".join(
            f"{cost.cpu:.1f} s of CPU, {cost.resident:.0f} MB (at most {cost.peak:.0f})"
            for cost in (one.cost() for one in replicas)
        )
        self.say(f"{what}: {costs}")

    async def told(self) -> None:
        """Waits until every object has a status, of its newest generation."""
        wanted = {"FlashSale": "Programmed", "HTTPRoute": "Accepted", "Gateway": "Programmed"}

        async def all_told() -> bool:
            for kind, condition in wanted.items():
                objects = await self.admin.all(kind)
                silent = [name for name, obj in objects.items() if not complete(obj, condition)]
                assert not silent, f"{len(silent)} of {kind}, such as {silent[0]}"
            return True

        await eventually(all_told, deadline=LONG, every=1.0, what="all statuses are written")

    async def quiet(self) -> int:
        """Waits until nothing more is written; gives the status writes so far."""
        last = -1

        async def same() -> bool:
            nonlocal last
            before, last = last, statuses(await self.admin.written())
            return before == last

        await eventually(same, deadline=LONG, every=2.5, what="no more is written")
        return last

    async def edit(self, **spec: Any) -> float:
        """Edits one sale; gives the seconds until its status says so."""
        await self.admin.edit("FlashSale", SALE, spec)
        began = time.monotonic()

        async def told() -> bool:
            return complete(await self.admin.get("FlashSale", SALE), "Programmed")

        await eventually(told, what="the edit is told of")
        return time.monotonic() - began


@pytest.fixture
async def crowd(api_server: ApiServer, redis_server: RedisServer) -> AsyncIterator[Crowd]:
    await prepare(api_server)
    async with Admin(api_server) as admin:
        await admin.make(CATALOGUE.objects(redis_server.address))
        yield Crowd(admin)


@pytest.fixture
async def start(api_server: ApiServer, tmp_path: Path) -> AsyncIterator[Callable[[], Any]]:
    started: list[Replica] = []

    async def start_one() -> Replica:
        replica = Replica(api_server, tmp_path / f"replica-{len(started)}")
        started.append(replica)
        await replica.process.until_ready(replica.ready, LONG)
        return replica

    yield start_one
    for replica in started:
        await replica.process.terminate(10)


@pytest.mark.timeout(600)
async def test_a_thousand_sales(
    crowd: Crowd, start: Callable[[], Any], redis_server: RedisServer
) -> None:
    first = await start()
    crowd.tell("first sync", first)
    await crowd.told()
    crowd.tell("all statuses written", first)
    written = await crowd.quiet()
    # Once each; and once more for those that were told before all proxies could be known of.
    assert WITH_STATUS <= written <= 2 * WITH_STATUS
    assert written == sum((outcomes := await first.writes()).values()), outcomes
    crowd.say(f"{written} writes of status for {WITH_STATUS} objects")

    # A second replica serves as well, and has nothing to write; nor has it when it takes over.
    second = await start()
    crowd.tell("second replica synced", first, second)
    assert await crowd.quiet() == written
    await first.process.terminate(30)
    await eventually(lambda: second.leads, what="the second leads")
    assert await crowd.quiet() == written
    crowd.tell("handed over", second)

    # One that is started afresh neither.
    await second.process.terminate(30)
    third = await start()
    await eventually(lambda: third.leads, what="the third leads")
    assert await crowd.quiet() == written
    crowd.tell("started again", third)

    # An edit is about one object: what is known at once, numbers when the books have followed, and
    # what is told of proxies, which a replica that has just started keeps to itself for a moment.
    seconds = await crowd.edit(admission={"blockRatio": 0.5}, stock=200)
    before, written = written, await crowd.quiet()
    assert before + 1 <= written <= before + 3
    crowd.say(f"an edit is told of after {seconds:.2f} s")

    # Nothing happens, so nothing is written.
    used, began = third.cost().cpu, time.monotonic()
    await asyncio.sleep(10)
    share = (third.cost().cpu - used) / (time.monotonic() - began)
    crowd.say(f"idle: {100 * share:.2f} % of a core")
    assert await crowd.quiet() == written

    await _all_sell(crowd, redis_server, third)


async def _all_sell(crowd: Crowd, redis: RedisServer, replica: Replica) -> None:
    """All sales let users in at once: numbers are told in turn, and an edit does not wait."""
    client = RedisClient(Server("127.0.0.1", redis.port), {}, deadline=30.0)
    before = statuses(await crowd.admin.written())
    began, cpu = time.monotonic(), replica.cost().cpu
    rounds = 0
    while time.monotonic() - began < 15:
        rounds += 1
        for name in CATALOGUE.sale_names:
            await Books(client, f"shop/{name}/1").grant([f"{rounds:032x}"])
    await client.close()
    written = statuses(await crowd.admin.written()) - before
    seconds = time.monotonic() - began
    used = (replica.cost().cpu - cpu) / seconds
    crowd.say(
        f"{rounds * CATALOGUE.sales / seconds:.0f} permits a second: "
        f"{written / seconds:.1f} writes a second, {100 * used:.0f} % of a core"
    )
    # A second's worth of turns may have been left over.
    assert 0 < written <= NUMBERS_PER_SECOND * (seconds + 2)
    took = await crowd.edit(admission={"blockRatio": 0.25})
    crowd.say(f"an edit meanwhile is told of after {took:.2f} s")

    async def many_counted() -> bool:
        sales = (await crowd.admin.all("FlashSale")).values()
        counted = [one for one in sales if one["status"]["admitted"] == rounds]
        return len(counted) >= MANY

    await eventually(many_counted, deadline=LONG, every=1.0, what="the last numbers are told")
