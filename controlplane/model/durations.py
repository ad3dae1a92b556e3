"""Times as users write them: Go-style durations and RFC 3339 instants.

Kubernetes users know `1m30s` from every other resource, so durations follow GEP-2257, the form
that Gateway API itself settled on: it has one meaning, and a pattern can check it in a CRD.
Instants must name their zone, because a sale that opens an hour late is not a small mistake.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

DURATION_PATTERN: Final = r"^([0-9]{1,5}(h|m|s|ms)){1,4}$"
INSTANT_PATTERN: Final = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?"
    r"([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$"
)

_DURATION = re.compile(DURATION_PATTERN, re.ASCII)
_DURATION_PART = re.compile(r"([0-9]+)(ms|h|m|s)", re.ASCII)
_DAYS = re.compile(r"([0-9]{1,4})d", re.ASCII)
_INSTANT = re.compile(INSTANT_PATTERN, re.ASCII)
_MILLISECONDS: Final = {"h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}


def parse_duration(text: str) -> timedelta:
    """Read `1m30s`, `100ms` or `0s`; `ValueError` tells what a duration looks like."""
    if len(text) > 32 or not _DURATION.fullmatch(text):  # noqa: PLR2004 four parts are at most 28 long
        message = "must be a duration such as 100ms, 60s or 1m30s"
        raise ValueError(message)
    parts = _DURATION_PART.findall(text)
    return timedelta(milliseconds=sum(int(number) * _MILLISECONDS[unit] for number, unit in parts))


def format_duration(value: timedelta) -> str:
    """Write a duration the way `parse_duration` reads it: `1m30s`; nothing is rounded but µs."""
    left = milliseconds(value)
    if left == 0:
        return "0s"
    words = []
    for unit, size in _MILLISECONDS.items():
        count, left = divmod(left, size)
        if count:
            words.append(f"{count}{unit}")
    return "".join(words)


def milliseconds(value: timedelta) -> int:
    """Tell a duration in whole milliseconds, the unit of everything behind the model."""
    return value // timedelta(milliseconds=1)


def parse_instant(text: str) -> datetime:
    """Read an RFC 3339 time, in UTC; `ValueError` when the zone is missing or it is no date."""
    if len(text) > 64 or not _INSTANT.fullmatch(text):  # noqa: PLR2004 longer than any such time
        message = (
            "must be a time with a time zone such as 2027-01-10T12:00:00Z "
            "or 2027-01-10T13:00:00+01:00"
        )
        raise ValueError(message)
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        message = f"must be a date and time that exist ({error})"
        raise ValueError(message) from error


def format_instant(value: datetime) -> str:
    """Write an instant in UTC, with as many digits of a second as it has."""
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _duration(value: Any) -> Any:
    if isinstance(value, timedelta):
        return value
    if not isinstance(value, str):
        raise PydanticCustomError(
            "duration", "must be a duration with a unit, such as 100ms, 60s or 1m30s"
        )
    try:
        return parse_duration(value)
    except ValueError as error:
        told = {"reason": str(error), "hint": _in_hours(value)}
        raise PydanticCustomError("duration", "{reason}", told) from error


def _in_hours(text: str) -> str:
    """Say how to write days, which GEP-2257 has no unit for."""
    days = _DAYS.fullmatch(text)
    return "" if days is None else f"did you mean {int(days[1]) * 24}h?"


def _instant(value: Any) -> Any:
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC)
    if not isinstance(value, str):
        raise PydanticCustomError("instant", "must be a time such as 2027-01-10T12:00:00Z")
    try:
        return parse_instant(value)
    except ValueError as error:
        raise PydanticCustomError("instant", "{reason}", {"reason": str(error)}) from error


Duration = Annotated[
    timedelta,
    BeforeValidator(_duration),
    PlainSerializer(format_duration, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "maxLength": 32, "pattern": DURATION_PATTERN}),
]
"""A span of time, written `100ms`, `60s`, `1m30s`."""

Instant = Annotated[
    datetime,
    BeforeValidator(_instant),
    PlainSerializer(format_instant, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
    Field(strict=True),
]
"""A point in time with its zone, kept in UTC."""
