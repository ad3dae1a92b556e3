"""The date as a source."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from datetime import UTC, date, datetime, timedelta

from controlplane.sources.dates import dates


class Clock:
    """Shows the moments of a list, one at each look, and the last one from then on."""

    def __init__(self, *moments: str) -> None:
        self.moments = [datetime.fromisoformat(moment).replace(tzinfo=UTC) for moment in moments]
        self.looks = 0

    def __call__(self) -> datetime:
        self.looks += 1
        return self.moments.pop(0) if len(self.moments) > 1 else self.moments[0]


async def first(count: int, clock: Clock) -> list[date]:
    found: list[date] = []
    async with asyncio.timeout(20), aclosing(dates(clock, longest=0.001)) as days:
        async for day in days:
            found.append(day)
            if len(found) == count:
                return found
    raise AssertionError


async def test_the_date_of_today_comes_at_once_and_each_other_as_it_begins() -> None:
    clock = Clock("2027-02-28T23:59:58", "2027-02-28T23:59:59", "2027-03-01T00:00:00")
    assert await first(2, clock) == [date(2027, 2, 28), date(2027, 3, 1)]
    assert clock.looks == 3


async def test_a_machine_that_slept_and_a_clock_that_is_set_back() -> None:
    clock = Clock("2027-01-10T12:00:00", "2027-01-14T12:00:00", "2027-01-13T12:00:00")
    days = [date(2027, 1, 10), date(2027, 1, 14), date(2027, 1, 13)]
    assert await first(3, clock) == days


async def test_the_real_clock_knows_today() -> None:
    async with aclosing(dates()) as days:
        day = await anext(days)
    assert datetime.now(UTC).date() - day <= timedelta(days=1)
