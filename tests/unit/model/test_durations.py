"""Durations and instants are read strictly, and written back the same."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, strategies as st

from controlplane.model.durations import (
    format_duration,
    format_instant,
    milliseconds,
    parse_duration,
    parse_instant,
)

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0s", timedelta(0)),
        ("100ms", timedelta(milliseconds=100)),
        ("60s", timedelta(seconds=60)),
        ("1m30s", timedelta(seconds=90)),
        ("1h0m1s5ms", timedelta(hours=1, seconds=1, milliseconds=5)),
        ("99999h", timedelta(hours=99999)),
    ],
)
def test_a_duration_is_read(text: str, expected: timedelta) -> None:
    assert parse_duration(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "s",
        "1 s",
        "1.5s",
        "-1s",
        "1d",
        "1S",
        "1s ",
        "100000s",
        "1s1s1s1s1s",
        "1h" * 99,
        "٣s",
    ],
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be a duration"):
        parse_duration(text)


@given(st.integers(0, 99999 * 3_600_000))
def test_a_duration_is_written_as_it_is_read(count: int) -> None:
    value = timedelta(milliseconds=count)

    assert parse_duration(format_duration(value)) == value
    assert milliseconds(value) == count


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2027-01-10T12:00:00Z", datetime(2027, 1, 10, 12, tzinfo=UTC)),
        ("2027-01-10T12:00:00+01:00", datetime(2027, 1, 10, 11, tzinfo=UTC)),
        ("2027-01-10t12:00:00.25z", datetime(2027, 1, 10, 12, 0, 0, 250_000, tzinfo=UTC)),
        ("2027-01-10T12:00:00.123456789Z", datetime(2027, 1, 10, 12, 0, 0, 123_456, tzinfo=UTC)),
    ],
)
def test_an_instant_is_read_in_utc(text: str, expected: datetime) -> None:
    assert parse_instant(text) == expected
    assert parse_instant(text).tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    [
        "2027-01-10",
        "2027-01-10T12:00:00",
        "2027-01-10 12:00:00Z",
        "2027-13-10T12:00:00Z",
        "2027-01-10T24:00:01Z",
        "2027-01-10T12:00:60Z",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "tomorrow",
        "",
    ],
)
def test_what_is_no_instant_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be a"):
        parse_instant(text)


@given(st.datetimes(timezones=st.just(UTC)))
def test_an_instant_is_written_as_it_is_read(value: datetime) -> None:
    if value.year >= 1000:
        assert parse_instant(format_instant(value)) == value


@given(st.text(max_size=80), st.sampled_from([parse_duration, parse_instant]))
def test_no_text_breaks_the_parsers(text: str, parse: Callable[[str], object]) -> None:
    with contextlib.suppress(ValueError):
        parse(text)
