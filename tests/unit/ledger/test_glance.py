"""Many sales on one Redis: quiet ones cost a glance, and whatever happens to one is seen."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

import pytest

from controlplane.ledger import scripts
from controlplane.ledger.books import Books, Opening, text
from controlplane.ledger.client import RedisClient
from controlplane.ledger.errors import RedisRefusedError
from controlplane.ledger.follower import Look
from controlplane.ledger.glance import Glance
from controlplane.ledger.ledger import Ledger
from controlplane.ledger.presence import Connected, Presence
from tests.testkit.waiting import alongside, eventually
from tests.unit.ledger.plans import GATEWAY, sale_plan

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from controlplane.ledger.client import Server
    from controlplane.ledger.rest import Rest
    from controlplane.local import RedisServer

pytestmark = pytest.mark.redis
SALES = 120


class Books120:
    """A ledger that keeps the books of many sales."""

    def __init__(self, folder: Path, redis: RedisServer) -> None:
        self.presence = Presence()
        self.ledger = Ledger(folder, {}, self.presence)
        self.ledger.keep([sale_plan(redis, name=f"item-{number}") for number in range(SALES)])

    def books(self, name: str) -> Books:
        account = self.ledger.account(f"shop/{name}")
        assert account is not None
        return account.books

    async def all_settled(self) -> None:
        """Waits until all are open and healed, and nobody has anything to do."""

        def settled() -> bool:
            states = list(self.ledger.board)
            healed = [one for one in states if one.open and not one.healing and not one.error]
            return len(healed) == SALES

        await eventually(settled, what="all books are open")
        last = -1

        async def quiet() -> bool:
            nonlocal last
            before, last = last, await self.calls("multi")
            return before == last

        await eventually(quiet, every=1.0, what="nobody looks")

    async def calls(self, command: str) -> int:
        """How often Redis was asked for something."""
        info = await self.books("item-0").client.command("INFO", "commandstats")
        found = info.get(f"cmdstat_{command}") or {} if isinstance(info, dict) else {}
        return int(found.get("calls", 0))


@asynccontextmanager
async def many(folder: Path, redis: RedisServer) -> AsyncIterator[Books120]:
    made = Books120(folder, redis)
    async with alongside(made.ledger.run()):
        yield made


async def test_quiet_sales_are_not_looked_at_and_others_at_once(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    async with many(tmp_path, redis_server) as here:
        await here.all_settled()
        before, glances = await here.calls("multi"), await here.calls("evalsha")

        async def glanced() -> bool:
            return await here.calls("evalsha") >= glances + 10

        await eventually(glanced, what="five rounds")
        assert await here.calls("multi") == before

        await here.books("item-7").grant(["00" * 16])

        def seen() -> bool:
            state = here.ledger.board.get("shop/item-7/1")
            return state is not None and state.admitted == 1

        await eventually(seen, what="a permit is seen")
        # And a proxy that comes, as the copy has to name it.
        before = await here.calls("multi")
        here.presence.update([Connected("proxy-a", GATEWAY, fresh=True, since=1)])

        async def all_look() -> bool:
            return await here.calls("multi") >= before + SALES

        await eventually(all_look, what="all note the proxy")


async def test_a_redis_that_is_away_is_told_once_for_all_and_comes_back_for_all(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    async with many(tmp_path, redis_server) as here:
        await here.all_settled()
        redis_server.kill()
        await eventually(
            lambda: all(one.error for one in here.ledger.board), what="all sales tell of it"
        )
        redis_server.wipe()
        await redis_server.start()
        await here.all_settled()


@pytest.mark.parametrize("override", [None, 7])
async def test_a_look_and_a_glance_tell_the_same(client: RedisClient, override: int | None) -> None:
    books = Books(client, f"shop/laptop/{override}")
    assert await _glance(books) == ""
    await books.open(Opening(limit=3, heal_ms=1, ring=4, override=override))
    await books.grant(["00" * 16, "11" * 16])
    seen = {await _same(books)}
    for change in ({"suspended": "1"}, {"suspended": "0"}, {"closed": "for good"}):
        await books.adjust(**change)
        seen.add(await _same(books))
    await books.forget(["00" * 16])
    seen.add(await _same(books))
    await books.reset()
    seen.add(await _same(books))
    assert len(seen) >= 5


async def _same(books: Books) -> str:
    page, marks = await books.follow(0, 0, 0)
    mark = Look(page, marks, complete=True).mark
    assert mark == await _glance(books)
    return mark


async def _glance(books: Books) -> str:
    [found] = await books.client.run(scripts.load("glance"), [books.keys.meta], ())
    return text(found)


class Sharded(RedisClient):
    """A Redis Cluster, in the only respect that matters: a script is about one sale."""

    def __init__(self, server: Server) -> None:
        super().__init__(server, {})
        self.refused = 0

    async def run(self, script: scripts.Script, keys: Any, args: Any) -> list[Any]:
        if len(keys) > 1:
            self.refused += 1
            raise RedisRefusedError("CROSSSLOT Keys in request don't hash to the same slot")
        return await super().run(script, keys, args)


async def test_where_a_script_is_about_one_sale_they_are_seen_one_by_one(
    client: RedisClient,
) -> None:
    sharded = Sharded(client.server)
    glance = Glance(sharded)
    told: list[str] = []
    seen: list[str] = []
    for name in ("one", "two"):
        glance.add(cast("Rest", _Sale(name, told, seen)))
    task = asyncio.create_task(glance.run())
    await eventually(lambda: len(seen) >= 4, what="both are seen")
    task.cancel()
    await asyncio.wait((task,))
    await sharded.close()
    assert sharded.refused == 1
    assert sorted(told) == ["one", "two"]
    assert {"one", "two"} == set(seen)


class _Sale:
    def __init__(self, name: str, told: list[str], seen: list[str]) -> None:
        self.meta, self._told, self._seen = name, told, seen

    def unchanged(self, mark: str, at: float) -> bool:
        assert at
        self._seen.append(self.meta)
        return not mark

    def unreachable(self, problem: str) -> None:
        assert "CROSSSLOT" in problem
        self._told.append(self.meta)
