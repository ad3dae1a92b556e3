"""Borders of calendar windows, above all where clocks are changed."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, strategies as st

from controlplane.translate.calendar import Unit, borders

if TYPE_CHECKING:
    from collections.abc import Sequence

HOUR = 3_600_000
DAY = 24 * HOUR
ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/St_Johns",
    "America/Havana",  # midnight is skipped in spring, and shown twice in autumn
    "America/Asuncion",  # the last hour of a day is shown twice (until 2024)
    "Africa/Cairo",  # so here, and midnight is skipped
    "Asia/Beirut",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",  # half an hour forward and back
    "Pacific/Chatham",
    "Pacific/Kiritimati",
    "Etc/GMT+12",
)
UNITS: tuple[Unit, ...] = ("Hour", "Day", "Week", "Month", "Year")


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def shown(moment_ms: int, zone: str) -> datetime:
    """What a clock of the zone shows."""
    moment = datetime.fromtimestamp(moment_ms / 1000, UTC).astimezone(ZoneInfo(zone))
    return moment.replace(tzinfo=None)


def lengths(found: Sequence[int]) -> set[float]:
    return {(after - before) / HOUR for before, after in pairwise(found)}


def length_on(day: str, zone: str) -> float:
    """How many hours that day has."""
    begin, end, *_ = borders("Day", zone, date.fromisoformat(day) + timedelta(days=1))
    assert shown(begin, zone).date() == date.fromisoformat(day)
    return (end - begin) / HOUR


def test_days_and_hours_of_a_zone_without_changes() -> None:
    found = borders("Day", "UTC", date(2027, 1, 10))
    assert found[:3] == tuple(ms(f"2027-01-{day:02}T00:00:00+00:00") for day in (9, 10, 11))
    assert len(found) == 402
    assert lengths(found) == {24}
    hours = borders("Hour", "UTC", date(2027, 1, 10))
    assert (hours[0], hours[-1]) == (found[0], found[17])
    assert lengths(hours) == {1}


def test_a_day_of_23_hours_and_one_of_25() -> None:
    assert length_on("2027-03-27", "Europe/Berlin") == 24
    assert length_on("2027-03-28", "Europe/Berlin") == 23
    assert length_on("2027-10-31", "Europe/Berlin") == 25
    assert length_on("2027-11-01", "Europe/Berlin") == 24
    found = borders("Day", "Europe/Berlin", date(2027, 1, 10))
    assert ms("2027-03-29T00:00:00+02:00") in found
    assert ms("2027-11-01T00:00:00+01:00") in found


def test_a_day_whose_midnight_does_not_exist() -> None:
    # Cairo: from 24:00 of Thursday to 01:00 of Friday, 30 April 2027.
    begin = ms("2027-04-30T01:00:00+03:00")
    assert begin == ms("2027-04-30T00:00:00+02:00")
    assert begin in borders("Day", "Africa/Cairo", date(2027, 4, 1))
    assert shown(begin, "Africa/Cairo").hour == 1
    assert length_on("2027-04-29", "Africa/Cairo") == 24
    assert length_on("2027-04-30", "Africa/Cairo") == 23
    # And back: Thursday, 28 October, ends twice at 24:00; only the second time counts.
    assert length_on("2027-10-28", "Africa/Cairo") == 25
    # Within a gap that began before midnight: Toronto, 30 March 1919, from 23:30 to 00:30.
    assert ms("1919-03-31T00:30:00-04:00") in borders("Day", "America/Toronto", date(1919, 3, 30))


def test_a_midnight_that_is_shown_twice_counts_the_first_time() -> None:
    # Havana: from 01:00 back to 00:00 on 7 November 2027.
    assert ms("2027-11-07T00:00:00-04:00") in borders("Day", "America/Havana", date(2027, 11, 1))
    assert length_on("2027-11-07", "America/Havana") == 25
    assert length_on("2027-11-06", "America/Havana") == 24


def test_a_day_that_was_left_out_is_no_window() -> None:
    found = borders("Day", "Pacific/Apia", date(2011, 12, 29))
    days = [shown(moment, "Pacific/Apia").date().isoformat() for moment in found[:4]]
    assert days == ["2011-12-28", "2011-12-29", "2011-12-31", "2012-01-01"]
    assert lengths(found[:4]) == {24}


def test_hours_begin_at_full_hours_of_the_zone() -> None:
    found = borders("Hour", "Asia/Kolkata", date(2027, 1, 10))
    assert ms("2027-01-10T12:30:00+00:00") in found
    assert lengths(found) == {1}
    assert {moment % HOUR for moment in borders("Hour", "Asia/Kathmandu", date(2027, 1, 10))} == {
        HOUR // 4
    }


def test_an_hour_that_is_shown_twice_is_two_windows() -> None:
    found = borders("Hour", "Europe/Berlin", date(2027, 10, 31))
    assert ms("2027-10-31T02:00:00+02:00") in found
    assert ms("2027-10-31T02:00:00+01:00") in found
    assert lengths(found) == {1}
    assert lengths(borders("Hour", "Europe/Berlin", date(2027, 3, 28))) == {1}


def test_clocks_that_change_by_half_an_hour_make_half_an_hour() -> None:
    # Lord Howe: 02:00 becomes 02:30 on 3 October 2027, 02:00 becomes 01:30 on 4 April 2027.
    for day, half in (((10, 3), "02:30:00+11:00"), ((4, 4), "01:30:00+10:30")):
        found = borders("Hour", "Australia/Lord_Howe", date(2027, *day))
        assert lengths(found) == {1, 0.5}
        place = found.index(ms(f"2027-{day[0]:02}-{day[1]:02}T{half}"))
        assert found[place + 1] - found[place] == HOUR // 2
        assert {shown(moment, "Australia/Lord_Howe").minute for moment in found} == {0, 30}


def test_weeks_begin_on_monday_months_and_years_on_their_first_day() -> None:
    berlin = "Europe/Berlin"
    weeks = borders("Week", berlin, date(2027, 3, 28))  # a Sunday, and the change
    assert weeks[:2] == (ms("2027-03-15T00:00:00+01:00"), ms("2027-03-22T00:00:00+01:00"))
    assert (weeks[2] - weeks[1]) / HOUR == 7 * 24 - 1
    assert len(weeks) == 106
    months = borders("Month", berlin, date(2027, 1, 31))
    assert months[:3] == tuple(
        ms(f"{month}-01T00:00:00+01:00") for month in ("2026-12", "2027-01", "2027-02")
    )
    assert months[-1] == ms("2032-01-01T00:00:00+01:00")
    years = borders("Year", berlin, date(2027, 12, 31))
    assert years[:2] == (ms("2026-01-01T00:00:00+01:00"), ms("2027-01-01T00:00:00+01:00"))
    assert years[-1] == ms("2047-01-01T00:00:00+01:00")


def test_borders_change_only_with_their_window() -> None:
    first, last = date(2027, 2, 1), date(2027, 2, 28)
    assert borders("Month", "Asia/Tokyo", first) == borders("Month", "Asia/Tokyo", last)
    assert borders("Year", "Asia/Tokyo", first) == borders("Year", "Asia/Tokyo", last)
    assert (
        borders("Day", "Asia/Tokyo", first)[1:]
        == borders("Day", "Asia/Tokyo", first + timedelta(days=1))[
            : len(borders("Day", "Asia/Tokyo", first)) - 1
        ]
    )


@pytest.mark.parametrize("unit", UNITS)
@given(
    zone=st.sampled_from(ZONES),
    today=st.dates(date(2000, 1, 1), date(2036, 12, 31)),
    second=st.integers(0, 86_399),
)
def test_borders_are_where_windows_begin(unit: Unit, zone: str, today: date, second: int) -> None:
    """Whatever the zone, the date in UTC leaves a whole window before now."""
    found = borders(unit, zone, today)
    assert all(before < after for before, after in pairwise(found))
    now = ms(f"{today}T00:00:00+00:00") + second * 1000
    assert sum(moment <= now for moment in found) >= 1
    assert (
        found[-1] - now
        >= {"Hour": 14, "Day": 398, "Week": 720, "Month": 1760, "Year": 6900}[unit] * DAY
    )
    for moment in found:
        label, before = window(unit, shown(moment, zone)), window(unit, shown(moment - 1, zone))
        if unit == "Hour":
            assert shown(moment, zone).minute == 0 or zone_changes(moment, zone)
        else:
            assert before < label


def window(unit: Unit, clock: datetime) -> tuple[int, ...]:
    """Names the window in which a clock shows this time."""
    if unit == "Week":
        return clock.isocalendar()[:2]
    parts = (clock.year, clock.month, clock.day, clock.hour)
    return parts[: {"Year": 1, "Month": 2, "Day": 3, "Hour": 4}[unit]]


def zone_changes(moment_ms: int, zone: str) -> bool:
    return shown(moment_ms, zone) - shown(moment_ms - 1, zone) != timedelta(milliseconds=1)
