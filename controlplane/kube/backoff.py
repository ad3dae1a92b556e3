"""How long to wait before trying again: longer each time, and never all at the same moment."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Backoff:
    """Doubles from `shortest` to `longest` seconds; each wait is a random half to whole of it."""

    def __init__(
        self, shortest: float, longest: float, chance: Callable[[], float] = random.random
    ) -> None:
        self._shortest = shortest
        self._longest = longest
        self._chance = chance
        self._tries = 0

    @property
    def fresh(self) -> bool:
        """Whether nothing has failed since the last success."""
        return self._tries == 0

    def reset(self) -> None:
        """Take note of a success."""
        self._tries = 0

    def delay(self, at_least: float = 0.0) -> float:
        """Give the seconds to wait after one more failure; `at_least` is what a server asked."""
        step = min(self._longest, self._shortest * 2.0 ** min(self._tries, 32))
        self._tries += 1
        return max(at_least, step * (0.5 + self._chance() / 2))
