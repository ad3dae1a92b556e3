from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.testkit.redis_commands import command_calls

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from controlplane.local import RedisServer

pytestmark = pytest.mark.redis


async def test_what_was_sent_in_between_is_counted(
    shared_redis: Redis, shared_redis_server: RedisServer
) -> None:
    before = await command_calls(shared_redis_server)
    assert await command_calls(shared_redis_server) == before
    await shared_redis.set("a", "1")
    await shared_redis.eval(
        "redis.call('INCR', KEYS[1]) return redis.call('INCR', KEYS[1])", 1, "a"
    )
    sent = await command_calls(shared_redis_server) - before
    assert sent == Counter({"set": 1, "eval": 1, "incr": 2})
