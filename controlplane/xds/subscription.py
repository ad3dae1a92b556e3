"""Which resources of one type a stream asks for.

The same rules for both variants; only the way in which a request tells a change differs. Names are
kept whether or not such a resource exists: one that is created later is sent then (S15).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

WILDCARD = "*"
_NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Change:
    """What a request changed.

    Attributes:
        asked: names that must be sent (again).
        asked_all: likewise everything, by the wildcard.
        dropped: names that are no longer wanted.
        dropped_all: the wildcard ended: whatever has no name of its own is no longer wanted.
        uncertain: names given up by the client that the wildcard still covers: it cannot know
            that, and must be told (D4).
    """

    asked: frozenset[str] = _NOTHING
    asked_all: bool = False
    dropped: frozenset[str] = _NOTHING
    dropped_all: bool = False
    uncertain: frozenset[str] = _NOTHING


class Subscription:
    """The subscription of one stream to one type.

    Args:
        legacy: whether an empty list of names means everything, as long as the stream has never
            named anything (S12); listeners and clusters only (S13).
    """

    def __init__(self, *, legacy: bool) -> None:
        self.names: set[str] = set()
        self.wildcard = False
        self._legacy = legacy
        self._started = False

    @property
    def active(self) -> bool:
        """Whether anything is wanted at all."""
        return self.wildcard or bool(self.names)

    @property
    def only_wildcard(self) -> bool:
        """Whether everything is wanted, and nothing by name."""
        return self.wildcard and not self.names

    def wants(self, name: str) -> bool:
        """Whether a resource of this name is wanted."""
        return self.wildcard or name in self.names

    def replace(self, names: Iterable[str]) -> Change:
        """A state-of-the-world request: `names` is all that is wanted from now on."""
        wanted = set(names)
        if wanted:
            self._legacy = False
        wildcard = WILDCARD in wanted or self._legacy
        wanted.discard(WILDCARD)
        asked = wanted - self.names
        dropped = _NOTHING if wildcard else frozenset(self.names - wanted)
        before, self.wildcard, self.names = self.wildcard, wildcard, wanted
        return Change(
            asked=frozenset(asked),
            asked_all=wildcard and not before,
            dropped=dropped,
            dropped_all=before and not wildcard,
        )

    def update(self, subscribe: Iterable[str], unsubscribe: Iterable[str]) -> Change:
        """A delta request; `subscribe` is applied first (D2)."""
        added, removed = set(subscribe), set(unsubscribe)
        asked_all = WILDCARD in added or (self._legacy and not self._started and not added)
        self._started = True
        ended = WILDCARD in removed and (self.wildcard or asked_all)
        added.discard(WILDCARD)
        removed.discard(WILDCARD)
        self.names |= added
        gone = removed & self.names
        self.names -= gone
        self.wildcard = (self.wildcard or asked_all) and not ended
        covered = self.wildcard
        return Change(
            asked=frozenset(added - gone),
            asked_all=asked_all and not ended,
            dropped=_NOTHING if covered else frozenset(gone),
            dropped_all=ended,
            uncertain=frozenset(gone) if covered else _NOTHING,
        )
