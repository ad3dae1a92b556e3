"""One limit of a QuotaPolicy: whom it counts for, how much, and what happens beyond.

Effective values are properties here, so that the filter's parameters, the counters in Redis, the
command line and the documentation cannot disagree about them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from controlplane.model.meta import Model
from controlplane.model.quota_costs import Cost, ResolvedCost
from controlplane.model.quota_keys import KeyPart
from controlplane.model.quota_limit_rules import (
    COST_TOO_HIGH,
    COUNT_ALIKE,
    DOUBLE_PART,
    OF_TOKENS,
    OTHER_LENGTH,
    OVERRIDE_RULES,
    OVERRIDE_TOO_SMALL,
    OVERRIDE_TWICE,
    RESERVE_TOO_HIGH,
    WRITTEN_THERE,
    ZONE_OF_CALENDAR,
)
from controlplane.model.quota_matchers import Matcher
from controlplane.model.quota_overrides import Override, ResolvedOverride
from controlplane.model.quota_window_rules import HAS_WINDOWS, WINDOW_RULES
from controlplane.model.quota_windows import (
    UTC,
    Algorithm,
    Amount,
    Burst,
    CalendarUnit,
    Counts,
    Period,
    ResolvedWindow,
    TimeZone,
    Window,
    one_amount,
)
from controlplane.model.rules import Broken, demand
from controlplane.model.scalars import LABEL

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Limit(Model):
    """One limit: so many units in such a time, for each consumer."""

    name: Annotated[str, Field(min_length=1, max_length=63, pattern=LABEL)] = Field(
        description="Name, unique in the policy; part of the counters' names."
    )
    key: tuple[KeyPart, ...] = Field(
        (),
        max_length=8,
        description="What makes a consumer: the parts together. Without any, one counter for "
        "everybody.",
    )
    plain: bool = Field(
        default=False,
        description="Keep consumers in Redis and in lists as they are. By default a keyed hash, "
        "as keys may be secrets.",
    )
    when: tuple[Matcher, ...] = Field(
        (), max_length=8, description="Requests that it is about: any of these; without it, all."
    )
    algorithm: Algorithm = Field("FixedWindow", description="How units are counted; see above.")
    requests: Amount | None = Field(
        None, description="Requests in a window; 0 refuses all. This, `tokens`, or `windows`."
    )
    tokens: Amount | None = Field(None, description="Tokens in a window; 0 refuses all.")
    per: Period | None = Field(None, description="Length of the window; not with Calendar.")
    burst: Burst | None = Field(
        None, description="TokenBucket only: units at once; without it the amount."
    )
    unit: CalendarUnit | None = Field(
        None, description="Calendar only: the window. Weeks begin on Monday."
    )
    time_zone: TimeZone | None = Field(
        None, description="Calendar only: IANA time zone of the windows; without it `UTC`."
    )
    windows: tuple[Window, ...] = Field(
        (),
        max_length=4,
        description="Several windows, such as 10 a second and 1000 a day, in place of the fields "
        "above; a request must fit in all.",
    )
    cost: Cost = Field(default_factory=Cost, description="What one request takes.")
    mode: Literal["Enforce", "Shadow"] = Field(
        "Enforce", description="`Shadow` counts and reports, and refuses nobody."
    )
    enforce_percent: int = Field(
        100,
        ge=0,
        le=100,
        description="Share of consumers that `Enforce` is for, by their hash, so that each stays "
        "on its side; for the others it is `Shadow`.",
    )
    on_redis_failure: Literal["Allow", "Deny", "Local"] = Field(
        "Allow",
        description="While Redis cannot be asked: let through (`Allow`), refuse with "
        "`responses.unavailable` (`Deny`), or count in each worker its share (`Local`).",
    )
    overrides: tuple[Override, ...] = Field(
        (),
        max_length=64,
        description="Other numbers for some consumers; the first that fits counts.",
    )

    AMOUNT: ClassVar = one_amount("requests, tokens or windows", unless=HAS_WINDOWS)
    RULES: ClassVar = (
        *WRITTEN_THERE.values(),
        *WINDOW_RULES,
        COUNT_ALIKE,
        OTHER_LENGTH,
        ZONE_OF_CALENDAR,
        DOUBLE_PART,
        OF_TOKENS,
        COST_TOO_HIGH,
        RESERVE_TOO_HIGH,
        *OVERRIDE_RULES,
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        demand(self._amounts())
        demand(self._windows())
        demand([*self._keys(), *self._costs(), *self._overrides()])
        return self

    @property
    def given_windows(self) -> tuple[Window, ...]:
        """Its windows, those written in short included."""
        return self.windows or (
            Window(
                requests=self.requests,
                tokens=self.tokens,
                per=self.per,
                burst=self.burst,
                unit=self.unit,
            ),
        )

    @property
    def counts(self) -> Counts:
        """What it counts."""
        return self.given_windows[0].counts

    @property
    def zone(self) -> str:
        """Time zone of a calendar."""
        return UTC if self.time_zone is None else self.time_zone

    @property
    def resolved(self) -> tuple[ResolvedWindow, ...]:
        """The windows in force for consumers without an override, in the order written."""
        return tuple(one.resolve(self.algorithm, self.zone) for one in self.given_windows)

    @property
    def resolved_overrides(self) -> tuple[ResolvedOverride, ...]:
        """What holds for the consumers of each override, in the order written."""
        given = self.given_windows
        return tuple(one.resolve(given, self.algorithm, self.zone) for one in self.overrides)

    @property
    def resolved_cost(self) -> ResolvedCost:
        """What one request takes, defaults worked out."""
        return self.cost.resolved

    @property
    def shadow(self) -> bool:
        """Whether it refuses nobody."""
        return self.mode == "Shadow"

    def _amounts(self) -> Iterator[Broken]:
        if not self.windows:
            yield from self.AMOUNT.broken({"requests": self.requests, "tokens": self.tokens})
            return
        for name, rule in WRITTEN_THERE.items():
            if getattr(self, name) is not None:
                yield rule.broken()

    def _windows(self) -> Iterator[Broken]:
        seen: set[str] = set()
        counts = self.counts
        for index, window in enumerate(self.given_windows):
            place = ("windows", index) if self.windows else ()
            found = [((*place, *path), message) for path, message in window.broken(self.algorithm)]
            yield from found
            if window.counts != counts:
                yield COUNT_ALIKE.broken(*place, window.counts, counts=counts)
            if not found:
                name = window.resolve(self.algorithm, self.zone).id
                if name in seen:
                    yield OTHER_LENGTH.broken(*place)
                seen.add(name)
        if self.time_zone is not None and self.algorithm != "Calendar":
            yield ZONE_OF_CALENDAR.broken()

    def _keys(self) -> Iterator[Broken]:
        titles = [part.title.lower() if part.header else part.title for part in self.key]
        for index, title in enumerate(titles):
            if title in titles[:index]:
                yield DOUBLE_PART.broken("key", index)

    def _costs(self) -> Iterator[Broken]:
        response = self.cost.response
        if response is not None and self.counts == "requests":
            yield OF_TOKENS.broken()
            return
        most = _smallest(self.resolved)
        taken, field = self._least_room()
        if most is not None and taken > most:
            yield COST_TOO_HIGH.broken(*field, most=most)

    def _least_room(self) -> tuple[int, tuple[str, ...]]:
        """The units that must be free for a request to pass, and the field that says so."""
        if self.cost.response is not None:
            return self.cost.response.reserve, ("cost", "response", "reserve")
        if self.cost.header is not None:
            return 0, ("cost", "header")
        return self.cost.resolved.number, ("cost", "number")

    def _overrides(self) -> Iterator[Broken]:
        taken, field = self._least_room()
        given = self.given_windows
        for index, one in enumerate(self.overrides):
            found = list(one.broken(self.key, given, self.algorithm))
            if any(one.consumer == before.consumer for before in self.overrides[:index]):
                found.append(OVERRIDE_TWICE.broken("consumer"))
            if not found:
                most = _smallest(one.resolve(given, self.algorithm, self.zone).windows)
                if most is not None and taken > most:
                    name = ".".join(field)
                    message = OVERRIDE_TOO_SMALL.message
                    found.append(((), f"{message}: {name} is {taken}, more than {most}"))
            yield from ((("overrides", index, *path), message) for path, message in found)


def _smallest(windows: Iterable[ResolvedWindow]) -> int | None:
    """The least that a window has room for; those that refuse all mean to."""
    return min((one.capacity for one in windows if one.amount), default=None)
