"""Rules that tie fields together, told to an API server and checked here, in the same words.

A rule stands once, next to the check in Python that it is about: the message, the field to change,
and the rule in CEL (Kubernetes's expression language), which the CRDs carry. pydantic puts the
errors of a model validator at the model; users look for a field. So a validator collects what is
broken and raises it once, and `parsing` puts each part in its place.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic_core import CoreSchema, PydanticCustomError, core_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from pydantic import GetCoreSchemaHandler

    from controlplane.model.problems import Step

RULES: Final = "rules"
"""Type of the pydantic error that carries broken rules in its context."""

Broken = tuple[tuple["Step", ...], str]
"""Path of a field inside the model, and what is wrong with it."""

Reason = Literal["Invalid", "Required", "Forbidden"]
"""What an API server puts in front of the message; others of its reasons would replace it."""

_WORD: Final = re.compile(r"\{(\w+)\}")


class Rules:
    """Something that a model's class carries, and that its CRD tells as rules."""

    __slots__ = ()

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules in CEL; `self` in them is the object of the class, as written."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True, eq=False)
class Rule(Rules):
    """One rule, and the words of those who break it."""

    message: str
    """Words in braces are filled in: by `words` in CEL, by the check in Python."""
    cel: str
    at: str = ""
    """Path of the field to change, such as `cost.number`; an item of a list cannot be named."""
    reason: Reason = "Invalid"
    words: Mapping[str, str] = field(default_factory=dict)
    """CEL for each word in braces."""
    without_words: str = ""
    """The message of an API server where CEL cannot tell the words at a bearable cost."""

    @property
    def rules(self) -> tuple[Rule, ...]:
        """Itself."""
        return (self,)

    def broken(self, *path: Step, **words: object) -> Broken:
        """Tell that it is broken, at its field unless the path of a more precise one is given."""
        place = path or tuple(step for step in self.at.split(".") if step)
        return place, self.message.format(**words)

    @property
    def message_cel(self) -> str | None:
        """The message as an expression; None when there is nothing to fill in."""
        if self.without_words:
            return None
        parts = _WORD.split(self.message)
        if len(parts) == 1:
            return None
        shown = [
            (f"({self.words[part]})" if odd else quoted(part))
            for odd, part in zip(_alternating(), parts, strict=False)
            if part
        ]
        return " + ".join(shown)


@dataclass(frozen=True, slots=True, eq=False)
class ValueRule(Rule):
    """A rule about one value, with its check; stands among the annotations of a type."""

    holds: Callable[[Any], bool] = bool

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Check after the type and its bounds."""
        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def _checked(self, value: Any) -> Any:
        if not self.holds(value):
            raise fail(self.message)
        return value


@dataclass(frozen=True, slots=True, eq=False)
class OneOf(Rules):
    """Exactly one of some fields is given."""

    names: tuple[str, ...]
    none: str
    """Told at the object when there is none."""
    second: str
    """Told at all but the first; `{first}` is the first."""
    unless: str = ""
    """CEL: when the rule does not hold."""

    def broken(self, values: Mapping[str, object]) -> Iterator[Broken]:
        """Tell what is wrong with the fields that are given, those that are not None."""
        given = [name for name in self.names if values[name] is not None]
        if not given:
            yield (), self.none
        for name in given[1:]:
            yield (name,), self.second.format(first=given[0])

    @property
    def rules(self) -> tuple[Rule, ...]:
        """One for none, and one for each field that may be one too many."""
        unless = f"{self.unless} || " if self.unless else ""
        found = [Rule(self.none, unless + _any(self.names), reason="Required")]
        for count, name in enumerate(self.names[1:], start=1):
            before = self.names[:count]
            cel = f"{unless}!has(self.{name}) || !({_any(before)})"
            words = {"first": _first(before)}
            found.append(Rule(self.second, cel, name, "Forbidden", words))
        return tuple(found)


def rules_of(model: type) -> Iterator[Rule]:
    """Every rule that a class carries, in the order written; those it inherits come first."""
    carried: dict[str, object] = {}
    for kind in reversed(model.__mro__):
        carried.update(vars(kind))
    for value in carried.values():
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, Rules):
                yield from item.rules


def demand(broken: Iterable[Broken]) -> None:
    """Raise when a rule is broken; every broken one is in the error."""
    found = tuple(broken)
    if found:
        raise PydanticCustomError(RULES, "{summary}", {"summary": found[0][1], RULES: found})


def fail(message: str, hint: str = "") -> PydanticCustomError:
    """Make the error of a validator that looks at one field alone.

    The message says what the value must be; the hint, what was probably meant.
    """
    return PydanticCustomError("value", "{summary}", {"summary": message, "hint": hint})


def quoted(text: str) -> str:
    """Write a text as CEL does."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def listed(texts: Iterable[object]) -> str:
    """Write a list of texts or numbers as CEL does."""
    shown = (quoted(text) if isinstance(text, str) else str(text) for text in texts)
    return f"[{', '.join(shown)}]"


def first_of(items: str, most: int, variable: str, holds: str) -> str:
    """Give, in CEL, the first of at most so many items that something holds of.

    A filtered list would do, but the cost of what is made of its items is taken to be boundless.
    """
    at_place = re.sub(rf"\b{variable}\.", f"{items}[i].", holds)
    places = listed(range(most))
    return f"{items}[{places}.filter(i, i < size({items}) && ({at_place}))[0]]"


def _any(names: Iterable[str]) -> str:
    return " || ".join(f"has(self.{name})" for name in names)


def _first(names: tuple[str, ...]) -> str:
    """CEL for the name of the first field that is given."""
    shown = quoted(names[-1])
    for name in reversed(names[:-1]):
        shown = f"has(self.{name}) ? {quoted(name)} : {shown}"
    return shown


def _alternating() -> Iterator[bool]:
    while True:
        yield False
        yield True
