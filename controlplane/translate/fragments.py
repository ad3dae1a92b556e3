"""Encoded parts of a translation, kept for the next one.

An edit changes one object out of many; everything that does not depend on it is taken from here.
What a part depends on is handed in with it and compared, first by identity and then by content, so
that a folder read again gives the same parts. The store holds what the last translation used and
nothing else, which bounds it.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator

T = TypeVar("T")


class Fragments:
    """One store serves one sequence of translations; it is not shared between threads."""

    def __init__(self) -> None:
        self._kept: dict[Hashable, tuple[tuple[Any, ...], Any]] = {}
        self._next: dict[Hashable, tuple[tuple[Any, ...], Any]] = {}
        self.made = 0

    def __len__(self) -> int:
        return len(self._kept)

    @contextmanager
    def round(self) -> Iterator[None]:
        """One translation. When it ends well, what it did not use is dropped."""
        self._next = {}
        self.made = 0
        yield
        self._kept = self._next

    def get(self, key: Hashable, inputs: tuple[Any, ...], make: Callable[[], T]) -> T:
        """The part under `key`, made anew when it is not there or was made from other inputs."""
        found = self._kept.get(key)
        if found is None or found[0] != inputs:
            found = (inputs, make())
            self.made += 1
        self._next[key] = found
        made: T = found[1]
        return made
