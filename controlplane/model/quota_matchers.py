"""Which requests a limit is about: conditions on method, path and headers.

They are judged by the filter, not by Envoy's router: a limit may look at more than the route
does. Its expressions are those of a small engine (see `lite_expressions`).
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Literal, Self

from pydantic import Field, model_validator

from controlplane.model.lite_expressions import lite_expression_error
from controlplane.model.meta import Model
from controlplane.model.paths import PATH_RULES, path_error
from controlplane.model.route import Method
from controlplane.model.rules import Broken, Rule, demand
from controlplane.model.scalars import PRINTABLE, HeaderName, distinct

Comparison = Literal["Exact", "RegularExpression", "Present"]

# RE2, as Kubernetes has it, refuses nearly what the filter's engine refuses; the rest is told by
# the controller. The comparison is of no interest: an expression that does not compile is an error.
_EXPRESSION: Final = (
    Rule(
        "must be a regular expression without look-around and back-references",
        "self.type != 'RegularExpression' || !has(self.value)"
        " || ''.matches(self.value) in [true, false]",
        "value",
    ),
    Rule(
        "must do without Unicode classes",
        "self.type != 'RegularExpression' || !has(self.value)"
        r""" || !self.value.matches(r'(^|[^\\])(\\\\)*\\[pP]')""",
        "value",
    ),
)


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

    EXPRESSION: ClassVar = _EXPRESSION
    PATH: ClassVar = tuple(
        Rule(
            rule.message,
            f"self.type == 'RegularExpression' || {rule.cel.replace('self', 'self.value')}",
            "value",
        )
        for rule in PATH_RULES
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

    ANY: ClassVar = Rule(
        "is not compared with type Present: remove it",
        "self.type != 'Present' || !has(self.value)",
        "value",
        "Forbidden",
    )
    SOME: ClassVar = Rule(
        "is required with type {type}; any value is type Present",
        "self.type == 'Present' || has(self.value)",
        "value",
        "Required",
        {"type": "self.type"},
    )
    EXPRESSION: ClassVar = _EXPRESSION

    @model_validator(mode="after")
    def _readable(self) -> Self:
        if self.type == "Present" and self.value is not None:
            demand([self.ANY.broken()])
        if self.type != "Present" and self.value is None:
            demand([self.SOME.broken(type=self.type)])
        if self.type == "RegularExpression":
            wrong = lite_expression_error(self.value or "")
            demand([] if wrong is None else [(("value",), wrong)])
        return self


class Matcher(Model):
    """Conditions that must all hold."""

    methods: tuple[Method, ...] = Field(
        (), max_length=9, json_schema_extra=distinct(), description="Any of these methods."
    )
    path: QuotaPathMatch | None = Field(None, description="On the path.")
    headers: tuple[QuotaHeaderMatch, ...] = Field(
        (), max_length=16, description="On headers; all of them."
    )

    SOMETHING: ClassVar = Rule(
        "needs one of methods, path or headers; a limit for all has no when",
        "has(self.path) || (has(self.methods) && size(self.methods) > 0)"
        " || (has(self.headers) && size(self.headers) > 0)",
        reason="Required",
    )

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        broken: list[Broken] = []
        if not self.methods and self.path is None and not self.headers:
            broken.append(self.SOMETHING.broken())
        for index, method in enumerate(self.methods):
            if method in self.methods[:index]:
                broken.append((("methods", index), f"{method} is named twice: remove one"))
        demand(broken)
        return self
