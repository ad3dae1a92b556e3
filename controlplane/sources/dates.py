"""The date, as a source: windows of the calendar are worked out from it.

Naps are short, since a machine that sleeps, or whose clock is set, passes midnight unnoticed.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from datetime import date

LONGEST_NAP_SECONDS: Final = 60.0


def now() -> datetime:
    """The time in UTC: a date that is near enough in every zone."""
    return datetime.now(UTC)


async def dates(
    clock: Callable[[], datetime] = now, *, longest: float = LONGEST_NAP_SECONDS
) -> AsyncGenerator[date, None]:
    """Each date in UTC as it begins, that of today first; a clock set back counts as well."""
    known: date | None = None
    while True:
        moment = clock()
        if moment.date() != known:
            known = moment.date()
            yield known
            continue
        midnight = datetime.combine(known + timedelta(days=1), time(), UTC)
        await asyncio.sleep(min(longest, (midnight - moment).total_seconds() + 0.001))
