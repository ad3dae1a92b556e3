"""The borders of calendar windows, so that filters need neither zone data nor the date.

A month is a month and a day is a day in the zone of the limit: 23 hours long when clocks go
forward, 25 when they go back. Borders are moments, in ms since 1970: each is the first moment at
which the next window has begun by the clocks on the wall. Where clocks skip midnight, that is the
moment of the change; where they show it twice, the first time counts.

Hours are never longer than sixty minutes: an hour that clocks show twice is two windows, and where
clocks are changed by half an hour, one window is half an hour long.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Final, Literal
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

Unit = Literal["Hour", "Day", "Week", "Month", "Year"]
"""A window of the calendar. A minute is none of them: it is as long everywhere."""

DAYS_OF_HOURS: Final = 16
DAYS: Final = 400
WEEKS: Final = 104
MONTHS: Final = 60
YEARS: Final = 20

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_DAY: Final = timedelta(days=1)
_HOUR: Final = timedelta(hours=1)
_JANUARY: Final = 1
_MONTHS_IN_YEAR: Final = 12


def borders(unit: Unit, zone: str, today: date) -> tuple[int, ...]:
    """Borders from the window before `today` on, ascending, for years without a control plane.

    The window before: `today` may have come from another zone, where the date is another, and
    Redis's clock may be behind. Depends on nothing but the date, so that parameters stay as they
    are until the next one.

    Raises:
        ZoneInfoNotFoundError: no zone has this name; manifests are checked for that.
    """
    place = ZoneInfo(zone)
    moments = _hours(place, today) if unit == "Hour" else _dates(unit, place, today)
    return tuple((moment - _EPOCH) // _MILLISECOND for moment in moments)


def begin(day: date, place: ZoneInfo) -> datetime:
    """The first moment, in UTC, at which clocks of the zone show this date, or a later one."""
    midnight = datetime.combine(day, time(), place)
    moment = midnight.astimezone(UTC)
    if moment.astimezone(place).replace(tzinfo=None) == midnight.replace(tzinfo=None):
        return moment
    # Clocks skip midnight. `moment` counts it by the clock before the change, so the change has
    # been; by the clock after it, it has not.
    before, after = midnight.replace(fold=1).astimezone(UTC) - timedelta(seconds=1), moment
    while after - before > timedelta(seconds=1):
        middle = before + timedelta(seconds=(after - before) // timedelta(seconds=2))
        if middle.astimezone(place).date() >= day:
            after = middle
        else:
            before = middle
    return after


def _dates(unit: Unit, place: ZoneInfo, today: date) -> Iterator[datetime]:
    """Each moment once: a zone that moved over the date line has left out a whole day."""
    first, count, step = _STEPS[unit]
    last: datetime | None = None
    for number in range(-1, count + 1):
        moment = begin(step(first(today), number), place)
        if moment != last:
            yield moment
        last = moment


def _hours(place: ZoneInfo, today: date) -> Iterator[datetime]:
    end = begin(today + DAYS_OF_HOURS * _DAY, place)
    moment = begin(today - _DAY, place)
    while moment <= end:
        yield moment
        shown = moment.astimezone(place)
        into = timedelta(minutes=shown.minute, seconds=shown.second)
        moment += _HOUR - into


def _add_months(first: date, number: int) -> date:
    years, month = divmod(first.month - 1 + number, _MONTHS_IN_YEAR)
    return date(first.year + years, month + 1, 1)


_STEPS: Final[Mapping[Unit, tuple[Callable[[date], date], int, Callable[[date, int], date]]]] = {
    "Day": (lambda today: today, DAYS, lambda first, number: first + number * _DAY),
    # ISO 8601: a week begins on Monday.
    "Week": (
        lambda today: today - today.weekday() * _DAY,
        WEEKS,
        lambda first, number: first + number * 7 * _DAY,
    ),
    "Month": (lambda today: today.replace(day=1), MONTHS, _add_months),
    "Year": (
        lambda today: date(today.year, _JANUARY, 1),
        YEARS,
        lambda first, number: date(first.year + number, _JANUARY, 1),
    ),
}
"""For each unit: the date on which its window begins, how many follow, and how to step."""
