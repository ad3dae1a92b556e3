"""Rules that tie fields of one model together, reported at the field to change.

pydantic puts the errors of a model validator at the model; users look for a field. So a
validator collects what is broken and raises it once, and `parsing` puts each part in its place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pydantic_core import PydanticCustomError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from controlplane.model.problems import Step

RULES: Final = "rules"
"""Type of the pydantic error that carries broken rules in its context."""

Broken = tuple[tuple["Step", ...], str]
"""Path of a field inside the model, and what is wrong with it."""


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
