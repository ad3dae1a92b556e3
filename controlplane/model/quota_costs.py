"""What one request takes from a limit: a number, a header's number, or what the response says."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Final, Self

from pydantic import AfterValidator, Field, model_validator

from controlplane.model.durations import Duration, milliseconds
from controlplane.model.meta import Model
from controlplane.model.rules import Broken, demand, fail
from controlplane.model.scalars import JSON_POINTER, HeaderName

MAX_UNITS: Final = 1_000_000_000
"""Most units of an amount, a cost or a reserve: sums of them stay exact in every language."""

_THOUSANDTHS: Final = 1000
_TOTAL: Final = "/usage/total_tokens"
_INPUT: Final = "/usage/prompt_tokens"
_OUTPUT: Final = "/usage/completion_tokens"
_CACHED: Final = "/usage/prompt_tokens_details/cached_tokens"

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


def _whole_thousandths(value: float) -> float:
    if abs(value * _THOUSANDTHS - round(value * _THOUSANDTHS)) > 1e-6:  # noqa: PLR2004 rounding
        raise fail("must have at most three decimals")
    return value


class TokenWeight(Model):
    """One sort of tokens, and what each of them costs."""

    pointer: JsonPointer | None = Field(
        None,
        description="JSON pointer (RFC 6901) to the number of tokens; without it the one that "
        "the field is described with.",
    )
    weight: Annotated[
        float, Field(ge=0, le=1000, allow_inf_nan=False), AfterValidator(_whole_thousandths)
    ] = Field(1.0, description="Units for each token, in thousandths at the finest.")

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

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        weights = {"input": self.input, "output": self.output, "cached": self.cached}
        given = {name: one for name, one in weights.items() if one is not None}
        broken: list[Broken] = []
        if self.pointer is not None and given:
            message = f"cannot be given together with {next(iter(given))}: remove one"
            broken.append((("pointer",), message))
        if given and not any(one.milli for one in given.values()):
            broken.append(((next(iter(given)), "weight"), "must be above 0: nothing would count"))
        if self.cached is not None and self.cached_in_input and self.input is None:
            message = "is taken out of input, which is missing: add it, or cachedInInput: false"
            broken.append((("cached",), message))
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

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        broken: list[Broken] = []
        if self.response is not None:
            broken += [
                ((name,), "cannot be given together with response: remove one")
                for name, value in (("number", self.number), ("header", self.header))
                if value is not None
            ]
        elif self.number == 0 and self.header is None:
            broken.append((("number",), "must be at least 1: nothing would ever count"))
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
