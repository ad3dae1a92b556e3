"""What is known right now about each sale's books, and each Redis of quotas, to be shown."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

BOOKS_LOST = "BooksLost"
"""Why books are closed that nobody can be sure of."""

Place: TypeAlias = tuple[str, str]
"""A proxy, by gateway and node id: two gateways may have proxies of one name."""
NOBODY: Final[Place] = ("", "")
"""In the place of proxies whose names are not known, or too many to tell."""
MAX_MISSED: Final = 200
"""Proxies that are named in a closure."""


@dataclass(frozen=True, slots=True)
class Closure:
    """Why books are closed, and the proxies that were missed then; false when books are not.

    It stands in the books, where all replicas of the control plane see it: only some of them may
    have known those proxies, and none may open the books again before they have gone on.
    """

    reason: str = ""
    missed: tuple[Place, ...] = ()

    def __bool__(self) -> bool:
        """Whether books are closed."""
        return bool(self.reason)

    def __str__(self) -> str:
        """Write it as it stands in the books: the reason, and behind it the proxies as JSON."""
        proxies = json.dumps(self.missed, separators=(",", ":")) if self.missed else ""
        return f"{self.reason} {proxies}".rstrip()

    @classmethod
    def without(cls, missed: tuple[Place, ...]) -> Self:
        """Close books because of these proxies; of very many, by hand alone are they opened."""
        named = missed[:MAX_MISSED]
        return cls(BOOKS_LOST, named if named == missed else (*named, NOBODY))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read it; what cannot be read of the proxies stands for one that never comes back."""
        reason, _, proxies = text.partition(" ")
        try:
            pairs = json.loads(proxies) if proxies else ()
            missed = tuple((str(gateway), str(node)) for gateway, node in pairs)
        except (ValueError, TypeError):
            missed = (NOBODY,)
        return cls(reason, missed)


@dataclass(frozen=True, slots=True)
class SaleState:
    """The books of one sale as the keeper saw them last.

    Numbers are those of the last good look; `error` tells why there is no newer one. `closed` is
    the reason for which the books admit nobody until `sale restore` or `sale reset`.
    """

    sale: str
    tag: str
    open: bool = False
    admitted: int = 0
    limit: int = 0
    override: int | None = None
    suspended: bool = False
    generation: int = 0
    incarnation: int = 0
    healing: bool = False
    closed: str = ""
    lost_proxies: tuple[str, ...] = ()
    error: str = ""
    #: Redis's clock minus ours, ms: the window is judged by Redis's.
    clock_offset_ms: int = 0
    expired: bool = False

    @property
    def remaining(self) -> int:
        """Permits still to be had; hand-made grants may have gone above the limit."""
        return max(0, self.limit - self.admitted)


class Board:
    """The latest state of every sale and Redis, and who wants to hear of changes."""

    def __init__(self) -> None:
        self._states: dict[str, SaleState] = {}
        self._troubles: dict[str, str] = {}
        self._listeners: list[Callable[[], None]] = []

    def publish(self, state: SaleState) -> None:
        """Put up the state of a sale; listeners hear of real changes only."""
        if self._states.get(state.tag) == state:
            return
        self._states[state.tag] = state
        self._tell()

    def drop(self, tag: str) -> None:
        """Take down the state of a sale that is no longer kept."""
        if self._states.pop(tag, None) is not None:
            self._tell()

    def get(self, tag: str) -> SaleState | None:
        """Give the state of the books with this tag."""
        return self._states.get(tag)

    def __iter__(self) -> Iterator[SaleState]:
        """Give all states, by tag."""
        return iter([self._states[tag] for tag in sorted(self._states)])

    @property
    def states(self) -> Mapping[str, SaleState]:
        """All states by tag, as they are now."""
        return dict(self._states)

    def trouble(self, server: str, words: str) -> None:
        """Note what is wrong with the Redis of quotas at this address; empty words: nothing."""
        if self._troubles.get(server, "") == words:
            return
        if words:
            self._troubles[server] = words
        else:
            del self._troubles[server]
        self._tell()

    @property
    def troubles(self) -> Mapping[str, str]:
        """What is wrong with Redis servers of quotas, by address."""
        return dict(self._troubles)

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` after each change; it must return at once."""
        self._listeners.append(listener)

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()
