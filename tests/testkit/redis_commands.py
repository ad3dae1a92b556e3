"""Counting the commands that a Redis was sent: proof that something cost no round trip.

The server's own statistics are read, so nothing stands between it and its clients.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from redis.asyncio import Redis

if TYPE_CHECKING:
    from controlplane.local import RedisServer

# What a client library or this module sends on its own account.
_OURS = frozenset({"auth", "client|setinfo", "config|resetstat", "hello", "info", "ping", "select"})


async def command_calls(server: RedisServer, *, count_all: bool = False) -> Counter[str]:
    """Command name in lower case (`evalsha`, `script|load`) -> calls since the server started.

    Two of them, subtracted, tell what was sent in between. Commands inside a script count too, as
    Redis counts them. Those that set up a connection are left out unless `count_all`.
    """
    client = Redis.from_url(server.url)
    try:
        listed = await client.info("commandstats")
    finally:
        await client.aclose()
    calls = {
        name.removeprefix("cmdstat_").lower(): int(numbers["calls"])
        for name, numbers in listed.items()
    }
    return Counter({k: n for k, n in calls.items() if count_all or k not in _OURS})
