"""How many units in which time: the windows of a limit, and what they are called in data.

The name of a window says its algorithm and its time, and no number: a changed number goes on with
the same counters, a changed window or algorithm begins new ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal, Self
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, Field, model_validator

from controlplane.model.durations import Duration, format_duration, milliseconds
from controlplane.model.meta import Model
from controlplane.model.quota_costs import MAX_UNITS
from controlplane.model.quota_window_rules import (
    BUCKET_ONLY,
    CALENDAR_ONLY,
    NO_PERIOD,
    NOT_OF_NOTHING,
    PERIOD,
    TOO_FAST,
    UNIT,
)
from controlplane.model.rules import Broken, OneOf, Rule, demand, fail
from controlplane.model.wording import suggest

if TYPE_CHECKING:
    from collections.abc import Iterator

Algorithm = Literal["FixedWindow", "SlidingWindow", "TokenBucket", "Calendar"]
CalendarUnit = Literal["Minute", "Hour", "Day", "Week", "Month", "Year"]
Counts = Literal["requests", "tokens"]
WindowKind = Literal["f", "s", "b", "c"]

UTC: Final = "UTC"
MAX_RATE: Final = 1_000_000
"""Most units a second of a bucket: it drains by whole microseconds."""
_KINDS: Final[dict[Algorithm, WindowKind]] = {
    "FixedWindow": "f",
    "SlidingWindow": "s",
    "TokenBucket": "b",
    "Calendar": "c",
}
_ZONE_PATTERN: Final = "^[A-Z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$"
_MINUTE: Final = 60_000
_ALIKE: Final = 0.8
"""How alike a zone must be to be suggested: half of Europe begins with the same letters."""


_ZONE: Final = Rule(
    "must be a time zone of IANA such as Europe/Berlin",
    # An unknown zone is an error of the expression, whose result is of no interest.
    f"self != 'Local' && self.matches('{_ZONE_PATTERN}') && timestamp(0).getHours(self) >= 0",
)


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        near = suggest(name, available_timezones(), alike=_ALIKE)
        hint = f"did you mean {near}?" if near is not None else ""
        raise fail(_ZONE.message, hint) from None
    return name


Amount = Annotated[int, Field(ge=0, le=MAX_UNITS)]
Burst = Annotated[int, Field(ge=1, le=MAX_UNITS)]
Period = Annotated[Duration, Field(ge=timedelta(seconds=1), le=timedelta(days=366))]
TimeZone = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_known_zone), _ZONE]


@dataclass(frozen=True, slots=True)
class ResolvedWindow:
    """One window in force, as filter, scripts and command line know it."""

    id: str
    """Its part of the counters' names: `f60000`, `cMonth@Europe/Berlin`."""
    kind: WindowKind
    """Fixed, sliding, bucket, or calendar; a calendar's minutes are fixed ones."""
    amount: int
    span_ms: int
    """Its length; 0 for calendars, of which each window has its own."""
    burst: int
    """Units that a full bucket holds; 0 for all but buckets."""
    unit: CalendarUnit | None = None
    zone: str | None = None

    @property
    def capacity(self) -> int:
        """Most units that it ever lets through at once."""
        return self.burst if self.kind == "b" else self.amount

    @property
    def title(self) -> str:
        """The window in lists and messages: `1m`, `Month (Europe/Berlin)`."""
        if self.unit is not None:
            return f"{self.unit} ({self.zone})"
        return format_duration(timedelta(milliseconds=self.span_ms))


def one_amount(choice: str, unless: str = "") -> OneOf:
    """Make the rule that one of the two is given; `choice` is all that may be given."""
    second = "cannot be given together with {first}: remove one"
    return OneOf(("requests", "tokens"), f"needs {choice}", second, unless)


class Counted(Model):
    """So many requests or so many tokens."""

    requests: Amount | None = Field(None, description="Requests in the window; 0 refuses all.")
    tokens: Amount | None = Field(None, description="Tokens in the window; 0 refuses all.")

    AMOUNT: ClassVar = one_amount("requests or tokens")

    @model_validator(mode="after")
    def _counted(self) -> Self:
        demand(self.AMOUNT.broken({"requests": self.requests, "tokens": self.tokens}))
        return self

    @property
    def counts(self) -> Counts:
        """What it counts."""
        return "requests" if self.requests is not None else "tokens"

    @property
    def amount(self) -> int:
        """Units in the window."""
        return (self.requests if self.requests is not None else self.tokens) or 0


class Window(Counted):
    """One window of a limit: so many units in such a time."""

    per: Period | None = Field(None, description="Length of the window; not with Calendar.")
    burst: Burst | None = Field(
        None, description="TokenBucket only: units at once; without it the amount."
    )
    unit: CalendarUnit | None = Field(
        None, description="Calendar only: the window. Weeks begin on Monday."
    )

    def broken(self, algorithm: Algorithm) -> Iterator[Broken]:
        """Tell what does not go with the algorithm of its limit."""
        if algorithm == "Calendar":
            if self.per is not None:
                yield NO_PERIOD.broken()
            if self.unit is None:
                yield UNIT.broken()
        else:
            if self.unit is not None:
                yield CALENDAR_ONLY.broken()
            if self.per is None:
                yield PERIOD.broken(algorithm=algorithm)
        if algorithm == "TokenBucket":
            yield from bucket_broken(self.counts, self.amount, self.burst, self.per)
        elif self.burst is not None:
            yield BUCKET_ONLY.broken()

    def resolve(
        self, algorithm: Algorithm, zone: str, amount: int | None = None, burst: int | None = None
    ) -> ResolvedWindow:
        """Work out the window in force, with other numbers where an override has them."""
        amount = self.amount if amount is None else amount
        if self.unit is not None:
            return _calendar(self.unit, zone, amount)
        span, kind = milliseconds(self.per or timedelta(0)), _KINDS[algorithm]
        given = self.burst if burst is None else burst
        # A bucket of amount 0 never fills again: it must not begin full either.
        size = 0 if kind != "b" or amount == 0 else amount if given is None else given
        return ResolvedWindow(f"{kind}{span}", kind, amount, span, size)


def _calendar(unit: CalendarUnit, zone: str, amount: int) -> ResolvedWindow:
    """Make a window of a calendar; minutes are as long everywhere, so they need no borders."""
    kind, span = ("f", _MINUTE) if unit == "Minute" else ("c", 0)
    name = f"c{unit}@{zone}"
    return ResolvedWindow(name, "f" if kind == "f" else "c", amount, span, 0, unit, zone)


def bucket_broken(
    counts: Counts, amount: int, burst: int | None, per: timedelta | None
) -> Iterator[Broken]:
    """Tell what a bucket cannot do."""
    if burst is not None and amount == 0:
        yield NOT_OF_NOTHING.broken(counts=counts)
    most = MAX_RATE * milliseconds(per or timedelta(days=366)) // 1000
    if amount > most:
        shown = format_duration(per or timedelta(0))
        yield TOO_FAST.broken(counts, most=most, per=shown)
