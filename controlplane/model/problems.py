"""What is wrong with an input, told so that its writer can act on it.

A problem is data, never an exception that ends something: one bad object must not keep the
others from working. `Invalid` only carries problems out of `parse`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from controlplane.model.meta import ObjectRef

Severity = Literal["error", "warning"]
Step = str | int
"""One step of the way to a field: a key, or an index."""


@dataclass(frozen=True, slots=True)
class Lines:
    """Where each field of a document stands: its own line, and those of what is inside."""

    line: int = 0
    inner: Mapping[Step, Lines] = field(default_factory=dict, repr=False)

    def at(self, path: Iterable[Step]) -> Lines:
        """The lines of the field, or of the innermost thing around it that is written."""
        found = self
        for step in path:
            below = found.inner.get(step)
            if below is None:
                break
            found = below
        return found


@dataclass(frozen=True, slots=True)
class Location:
    """Where a document was read from; nothing at all for objects of an API server."""

    file: str = ""
    lines: Lines = field(default_factory=Lines, repr=False)

    def line(self, path: Iterable[Step] = ()) -> int:
        """Line of a field, counted from 1; 0 when unknown."""
        return self.lines.at(path).line

    def inside(self, path: Iterable[Step]) -> Location:
        """Location of a part of the document, to be read as a document of its own."""
        return Location(self.file, self.lines.at(path))


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, or (severity `warning`) that is not what it seems."""

    ref: ObjectRef | None
    message: str
    reason: str = "Invalid"
    field: str = ""
    file: str = ""
    line: int = 0
    severity: Severity = "error"

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.file and self.line else self.file
        parts = (place, str(self.ref) if self.ref else "", self.field, self.message)
        return ": ".join(part for part in parts if part)

    @property
    def is_error(self) -> bool:
        """Whether something has to be changed."""
        return self.severity == "error"


class Invalid(Exception):  # noqa: N818 the name is read as `raise Invalid(problems)`
    """A document that is no resource of ours; with warnings only, one that is none of ours."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))

    @property
    def skipped(self) -> bool:
        """Nothing is wrong: the document is simply not meant for Sluice."""
        return not any(problem.is_error for problem in self.problems)
