"""The counters of quotas in one Redis, for people: looking, forgetting, charging, the most used.

Looking writes nothing: a counter's value is read and judged here, by Redis's clock, as the script
would judge it. Whatever goes through many counters does so in bounded steps, since Redis may hold
millions of them and serves requests meanwhile; it says how far it came.
"""

from __future__ import annotations

import heapq
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from controlplane.ledger import scripts
from controlplane.ledger.books import text
from controlplane.ledger.errors import LedgerError
from controlplane.ledger.quota_counters import Batch, Counter, Settle, Settlement, Spec
from controlplane.ledger.quota_keys import CounterKey, Kind, pattern

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence

    from controlplane.ledger.client import RedisClient

#: Keys that one SCAN looks at: some tenths of a millisecond of Redis's time.
SCAN_COUNT: Final = 1000
#: How long one call goes through counters, seconds, and through how many at most.
SCAN_SECONDS: Final = 5.0
SCAN_COUNTERS: Final = 1_000_000
NOTHING: Final = Counter(0, 0, 0)


@dataclass(frozen=True, slots=True)
class Standing:
    """How one counter stands at `now_ms`, in units.

    `resets_ms` is when its window ends, or its bucket is full again, ms since 1970; None: it is
    full, or never will be.
    """

    used: int
    held: int
    remaining: int
    resets_ms: int | None


@dataclass(frozen=True, slots=True)
class Forgotten:
    """How many counters were removed; `cursor` is where to go on, None when that was all."""

    count: int
    cursor: int | None


@dataclass(frozen=True, slots=True)
class Top:
    """The most used consumers, most first, of so many `counters`; `complete` if that was all."""

    consumers: tuple[tuple[str, Spec, Standing], ...]
    counters: int
    complete: bool


class Counters:
    """Operations on counters; every step has the client's deadline."""

    def __init__(
        self, client: RedisClient, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.client = client
        self._monotonic = monotonic

    async def read(self, counters: Sequence[tuple[Spec, CounterKey]]) -> list[Standing]:
        """Tell how these counters stand, all at the same moment."""
        now_us, values = await self._values([str(key) for _, key in counters])
        pairs = zip(counters, values, strict=True)
        return [standing(spec, parse(value), now_us) for (spec, key), value in pairs]

    async def adjust(self, counters: Sequence[tuple[Spec, CounterKey]], units: int) -> None:
        """Charge units to each of these counters, or give back: none goes below zero."""
        settled = tuple(Settle(spec, str(key), charge=units) for spec, key in counters)
        batch = Batch.of(Settlement(settled))
        reply = await self.client.run(scripts.load("quota"), batch.keys, batch.args)
        try:
            batch.read(reply)
        except ValueError as error:
            raise LedgerError(f"Redis at {self.client.server}: {error}") from error

    async def forget(self, keys: Iterable[CounterKey]) -> int:
        """Remove counters, reservations included; gives how many there were."""
        names = [str(key) for key in keys]
        return int(await self.client.command("UNLINK", *names)) if names else 0

    async def forget_all(self, match: str, cursor: int = 0) -> Forgotten:
        """Remove all counters of a pattern, as far as one call's time allows."""
        count = 0
        async for following, keys in self._scan(match, cursor):
            if keys:
                count += int(await self.client.command("UNLINK", *keys))
            cursor = following
        return Forgotten(count, cursor or None)

    async def top(
        self, policy: str, limit: str, window: str, specs: Callable[[str], Spec | None], count: int
    ) -> Top:
        """Find the consumers with most units used and held in the present window.

        `specs` gives what holds for a consumer; None: nothing is counted for it any more.
        """
        found: dict[str, tuple[Spec, Standing]] = {}
        seen, cursor = 0, 0
        async for following, keys in self._scan(pattern(policy, limit, window), 0):
            cursor = following
            seen += len(keys)
            found |= await self._standings(keys, specs)
            found = dict(heapq.nlargest(count, found.items(), key=_weight))
        ranked = tuple((consumer, *state) for consumer, state in found.items())
        return Top(ranked, seen, complete=not cursor)

    # ------------------------------------------------------------------------------------- inside

    async def _standings(
        self, keys: Sequence[str], specs: Callable[[str], Spec | None]
    ) -> Mapping[str, tuple[Spec, Standing]]:
        now_us, values = await self._values(keys)
        found = {}
        for name, value in zip(keys, values, strict=True):
            key = CounterKey.parse(name)
            spec = None if value is None else specs(key.consumer)
            if spec is None:
                continue
            state = standing(spec, parse(value), now_us)
            if state.used or state.held:
                found[key.consumer] = (spec, state)
        return found

    async def _values(self, keys: Sequence[str]) -> tuple[int, list[bytes | None]]:
        """Read values and Redis's clock, us, at the same moment."""
        if not keys:
            return 0, []
        clock, values = await self.client.transaction(("TIME",), ("MGET", *keys))
        seconds, micros = map(int, clock)
        return seconds * 1_000_000 + micros, list(values)

    async def _scan(self, match: str, cursor: int) -> AsyncIterator[tuple[int, list[str]]]:
        """Give where to go on, and keys, step by step until all or the time of a call is over."""
        end = self._monotonic() + SCAN_SECONDS
        seen = 0
        while True:
            reply: Any = await self.client.command(
                "SCAN", cursor, "MATCH", match, "COUNT", SCAN_COUNT
            )
            cursor, keys = int(reply[0]), [text(key) for key in reply[1]]
            seen += len(keys)
            yield cursor, keys
            if not cursor or seen >= SCAN_COUNTERS or self._monotonic() >= end:
                return


def parse(value: bytes | None) -> Counter:
    """Read the value of a counter; what is not there, or not ours, has counted nothing."""
    try:
        return NOTHING if value is None else Counter.parse(value)
    except ValueError:
        return NOTHING


def standing(spec: Spec, counter: Counter, now_us: int) -> Standing:
    """Judge a counter as the script does."""
    used, held = counter.used(spec, now_us), counter.held(now_us // 1000)
    capacity = spec.burst if spec.kind is Kind.BUCKET else spec.amount
    resets_ms = _resets(spec, counter, held, now_us)
    return Standing(used, held, max(0, capacity - used - held), resets_ms)


def _resets(spec: Spec, counter: Counter, held: int, now_us: int) -> int | None:
    now_ms = now_us // 1000
    if not isinstance(spec.span, int) or spec.kind is not Kind.BUCKET:
        return spec.window(now_ms)[1]
    drained = max(0, now_us - counter.a) * spec.amount
    debt = max(0, counter.b - drained) + held * spec.span * 1000
    if not debt or not spec.amount:
        return None
    return now_ms - (-debt // (spec.amount * 1000))


def _weight(entry: tuple[str, tuple[Spec, Standing]]) -> tuple[int, str]:
    consumer, (_, state) = entry
    return state.used + state.held, consumer
