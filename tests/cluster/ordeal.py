"""Control planes, proxies and an API server, what is done to them, and what has to hold after it.

What has to hold: each control plane knows just the objects that are on the server; their status is
there, of their newest generation and with the newest numbers; each proxy has confirmed what is in
force, and nothing was ever taken from it that belongs to an object that still stands.
"""

from __future__ import annotations

import asyncio
import itertools
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from controlplane.xds import kinds
from tests.cluster.catalogue import Admin, Catalogue, complete, statuses
from tests.cluster.proxy import Proxy, proxy
from tests.cluster.replica import Replica
from tests.testkit.waiting import eventually

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.cluster.api_server import ApiServer

CATALOGUE: Final = Catalogue(gateways=3, sales=30)
LONG: Final = 90.0
KINDS: Final = {"FlashSale": "Programmed", "HTTPRoute": "Programmed", "Gateway": "Programmed"}
_BY_GATEWAY: Final = {kinds.LISTENER, kinds.ROUTES, kinds.EXTENSION}


class Fan:
    """A proxy of one gateway at one control plane, which comes again whenever it is sent away."""

    def __init__(self, replica: Replica, name: str, gateway: str) -> None:
        self._replica = replica
        self._name = name
        self._gateway = gateway
        self.now: Proxy | None = None
        self.removed: list[str] = []
        """Names of everything that was ever taken from it."""

    async def run(self) -> None:
        while self._replica.process.running:
            async with proxy(self._replica.xds_port, self._name, self._gateway) as self.now:
                self.now.removed = self.removed
                await self.now.gone.wait()
            await asyncio.sleep(0.2)

    @property
    def has(self) -> dict[tuple[str, str], str]:
        return self.now.has if self.now is not None else {}


class Ordeal:
    """One server, what runs on it, and what an admin does to its objects."""

    def __init__(self, server: ApiServer, admin: Admin, folder: Path) -> None:
        self.server = server
        self.admin = admin
        self.replicas: list[Replica] = []
        self.fans: list[Fan] = []
        self.deleted: set[str] = set()
        self._folder = folder
        self._stack = AsyncExitStack()
        self._numbers = itertools.count(1)
        self._new = itertools.count(CATALOGUE.sales)

    # ------------------------------------------------------------------------------- running
    async def start(self, *, url: str | None = None) -> Replica:
        """One more control plane, with a proxy for each gateway."""
        number = len(self.replicas)
        replica = Replica(self.server, self._folder / f"replica-{number}", url=url)
        self.replicas.append(replica)
        await replica.process.until_ready(replica.ready, LONG)
        for gateway in CATALOGUE.gateway_names:
            fan = Fan(replica, f"{gateway}-{number}", f"{CATALOGUE.namespace}/{gateway}")
            self.fans.append(fan)
            self._stack.push_async_callback(_end, asyncio.create_task(fan.run()))
        return replica

    async def close(self) -> None:
        """Ends everything."""
        await self._stack.aclose()
        for replica in self.replicas:
            await replica.process.terminate(10)

    @property
    def living(self) -> list[Replica]:
        """Control planes that have not been killed."""
        return [one for one in self.replicas if one.process.running]

    async def leader(self) -> Replica:
        """The control plane that holds the Lease, once one has written anything or said so."""

        def leads() -> Replica | None:
            return next((one for one in self.living if one.leads_now), None)

        found = await eventually(leads, deadline=LONG, what="one leads")
        assert found is not None
        return found

    async def noticed(self) -> None:
        """Waits until every control plane tells that it hears nothing of the server."""

        async def told() -> bool:
            for replica in self.living:
                problems = (await replica.status())["problems"]
                assert any(one["reason"] == "NotWatched" for one in problems)
            return True

        await eventually(told, deadline=LONG, every=0.2, what="it is noticed")

    # --------------------------------------------------------------------------------- edits
    async def edit(self, chance: random.Random) -> None:
        """Changes, deletes or makes a sale and what it needs."""
        sales = sorted(await self.admin.all("FlashSale"))
        name = chance.choice(sales)
        what = chance.random()
        if what < 0.8:
            number = next(self._numbers)
            spec = {"stock": 100 + number, "admission": {"blockRatio": chance.random() / 2}}
            await self.admin.edit("FlashSale", name, spec)
        elif what < 0.9 and len(sales) > CATALOGUE.sales // 2:
            self.deleted.add(name)
            for kind in ("FlashSale", "HTTPRoute", "Service", "EndpointSlice"):
                await self.admin.delete(kind, name)
        else:
            number = next(self._new)
            await self.admin.make(CATALOGUE.sale(number, f"item-{number:04}"))

    # ---------------------------------------------------------------------------- what holds
    async def settled(self) -> int:
        """Waits until everything is as it should be; gives the status writes since the start."""
        await eventually(self._agrees, deadline=LONG, every=0.5, what="all know the same")
        written = -1

        async def quiet() -> bool:
            nonlocal written
            before, written = written, statuses(await self.admin.written())
            return before == written

        await eventually(quiet, deadline=LONG, every=2.0, what="no more is written")
        assert await self._agrees()
        self._nothing_was_taken()
        return written

    async def _agrees(self) -> bool:
        objects = {kind: await self.admin.all(kind) for kind in KINDS}
        for replica in self.living:
            _same(objects, await replica.status())
        for kind, condition in KINDS.items():
            for name, obj in objects[kind].items():
                assert complete(obj, condition, "True"), f"{kind} {name}: {obj.get('status')}"
        for name, sale in objects["FlashSale"].items():
            counted = sale["status"]["proxies"]["summary"]
            assert counted == f"{len(self.living)}/{len(self.living)}", f"{name}: {counted}"
        await self._proxies_agree(objects)
        return True

    async def _proxies_agree(self, objects: dict[str, dict[str, Any]]) -> None:
        """Each has just what any other of its gateway has, and of each sale what it needs."""
        for gateway in CATALOGUE.gateway_names:
            fans = [one for one in self._living_fans() if one._gateway.endswith(f"/{gateway}")]
            first, *others = (one.has for one in fans)
            for other in others:
                unlike = _comparable(first) ^ _comparable(other)
                assert not unlike, f"proxies of {gateway} have different things: {unlike}"
            have = " ".join(name for _, name in first)
            routes = objects["HTTPRoute"].items()
            wanted = {
                name for name, one in routes if one["spec"]["parentRefs"][0]["name"] == gateway
            }
            lacking = {name for name in wanted if name not in have}
            assert not lacking, f"proxies of {gateway} lack {lacking}"
            assert {url for url, _ in first} >= _BY_GATEWAY

    def _living_fans(self) -> list[Fan]:
        return [one for one in self.fans if one._replica.process.running]

    def _nothing_was_taken(self) -> None:
        for fan in self.fans:
            wrong = [name for name in fan.removed if not any(gone in name for gone in self.deleted)]
            assert not wrong, f"{fan._name} lost {wrong}"


def _same(objects: dict[str, dict[str, Any]], said: dict[str, Any]) -> None:
    """A control plane knows the objects of the server, no more and no less, and of this version."""
    assert not said["problems"], said["problems"][:3]
    for kind in KINDS:
        known = {one["name"]: one for one in said["objects"] if one["kind"] == kind}
        assert known.keys() == objects[kind].keys()
        for name, obj in objects[kind].items():
            there, here = obj["metadata"]["generation"], known[name]["observedGeneration"]
            assert there == here, f"{kind} {name}: {here} of {there}"
            if kind == "FlashSale":
                status = obj.get("status") or {}
                assert status.get("remaining") == known[name]["remaining"], f"{name}: {status}"
                assert status["remaining"] == obj["spec"]["stock"]


def _comparable(has: dict[tuple[str, str], str]) -> set[tuple[str, str, str]]:
    """What can be compared between replicas: the filters' code lies in a folder of each."""
    return {
        (url, name, "" if url == kinds.EXTENSION else version)
        for (url, name), version in has.items()
    }


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait((task,))
    if not task.cancelled():
        task.result()


@asynccontextmanager
async def ordeal(server: ApiServer, redis: str, folder: Path) -> AsyncIterator[Ordeal]:
    """Objects on a server, and as yet no control plane."""
    async with Admin(server) as admin:
        await admin.make(CATALOGUE.objects(redis))
        made = Ordeal(server, admin, folder)
        try:
            yield made
        finally:
            await made.close()
