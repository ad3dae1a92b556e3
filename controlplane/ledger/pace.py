"""How often the workers look at the books: 200 ms, and less often when there are very many of them.

All polls together stay under 2,000 commands a second. The steps are coarse, so that a proxy that
comes or goes seldom changes the parameters of all the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

POLL_MS = 200
MAX_POLLS_PER_SECOND = 2000
STEPS = (200, 300, 400, 600, 800, 1200, 1600, 2400, 3200, 4800, 6400, 9600, 12800)
#: How far the need must fall below a lower step before that step is taken.
SLACK = 0.8


def poll_interval_ms(pairs: int, current_ms: int = POLL_MS) -> int:
    """Give the interval for `pairs` of worker and sale, each of which polls once an interval."""
    needed = pairs * 1000 / MAX_POLLS_PER_SECOND
    step = next((step for step in STEPS if step >= needed), STEPS[-1])
    if step < current_ms and needed > step * SLACK:
        return current_ms
    return step


def pairs(gateways: Iterable[tuple[int, int]]) -> int:
    """Count the pairs from (workers, sales) of each gateway."""
    return sum(workers * sales for workers, sales in gateways)


def heal_window_ms(poll_ms: int) -> int:
    """Give how long books heal: every worker has to have looked in that time."""
    return max(1000, 3 * poll_ms)
