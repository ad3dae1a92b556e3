"""Where only quotas count, the key ring is kept all the same, and what is wrong is told."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import yaml

from controlplane.ledger.client import RedisClient, Server
from controlplane.ledger.keys import KEYRING
from controlplane.ledger.ledger import Ledger
from controlplane.ledger.presence import Presence
from controlplane.model import QuotaPolicy
from tests.testkit.waiting import eventually
from tests.unit.ledger.plans import quota_plan
from tests.unit.status.facts import QUOTA

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from controlplane.local import RedisServer

pytestmark = pytest.mark.redis

POLICY = "shop/model-api"


@asynccontextmanager
async def ledger_of(folder: Path, redis: RedisServer) -> AsyncIterator[Ledger]:
    """A ledger that keeps one policy and no sale."""
    made = Ledger(folder / "state", {}, Presence())
    made.keep([], [quota_plan(redis, QuotaPolicy.model_validate(yaml.safe_load(QUOTA)))])
    task = asyncio.create_task(made.run())
    yield made
    task.cancel()
    await asyncio.wait((task,))


@pytest.fixture
async def redis(redis_server: RedisServer) -> AsyncIterator[RedisClient]:
    client = RedisClient(Server("127.0.0.1", redis_server.port), {})
    yield client
    await client.close()


async def identity(redis: RedisClient) -> bytes:
    """The key in Redis, as soon as there is one."""

    async def there() -> bytes:
        return bytes(await redis.command("HGET", KEYRING, "identity") or b"")

    return bytes(await eventually(there, what="the key ring is there"))


async def test_the_ring_is_made_and_put_back(
    tmp_path: Path, redis_server: RedisServer, redis: RedisClient
) -> None:
    async with ledger_of(tmp_path, redis_server) as ledger:
        first = await identity(redis)
        assert len(first) == 64
        await redis.command("FLUSHALL")  # no connection breaks
        assert await identity(redis) == first
        assert ledger.board.troubles == {}
        assert list(ledger.links) == [redis_server.address]


async def test_a_ring_that_is_none_is_told(
    tmp_path: Path, redis_server: RedisServer, redis: RedisClient
) -> None:
    await redis.command("HSET", KEYRING, "identity", "frob")
    async with ledger_of(tmp_path, redis_server) as ledger:
        troubles = await eventually(lambda: ledger.board.troubles, what="the trouble is told")
        told = f"Redis at {redis_server.address}: {KEYRING} is no key ring: remove the key there"
        assert troubles == {redis_server.address: told}
        await redis.command("DEL", KEYRING)
        await eventually(lambda: not ledger.board.troubles, what="all is well again")


async def test_nothing_is_watched_without_quotas(tmp_path: Path, redis_server: RedisServer) -> None:
    async with ledger_of(tmp_path, redis_server) as ledger:
        await eventually(lambda: ledger.tallies(POLICY), what="the policy counts")
        redis_server.kill()
        await eventually(lambda: ledger.board.troubles, what="the trouble is told")
        ledger.keep([])
        await eventually(lambda: not ledger.links, what="the connection is closed")
        assert ledger.board.troubles == {}
        assert ledger.tallies(POLICY) == ()
