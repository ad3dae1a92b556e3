"""What one request takes from a limit: a number, a header's number, or what the response says."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, ClassVar, Final, Self

from pydantic import Field, model_validator

from controlplane.model.durations import Duration, milliseconds
from controlplane.model.meta import Model
from controlplane.model.rules import Broken, Rule, ValueRule, demand
from controlplane.model.scalars import JSON_POINTER, HeaderName

MAX_UNITS: Final = 1_000_000_000
"""Most units of an amount, a cost or a reserve: sums of them stay exact in every language."""

_THOUSANDTHS: Final = 1000
_TOTAL: Final = "/usage/total_tokens"
_INPUT: Final = "/usage/prompt_tokens"
_OUTPUT: Final = "/usage/completion_tokens"
_CACHED: Final = "/usage/prompt_tokens_details/cached_tokens"

_ANY_WEIGHT: Final = "has(self.input) || has(self.output) || has(self.cached)"
_ANY_ABOVE_ZERO: Final = " || ".join(
    f"(has(self.{name}) && self.{name}.weight > 0.0)" for name in ("input", "output", "cached")
)

JsonPointer = Annotated[str, Field(min_length=1, max_length=128, pattern=JSON_POINTER)]


@dataclass(frozen=True, slots=True)
class Term:
    """A number of the response that is charged: `milli` thousandths of a unit for each of it."""

    pointer: str
    milli: int
    """May be negative: cached tokens are counted in the input already, at its weight."""


@dataclass(frozen=True, slots=True)
class ResolvedResponseCost:
    """What is read from the response, and what is held until then."""

    terms: tuple[Term, ...]
    """The cost is the sum of them, rounded up, and never below 0."""
    reserve: int
    ttl_ms: int


@dataclass(frozen=True, slots=True)
class ResolvedCost:
    """The cost of a request, defaults worked out."""

    number: int
    """Units when nothing else is known; not looked at when `response` is there."""
    header: str | None
    """Lower case."""
    response: ResolvedResponseCost | None


def _is_whole(thousandths: float) -> bool:
    return abs(thousandths - round(thousandths)) <= 1e-6  # noqa: PLR2004 rounding


_WHOLE_THOUSANDTHS: Final = ValueRule(
    "must have at most three decimals",
    "self * 1000.0 - double(int(self * 1000.0 + 0.5)) <= 0.000001"
    " && self * 1000.0 - double(int(self * 1000.0 + 0.5)) >= -0.000001",
    holds=lambda value: _is_whole(value * _THOUSANDTHS),
)


class TokenWeight(Model):
    """One sort of tokens, and what each of them costs."""

    pointer: JsonPointer | None = Field(
        None,
        description="JSON pointer (RFC 6901) to the number of tokens; without it the one that "
        "the field is described with.",
    )
    weight: Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False), _WHOLE_THOUSANDTHS] = Field(
        1.0, description="Units for each token, in thousandths at the finest."
    )

    @property
    def milli(self) -> int:
        """The weight in thousandths."""
        return round(self.weight * _THOUSANDTHS)


class ResponseCost(Model):
    """Tokens as the response tells them: its total, or a weighted sum of its parts.

    Read from a JSON body, or from the last event of a `text/event-stream` that has them.
    """

    pointer: JsonPointer | None = Field(
        None,
        description=f"JSON pointer (RFC 6901) to the total; without it, and without weights, "
        f"`{_TOTAL}`.",
    )
    input: TokenWeight | None = Field(
        None, description=f"Tokens of the prompt, at `{_INPUT}`. Left out, they cost nothing."
    )
    output: TokenWeight | None = Field(
        None, description=f"Tokens of the answer, at `{_OUTPUT}`. Left out, they cost nothing."
    )
    cached: TokenWeight | None = Field(
        None,
        description=f"Tokens of the prompt that were in a cache, at `{_CACHED}`. Left out, "
        "those in the prompt cost what it does.",
    )
    cached_in_input: bool = Field(
        default=True,
        description="Whether the number of `input` has the cached tokens in it, as OpenAI's "
        "has: they are taken out of it. `false` for services that tell them apart.",
    )
    reserve: int = Field(
        0,
        ge=0,
        le=MAX_UNITS,
        description="Units held while a request is under way, and settled by what it cost: an "
        "estimate, so that many requests at once cannot overdraw the limit by much.",
    )
    reserve_ttl: Annotated[Duration, Field(ge=timedelta(seconds=10), le=timedelta(hours=24))] = (
        Field(
            timedelta(minutes=10),
            description="After this long units are given back that a lost proxy has reserved; "
            "longer than the longest answer takes.",
        )
    )

    TOTAL_OR_WEIGHTS: ClassVar = Rule(
        "cannot be given together with {first}: remove one",
        f"!has(self.pointer) || !({_ANY_WEIGHT})",
        "pointer",
        "Forbidden",
        {"first": "has(self.input) ? 'input' : has(self.output) ? 'output' : 'cached'"},
    )
    NOTHING: ClassVar = Rule(
        "must be above 0: nothing would count",
        f"!({_ANY_WEIGHT}) || {_ANY_ABOVE_ZERO}",
    )
    CACHED_OF_INPUT: ClassVar = Rule(
        "is taken out of input, which is missing: add it, or cachedInInput: false",
        "!has(self.cached) || !self.cachedInInput || has(self.input)",
        "cached",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        weights = {"input": self.input, "output": self.output, "cached": self.cached}
        given = {name: one for name, one in weights.items() if one is not None}
        broken: list[Broken] = []
        if self.pointer is not None and given:
            broken.append(self.TOTAL_OR_WEIGHTS.broken(first=next(iter(given))))
        if given and not any(one.milli for one in given.values()):
            broken.append(self.NOTHING.broken(next(iter(given)), "weight"))
        if self.cached is not None and self.cached_in_input and self.input is None:
            broken.append(self.CACHED_OF_INPUT.broken())
        demand(broken)
        return self

    @property
    def resolved(self) -> ResolvedResponseCost:
        """The terms of the sum, with every pointer."""
        return ResolvedResponseCost(self._terms(), self.reserve, milliseconds(self.reserve_ttl))

    def _terms(self) -> tuple[Term, ...]:
        terms = [
            Term(weight.pointer or default, weight.milli)
            for weight, default in ((self.input, _INPUT), (self.output, _OUTPUT))
            if weight is not None
        ]
        if self.cached is not None:
            counted = self.input.milli if self.input is not None and self.cached_in_input else 0
            terms.append(Term(self.cached.pointer or _CACHED, self.cached.milli - counted))
        return tuple(terms) or (Term(self.pointer or _TOTAL, _THOUSANDTHS),)


class Cost(Model):
    """What one request takes; without anything, one unit."""

    number: Annotated[int, Field(ge=0, le=MAX_UNITS)] | None = Field(
        None,
        description="Units for each request; with `header`, for those that lack it. Without it 1.",
    )
    header: HeaderName | None = Field(
        None,
        description="Request header with the units, a whole number of at most 1000000000; what "
        "is none counts as `number`.",
    )
    response: ResponseCost | None = Field(
        None, description="Tokens that the response tells; `{}` for the defaults."
    )

    BY_RESPONSE: ClassVar = tuple(
        Rule(
            "cannot be given together with response: remove one",
            f"!has(self.response) || !has(self.{name})",
            name,
            "Forbidden",
        )
        for name in ("number", "header")
    )
    NOTHING: ClassVar = Rule(
        "must be at least 1: nothing would ever count",
        "!has(self.number) || self.number > 0 || has(self.header) || has(self.response)",
        "number",
    )

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        broken: list[Broken] = []
        if self.response is not None:
            given = zip(self.BY_RESPONSE, (self.number, self.header), strict=True)
            broken += [rule.broken() for rule, value in given if value is not None]
        elif self.number == 0 and self.header is None:
            broken.append(self.NOTHING.broken())
        demand(broken)
        return self

    @property
    def resolved(self) -> ResolvedCost:
        """The cost with its defaults."""
        return ResolvedCost(
            number=1 if self.number is None else self.number,
            header=None if self.header is None else self.header.lower(),
            response=None if self.response is None else self.response.resolved,
        )
