"""Other numbers for some consumers of a limit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Self

from pydantic import Field, model_validator

from controlplane.model.meta import Model
from controlplane.model.quota_keys import WILDCARD
from controlplane.model.quota_limit_rules import (
    NO_KEY,
    OTHER_COUNT,
    OTHER_KEY,
    OTHER_WINDOWS,
)
from controlplane.model.quota_window_rules import BUCKET_ONLY
from controlplane.model.quota_windows import (
    Algorithm,
    Amount,
    Burst,
    Counted,
    ResolvedWindow,
    Window,
    bucket_broken,
    one_amount,
)
from controlplane.model.rules import Rule, demand
from controlplane.model.scalars import PRINTABLE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from controlplane.model.quota_keys import KeyPart
    from controlplane.model.rules import Broken

ConsumerValue = Annotated[str, Field(min_length=1, max_length=1024, pattern=PRINTABLE)]


@dataclass(frozen=True, slots=True)
class ResolvedOverride:
    """What holds for the consumers of an override."""

    consumer: tuple[str, ...]
    """A value for each part of the key."""
    exact: bool
    """Whether it is one consumer; otherwise the values are patterns with `*` in them."""
    unlimited: bool
    windows: tuple[ResolvedWindow, ...]
    """As many as the limit has, with the same names; empty when unlimited."""


class OverrideWindow(Counted):
    """Other numbers for one window; its length stays."""

    burst: Burst | None = Field(
        None, description="TokenBucket only: units at once; without it as the limit says."
    )


class Override(Model):
    """Other numbers, or no limit, for some consumers."""

    consumer: tuple[ConsumerValue, ...] = Field(
        min_length=1,
        max_length=8,
        description="A value for each part of the key, as requests carry it; `*` stands for any "
        "text, anywhere in a value. Networks as in `203.0.113.0/24`, whole addresses bare.",
    )
    unlimited: bool = Field(default=False, description="The limit does not apply to them.")
    requests: Amount | None = Field(
        None, description="Requests in the window of a limit that has one; 0 refuses all."
    )
    tokens: Amount | None = Field(None, description="Likewise tokens.")
    burst: Burst | None = Field(
        None, description="TokenBucket only: units at once; without it as the limit says."
    )
    windows: tuple[OverrideWindow, ...] = Field(
        (), max_length=4, description="Numbers for each window, in the order of the limit's."
    )

    WITHOUT_LIMIT: ClassVar = tuple(
        Rule(
            "cannot be given together with unlimited: remove one",
            f"!self.unlimited || !has(self.{name})",
            name,
            "Forbidden",
        )
        for name in ("requests", "tokens", "burst", "windows")
    )
    WRITTEN_THERE: ClassVar = tuple(
        Rule(
            "cannot be given together with windows: write it there",
            f"self.unlimited || !has(self.windows) || !has(self.{name})",
            name,
            "Forbidden",
        )
        for name in ("requests", "tokens", "burst")
    )
    AMOUNT: ClassVar = one_amount(
        "requests, tokens, windows or unlimited: true",
        unless="self.unlimited || (has(self.windows) && size(self.windows) > 0)",
    )

    @model_validator(mode="after")
    def _one_meaning(self) -> Self:
        demand(self._conflicts())
        return self

    def _conflicts(self) -> Iterator[Broken]:
        if self.unlimited:
            yield from (rule.broken() for rule in self.WITHOUT_LIMIT if self._has(rule))
        elif self.windows:
            yield from (rule.broken() for rule in self.WRITTEN_THERE if self._has(rule))
        else:
            yield from self.AMOUNT.broken({"requests": self.requests, "tokens": self.tokens})

    def _has(self, rule: Rule) -> bool:
        """Whether the field that a rule is about is given."""
        return getattr(self, rule.at) not in {None, ()}

    @property
    def exact(self) -> bool:
        """Whether it is about one consumer alone."""
        return not any(WILDCARD in value for value in self.consumer)

    @property
    def given_windows(self) -> tuple[OverrideWindow, ...]:
        """The numbers of each window; none when unlimited."""
        if self.unlimited:
            return ()
        return self.windows or (
            OverrideWindow(requests=self.requests, tokens=self.tokens, burst=self.burst),
        )

    def broken(
        self, key: Sequence[KeyPart], windows: Sequence[Window], algorithm: Algorithm
    ) -> Iterator[Broken]:
        """Tell what does not go with its limit."""
        yield from self._strangers(key)
        if self.unlimited:
            return
        if len(self.given_windows) != len(windows):
            number = "one entry" if len(windows) == 1 else f"{len(windows)} entries"
            yield OTHER_WINDOWS.broken("windows", number=number)
            return
        for index, (mine, its) in enumerate(zip(self.given_windows, windows, strict=True)):
            place = ("windows", index) if self.windows else ()
            if mine.counts != its.counts:
                yield OTHER_COUNT.broken(*place, mine.counts, counts=its.counts)
            elif algorithm == "TokenBucket":
                for path, message in bucket_broken(its.counts, mine.amount, mine.burst, its.per):
                    yield (*place, *path), message
            elif mine.burst is not None:
                yield BUCKET_ONLY.broken(*place, "burst")

    def _strangers(self, key: Sequence[KeyPart]) -> Iterator[Broken]:
        """Values that no request can have."""
        if not key:
            yield NO_KEY.broken("consumer")
        elif len(self.consumer) != len(key):
            titles = ", ".join(part.title for part in key)
            yield OTHER_KEY.broken("consumer", titles=titles)
        else:
            for index, (value, part) in enumerate(zip(self.consumer, key, strict=True)):
                wrong = part.mismatch(value)
                if wrong is not None:
                    yield ("consumer", index), wrong

    def resolve(
        self, windows: Sequence[Window], algorithm: Algorithm, zone: str
    ) -> ResolvedOverride:
        """Work out what holds in place of the limit's own numbers."""
        resolved = tuple(
            its.resolve(algorithm, zone, mine.amount, mine.burst)
            for mine, its in zip(self.given_windows, windows, strict=False)
        )
        return ResolvedOverride(self.consumer, self.exact, self.unlimited, resolved)
