"""Looks at the books of all sales of one Redis at once, so that quiet ones cost next to nothing.

A look at books is a step of its own for each sale, five times a second: for a thousand sales that
is more than one process can do. So one script tells for a hundred sales at a time whether anything
has happened to them, and only keepers of those look. When too much happens everywhere, they have
their turns one after the other: numbers are told later then, and nothing else is different.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import TYPE_CHECKING, Final

from controlplane.ledger import scripts
from controlplane.ledger.books import text
from controlplane.ledger.errors import LedgerError, RedisRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from controlplane.ledger.client import RedisClient
    from controlplane.ledger.rest import Rest

SHORTEST: Final = 0.2
"""Seconds between two glances at a sale, as long as there are not too many."""
SALES_PER_SECOND: Final = 500
"""How many are glanced at in a second at the most."""
LOOKS_PER_SECOND: Final = 200
"""How many keepers are woken in a second at the most."""
TURNS: Final = 4
"""How many keepers ask Redis at the same time: each waits in line here rather than there, where
the wait would count as an answer that does not come."""
_CHUNK: Final = 100
_CROSSED: Final = "CROSSSLOT"


class Glance:
    """All sales of one Redis; `run` goes on until it is cancelled."""

    def __init__(self, client: RedisClient, clock: Callable[[], float] = time.monotonic) -> None:
        self.turns = asyncio.Semaphore(TURNS)
        self._client = client
        self._clock = clock
        self._resting: dict[str, Rest] = {}
        self._chunk = _CHUNK
        self._connects = 0
        self._first = 0

    def add(self, rest: Rest) -> None:
        """Look after one more sale."""
        self._resting[rest.meta] = rest

    def remove(self, rest: Rest) -> None:
        """Look after it no longer."""
        self._resting.pop(rest.meta, None)

    @property
    def seconds(self) -> float:
        """How long it takes from one glance at a sale to the next."""
        each = _CHUNK / self._chunk / SALES_PER_SECOND
        return max(SHORTEST, len(self._resting) * each)

    async def run(self) -> None:
        """Go on until cancelled; what goes wrong is told to all sales, and tried again."""
        while True:
            seconds = self.seconds
            try:
                await self._round(seconds)
            except RedisRefusedError as error:
                self._failed(error)
                if _CROSSED in str(error):
                    self._chunk = 1  # a Redis Cluster, where a script is about one sale alone
            except LedgerError as error:
                self._failed(error)
            await asyncio.sleep(seconds)

    async def _round(self, seconds: float) -> None:
        """Glance at all once, beginning each time where the last round ran out of turns."""
        sales = list(self._resting.values())
        first = self._first % max(1, len(sales))
        turns = max(1, int(LOOKS_PER_SECOND * seconds))
        seen = first
        for chunk in _chunks((*sales[first:], *sales[:first]), self._chunk):
            at = self._clock()
            marks = await self._client.run(scripts.load("glance"), [one.meta for one in chunk], ())
            if self._client.connects != self._connects:
                # Maybe another server, which need not show in what it has.
                self._connects = self._client.connects
                for one in sales:
                    one.unchanged("", at)
            for one, mark in zip(chunk, marks, strict=True):
                seen += 1
                if not one.unchanged(text(mark), at) and turns:
                    one.look_soon()
                    turns -= 1
                    self._first = seen
            await asyncio.sleep(0)  # so many marks take a moment

    def _failed(self, error: LedgerError) -> None:
        for one in list(self._resting.values()):
            one.unreachable(str(error))


def _chunks(sales: Iterable[Rest], size: int) -> Iterable[list[Rest]]:
    left = iter(sales)
    while chunk := list(itertools.islice(left, size)):
        yield chunk
