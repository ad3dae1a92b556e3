"""The script of quotas in a real Redis, by a clock that the test moves.

Time is Redis's own, so the text is changed in two places: where it asks for the time it is told
one, and what would live for so many ms is noted and removed by the test when its time came.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from controlplane.ledger import scripts
from controlplane.ledger.quota_counters import Batch

if TYPE_CHECKING:
    from redis import Redis

    from controlplane.ledger.quota_counters import Item, Reply

# What is replaced -> by what.
CHANGES = {
    "call('TIME')": "{table.remove(ARGV), table.remove(ARGV)}",
    "'PX', ": "'EX', 86400) call('SET', 'life:' .. KEYS[k], ",
}
START_US = 1_795_000_000_123_456


def with_moved_time(text: str) -> str:
    """Change the script's text; ValueError where it no longer has what is to be changed."""
    for old, new in CHANGES.items():
        if text.count(old) != 1:
            raise ValueError(f"quota.lua has {old} {text.count(old)} times, and should once")
        text = text.replace(old, new)
    return text


class MovedScript:
    """Runs the script at `now_us`, in a Redis that nothing else is kept in."""

    def __init__(self, redis: Redis, now_us: int = START_US) -> None:
        self.now_us = now_us
        self._redis: Any = redis
        self._sha = self._redis.script_load(with_moved_time(scripts.load("quota").text))
        self._redis.flushdb()
        #: When each counter's life ends, ms.
        self.ends: dict[str, int] = {}

    def run(self, *items: Item) -> Reply:
        """Run items, and check that the script took the time that it was given."""
        batch = Batch.of(*items)
        clock = (self.now_us % 1_000_000, self.now_us // 1_000_000)
        reply = self._redis.evalsha(self._sha, len(batch.keys), *batch.keys, *batch.args, *clock)
        for key in batch.keys:
            life = self._redis.getdel(f"life:{key}")
            if life is not None:
                self.ends[key] = self.now_us // 1000 + int(life)
        read = batch.read(reply)
        assert read.now_us == self.now_us
        return read

    def move(self, us: int) -> None:
        """Let time pass, and end the counters whose lives are over."""
        self.now_us += us
        for key in [key for key, end in self.ends.items() if end <= self.now_us // 1000]:
            self._redis.delete(key)
            del self.ends[key]

    def stored(self) -> dict[str, bytes]:
        """Give all counters as they stand in Redis."""
        return {key.decode(): self._redis.get(key) for key in self._redis.keys()}  # noqa: SIM118
