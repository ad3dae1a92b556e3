"""What filters are told about how many workers there are.

They look at the books every 200 ms, and less often when there are very many of them: all polls
together stay under 2,000 commands a second. And while Redis is away, each of them has its share of
a limit. The steps are coarse, so that a proxy that comes or goes seldom changes the parameters of
all the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

POLL_MS = 200
MAX_POLLS_PER_SECOND = 2000
STEPS = (200, 300, 400, 600, 800, 1200, 1600, 2400, 3200, 4800, 6400, 9600, 12800)
#: How far the need must fall below a lower step before that step is taken.
SLACK = 0.8
#: How far the workers must fall below the number that limits are divided by before it falls too.
FALL = 0.4


def poll_interval_ms(pairs: int, current_ms: int = POLL_MS) -> int:
    """Give the interval for `pairs` of worker and sale, each of which polls once an interval."""
    needed = pairs * 1000 / MAX_POLLS_PER_SECOND
    step = next((step for step in STEPS if step >= needed), STEPS[-1])
    if step < current_ms and needed > step * SLACK:
        return current_ms
    return step


def share(connected: int, current: int = 1) -> int:
    """Give the number of workers that a limit is divided by: a power of two, never too few.

    It falls only when the workers are far fewer; while there are none, nobody would be told.
    """
    needed = 1 << max(0, connected - 1).bit_length()
    fell = 0 < connected < current * FALL
    return needed if needed > current or fell else current


def pairs(gateways: Iterable[tuple[int, int]]) -> int:
    """Count the pairs from (workers, sales) of each gateway."""
    return sum(workers * sales for workers, sales in gateways)


class Pace:
    """What filters are told now; changes by steps as proxies come and go."""

    def __init__(self) -> None:
        self.poll_ms = POLL_MS
        self.workers = 1

    def count(self, proxies: Iterable[tuple[str, int]], sales: Mapping[str, int]) -> bool:
        """Take gateway and workers of each proxy, and how many sales a gateway has.

        Tells whether anything has changed for the filters.
        """
        before = (self.poll_ms, self.workers)
        known = [(gateway, max(1, workers)) for gateway, workers in proxies]
        polling = pairs((workers, sales.get(gateway, 0)) for gateway, workers in known)
        self.poll_ms = poll_interval_ms(polling, self.poll_ms)
        self.workers = share(sum(workers for _, workers in known), self.workers)
        return (self.poll_ms, self.workers) != before


def heal_window_ms(poll_ms: int) -> int:
    """Give how long books heal: every worker has to have looked in that time."""
    return max(1000, 3 * poll_ms)
