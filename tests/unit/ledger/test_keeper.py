"""The keeper against a real Redis that is wiped, killed, restarted, or never there."""

from __future__ import annotations

import asyncio
import dataclasses
import random
import time
from typing import TYPE_CHECKING

import pytest

from controlplane.ledger.books import Opening
from controlplane.ledger.copy import path_for
from controlplane.ledger.keeper import Clock
from controlplane.ledger.ledger import Ledger
from controlplane.ledger.presence import Presence
from controlplane.local import RedisServer, free_port
from tests.testkit.waiting import eventually
from tests.unit.ledger.desk import A, desk, restart_empty
from tests.unit.ledger.plans import sale_plan

if TYPE_CHECKING:
    from pathlib import Path

    from tests.testkit.fixtures import StartRedis

pytestmark = pytest.mark.redis


async def test_a_first_start_opens_fresh_books(redis_server: RedisServer, tmp_path: Path) -> None:
    async with desk(tmp_path, sale_plan(redis_server)) as here:
        state = await here.ready()
        assert (state.admitted, state.limit, state.remaining, state.closed) == (0, 3, 3, "")
        assert state.generation == 1


async def test_a_changed_limit_is_in_force_at_once(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    async with desk(tmp_path, sale_plan(redis_server)) as here:
        await here.ready(limit=3)
        here.ledger.keep([dataclasses.replace(here.plan, limit=9)])
        await here.ready(limit=9)


async def test_wiped_books_come_back_from_the_copy(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    async with desk(tmp_path, sale_plan(redis_server)) as here:
        before = await here.ready()
        await here.books.grant(["a", "b"])
        await here.books.adjust(override="7", suspended="1")
        await here.copied(2)
        await here.ready(override=7, suspended=True, admitted=2)
        identity = (await here.books.client.command("HGET", "sluice:keyring", "identity")).hex()
        await here.books.client.command("FLUSHALL")
        after = await here.reopened(before, admitted=2, override=7, suspended=True, limit=7)
        assert await here.users() == {"a": 1, "b": 2}
        assert after.generation == before.generation
        assert await here.books.grant(["c"]) == [3]
        again = (await here.books.client.command("HGET", "sluice:keyring", "identity")).hex()
        assert again == identity


async def test_a_server_that_comes_back_empty(redis_server: RedisServer, tmp_path: Path) -> None:
    async with desk(tmp_path, sale_plan(redis_server)) as here:
        before = await here.ready()
        await here.books.grant([f"u{n}" for n in range(600)])
        await here.copied(600)
        redis_server.kill()
        await here.failing()
        await restart_empty(redis_server)
        await here.reopened(before, admitted=600)
        assert await here.users() == {f"u{n}": n + 1 for n in range(600)}


async def test_a_server_that_comes_back_with_its_data(
    start_redis: StartRedis, tmp_path: Path
) -> None:
    redis = await start_redis(appendonly=True)
    async with desk(tmp_path, sale_plan(redis)) as here:
        before = await here.ready()
        await here.books.grant(["a", "b"])
        await here.copied(2)
        redis.kill()
        await here.failing()
        await redis.start()
        await here.until("books heal", healing=True)
        after = await here.ready(admitted=2)
        assert after.incarnation == before.incarnation
        assert await here.users() == {"a": 1, "b": 2}


async def test_what_the_server_lacks_is_taught(start_redis: StartRedis, tmp_path: Path) -> None:
    """Redis comes back as it was before the last permits: with an older file."""
    redis = await start_redis(appendonly=True)
    async with desk(tmp_path, sale_plan(redis)) as here:
        await here.ready()
        await here.books.grant(["a"])
        await here.copied(1)
        file = next(redis.directory.rglob("*.incr.aof"))
        old = file.read_bytes()
        await here.books.grant(["b", "c"])
        await here.copied(3)
        redis.kill()
        await eventually(lambda: not redis.running)
        file.write_bytes(old)
        await redis.start()
        await here.until("books heal", healing=True)
        await here.ready(admitted=3)
        assert await here.users() == {"a": 1, "b": 2, "c": 3}


async def test_a_new_control_plane_restores_from_the_copy(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    plan = sale_plan(redis_server)
    async with desk(tmp_path, plan) as here:
        await here.ready()
        await here.books.grant(["a", "b"])
        await here.copied(2)
    await restart_empty(redis_server)
    async with desk(tmp_path, plan) as here:
        await here.ready(admitted=2)
        assert await here.users() == {"a": 1, "b": 2}


async def test_what_was_deleted_stays_deleted(redis_server: RedisServer, tmp_path: Path) -> None:
    async with desk(tmp_path, sale_plan(redis_server)) as here:
        await here.ready()
        await here.books.grant(["a", "b"])
        await here.copied(2)
        await here.books.forget(["a"])
        await here.copied(3)
        before = await here.ready(admitted=1, generation=2)
        await restart_empty(redis_server)
        before = await here.reopened(before, admitted=1, generation=2)
        assert await here.users() == {"b": 2}
        await here.books.reset()
        before = await here.reopened(before, admitted=0, generation=3)
        await here.copied(0)
        await restart_empty(redis_server)
        await here.reopened(before, admitted=0, generation=3)


async def test_a_lost_proxy_closes_books_that_were_lost(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    async with desk(tmp_path, sale_plan(redis_server)) as here:
        here.presence.update([A])
        await here.ready()
        await here.books.grant(["a"])
        await here.copied(1)
        redis_server.kill()
        await here.failing()
        here.presence.update([])
        await restart_empty(redis_server)
        state = await here.until("closed", closed="BooksLost", admitted=1, error="")
        assert state.lost_proxies == ("proxy-a",)
        account = here.ledger.account("shop/laptop")
        assert account is not None
        account.keeper.accept()
        await here.books.adjust(closed="")
        await here.ready(closed="", admitted=1, lost_proxies=())


async def test_a_proxy_that_goes_on_lifts_the_closure(
    redis_server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controlplane.ledger.keeper.LIFT_AFTER_SECONDS", 0.3)
    plan = sale_plan(redis_server)
    async with desk(tmp_path, plan) as here:
        here.presence.update([A])
        await here.ready()
        await here.books.grant(["a"])
        await here.copied(1)
        await eventually(lambda: b"proxy-a" in path_for(tmp_path / "books", plan.tag).read_bytes())
    await restart_empty(redis_server)
    async with desk(tmp_path, plan) as here:
        await here.until("closed", closed="BooksLost", lost_proxies=("proxy-a",))
        here.presence.update([dataclasses.replace(A, since=2)])  # afresh: it remembers nothing
        await asyncio.sleep(0)
        await here.until("still closed", closed="BooksLost", lost_proxies=("proxy-a",))
        here.presence.update([dataclasses.replace(A, fresh=False, since=3)])
        await here.ready(closed="", admitted=1)


async def test_a_lost_proxy_matters_only_if_books_were_lost(
    start_redis: StartRedis, tmp_path: Path
) -> None:
    redis = await start_redis(appendonly=True)
    async with desk(tmp_path, sale_plan(redis)) as here:
        here.presence.update([A])
        await here.ready()
        await here.books.grant(["a"])
        await here.copied(1)
        redis.kill()
        await here.failing()
        here.presence.update([])
        await redis.start()
        await here.until("books heal", healing=True)
        await here.ready(closed="", admitted=1)


async def test_before_the_sale_nothing_can_be_lost(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    plan = sale_plan(redis_server, start_ms=4_000_000_000_000)
    async with desk(tmp_path, plan) as here:
        here.presence.update([A])
        await here.ready()
        redis_server.kill()
        await here.failing()
        here.presence.update([])
        await restart_empty(redis_server)
        await here.ready(closed="")


async def test_redis_may_come_later(tmp_path: Path) -> None:
    port = free_port()
    redis = RedisServer(port=port, directory=tmp_path / "redis")
    async with desk(tmp_path, sale_plan(redis)) as here:
        state = await here.failing()
        assert f"Redis at 127.0.0.1:{port} cannot be reached" in state.error
        assert not state.open
        try:
            await redis.start()
            await here.ready()
        finally:
            await redis.close()


async def test_a_wrong_password_is_told(start_redis: StartRedis, tmp_path: Path) -> None:
    redis = await start_redis(password="right-one")
    plan = sale_plan(redis)
    async with desk(tmp_path, plan, {"SLUICE_REDIS_PASSWORD": "wrong-one"}) as here:
        state = await here.failing()
        assert "check the environment variable SLUICE_REDIS_PASSWORD" in state.error
        assert "wrong-one" not in state.error
    async with desk(tmp_path, plan, {"SLUICE_REDIS_PASSWORD": "right-one"}) as here:
        await here.ready()


async def test_a_sale_that_is_taken_away_keeps_its_books(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    async with desk(tmp_path, sale_plan(redis_server)) as here:
        await here.ready()
        books = here.books
        await books.grant(["a"])
        here.ledger.keep([])
        await eventually(lambda: here.ledger.account("shop/laptop") is None)
        assert here.state is None
        here.ledger.keep([here.plan])
        await here.ready(admitted=1)


async def test_a_sale_may_move_to_another_redis(start_redis: StartRedis, tmp_path: Path) -> None:
    old, new = await start_redis(), await start_redis()
    async with desk(tmp_path, sale_plan(old)) as here:
        await here.ready()
        await here.books.grant(["a"])
        await here.copied(1)
        here.ledger.keep([sale_plan(new)])
        await eventually(lambda: here.books.client.server.port == new.port)
        await here.ready(admitted=1)
        assert await here.users() == {"a": 1}


async def test_everything_expires_some_time_after_the_sale(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    plan = sale_plan(redis_server, start_ms=1, end_ms=int(time.time() * 1000) + 1500, retention=0)
    async with desk(tmp_path, plan) as here:
        await here.until("open", open=True)
        books = here.books
        await here.until("over", expired=True, open=False)
        assert await books.client.command("KEYS", "sluice:{*") == []
        assert list((tmp_path / "books").iterdir()) == []


async def test_books_without_an_end_expire_once_nobody_keeps_them(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    async with desk(tmp_path, sale_plan(redis_server, retention=3_600_000)) as here:
        await here.ready()
        keys = await here.books.client.command("KEYS", "sluice:{*")
        left = [await here.books.client.command("PTTL", key) for key in keys]
        assert left
        assert all(3_500_000 < ms <= 3_600_000 for ms in left), left


async def test_a_copy_that_cannot_be_read_is_set_aside(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    plan = sale_plan(redis_server)
    path = path_for(tmp_path / "books", plan.tag)
    path.parent.mkdir()
    path.write_text("something else\n")
    async with desk(tmp_path, plan) as here:
        # With the record gone nobody knows whether these are the first books.
        await here.until("closed", closed="BooksLost")


async def test_an_older_opening_is_not_mistaken_for_ours(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    plan = sale_plan(redis_server)
    async with desk(tmp_path, plan) as here:
        before = await here.ready()
        await here.books.grant(["a"])
        await here.copied(1)
        await here.books.client.command("DEL", *here.books.keys.all)
        await here.books.open(Opening(limit=3, heal_ms=0))
        await here.reopened(before, admitted=1)
        assert await here.users() == {"a": 1}


def test_the_clock_may_be_brought_along() -> None:
    assert Clock(wall=lambda: 5.0).wall() == 5.0


async def test_it_ends_whenever_it_is_told_to(redis_server: RedisServer, tmp_path: Path) -> None:
    """A cancellation must not get lost in any of the waits on the way."""
    chance = random.Random(7)
    for number in range(60):
        ledger = Ledger(tmp_path / str(number), {}, Presence())
        ledger.keep([sale_plan(redis_server, name=f"s{number}")])
        task = asyncio.create_task(ledger.run())
        await asyncio.sleep(chance.uniform(0, 0.1))
        task.cancel()
        done, _ = await asyncio.wait((task,), timeout=10)
        assert done
