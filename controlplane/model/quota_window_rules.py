"""What goes with which algorithm: rules about each window of a limit, in the words of both judges.

The algorithm stands in the limit and the numbers in its windows, or in the limit itself when it
has one window written in short. An API server is told each rule twice, then, once for each place.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from controlplane.model.rules import Reason, Rule, Rules, first_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from controlplane.model.problems import Step
    from controlplane.model.rules import Broken

HAS_WINDOWS: Final = "(has(self.windows) && size(self.windows) > 0)"
"""CEL: a limit has its windows in a list."""


def amount_of(window: str) -> str:
    """Tell, in CEL, the amount of a window, a limit or an override."""
    return (
        f"(has({window}.requests) ? {window}.requests : has({window}.tokens) ? {window}.tokens : 0)"
    )


def counts_of(window: str) -> str:
    """Tell, in CEL, what a window counts."""
    return f"has({window}.requests) ? 'requests' : 'tokens'"


@dataclass(frozen=True, slots=True, eq=False)
class WindowRule(Rules):
    """A rule about a window of a limit; `W` in its CEL is the window, `self` the limit."""

    message: str
    cel: str
    at: str
    reason: Reason = "Invalid"
    words: Mapping[str, str] = field(default_factory=dict)
    without_words: str = ""

    def broken(self, *path: Step, **words: object) -> Broken:
        """Tell that it is broken, at its field inside the window unless another is given."""
        return path or (self.at,), self.message.format(**words)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """One for the window written in short, one for the list."""
        of_each = self.cel.replace("W", "w")
        one = first_of("self.windows", 4, "w", f"!({of_each})")
        return (
            Rule(
                self.message,
                f"{HAS_WINDOWS} || ({self.cel.replace('W', 'self')})",
                self.at,
                self.reason,
                {word: cel.replace("W", "self") for word, cel in self.words.items()},
                self.without_words,
            ),
            Rule(
                self.message,
                f"!has(self.windows) || self.windows.all(w, {of_each})",
                "windows",
                self.reason,
                {word: cel.replace("W", one) for word, cel in self.words.items()},
                self.without_words,
            ),
        )


NO_PERIOD: Final = WindowRule(
    "does not go with algorithm Calendar: write unit instead",
    "self.algorithm != 'Calendar' || !has(W.per)",
    "per",
    "Forbidden",
)
UNIT: Final = WindowRule(
    "is required with algorithm Calendar",
    "self.algorithm != 'Calendar' || has(W.unit)",
    "unit",
    "Required",
)
CALENDAR_ONLY: Final = WindowRule(
    "goes with algorithm Calendar only: write per instead",
    "self.algorithm == 'Calendar' || !has(W.unit)",
    "unit",
    "Forbidden",
)
PERIOD: Final = WindowRule(
    "is required with algorithm {algorithm}",
    "self.algorithm == 'Calendar' || has(W.per)",
    "per",
    "Required",
    {"algorithm": "self.algorithm"},
)
BUCKET_ONLY: Final = WindowRule(
    "goes with algorithm TokenBucket only: remove it",
    "self.algorithm == 'TokenBucket' || !has(W.burst)",
    "burst",
    "Forbidden",
)
NOT_OF_NOTHING: Final = WindowRule(
    "must be left out with {counts}: 0, which refuses all",
    f"self.algorithm != 'TokenBucket' || !has(W.burst) || {amount_of('W')} > 0",
    "burst",
    "Forbidden",
    {"counts": counts_of("W")},
)
TOO_FAST: Final = WindowRule(
    "must be at most {most} per {per}: a million a second",
    "self.algorithm != 'TokenBucket' || !has(W.per)"
    f" || {amount_of('W')} <= duration(W.per).getMilliseconds() * 1000",
    "",
    without_words="must be at most a million a second",
)
WINDOW_RULES: Final = (
    NO_PERIOD,
    UNIT,
    CALENDAR_ONLY,
    PERIOD,
    BUCKET_ONLY,
    NOT_OF_NOTHING,
    TOO_FAST,
)
