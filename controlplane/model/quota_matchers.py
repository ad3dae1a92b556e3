"""Which requests a limit is about: conditions on method, path and headers.

They are judged by the filter, not by Envoy's router: a limit may look at more than the route
does. Its expressions are those of a small engine (see `lite_expressions`).
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from controlplane.model.lite_expressions import lite_expression_error
from controlplane.model.meta import Model
from controlplane.model.route import Method, path_error
from controlplane.model.rules import Broken, demand
from controlplane.model.scalars import PRINTABLE, HeaderName

Comparison = Literal["Exact", "RegularExpression", "Present"]


class QuotaPathMatch(Model):
    """A condition on the path, without its query."""

    type: Literal["Exact", "PathPrefix", "RegularExpression"] = Field(
        "PathPrefix",
        description="`PathPrefix` compares whole segments; `RegularExpression` must fit the "
        "whole path.",
    )
    value: Annotated[str, Field(min_length=1, max_length=1024)] = Field(
        description="Path, or expression: without look-around, back-references and `\\p`."
    )

    @model_validator(mode="after")
    def _readable(self) -> Self:
        regular = self.type == "RegularExpression"
        wrong = lite_expression_error(self.value) if regular else path_error(self.value)
        if wrong is not None:
            demand([(("value",), wrong)])
        return self


class QuotaHeaderMatch(Model):
    """A condition on a header."""

    name: HeaderName = Field(description="Header, in any case.")
    type: Comparison = Field(
        "Exact",
        description="Comparison; `Present` asks for the header with any value, "
        "`RegularExpression` must fit the whole value.",
    )
    value: Annotated[str, Field(min_length=1, max_length=1024, pattern=PRINTABLE)] | None = Field(
        None, description="Value, or expression; none with `Present`."
    )

    @model_validator(mode="after")
    def _readable(self) -> Self:
        if self.type == "Present" and self.value is not None:
            demand([(("value",), "is not compared with type Present: remove it")])
        if self.type != "Present" and self.value is None:
            demand([(("value",), f"is required with type {self.type}; any value is type Present")])
        if self.type == "RegularExpression":
            wrong = lite_expression_error(self.value or "")
            demand([] if wrong is None else [(("value",), wrong)])
        return self


class Matcher(Model):
    """Conditions that must all hold."""

    methods: tuple[Method, ...] = Field((), max_length=9, description="Any of these methods.")
    path: QuotaPathMatch | None = Field(None, description="On the path.")
    headers: tuple[QuotaHeaderMatch, ...] = Field(
        (), max_length=16, description="On headers; all of them."
    )

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        broken: list[Broken] = []
        if not self.methods and self.path is None and not self.headers:
            message = "needs one of methods, path or headers; a limit for all has no when"
            broken.append(((), message))
        for index, method in enumerate(self.methods):
            if method in self.methods[:index]:
                broken.append((("methods", index), f"{method} is named twice: remove one"))
        demand(broken)
        return self
