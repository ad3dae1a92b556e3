"""Filter code as the API and proxies see it, wherever it is kept: in a folder, or by all replicas.

Alone, a control plane serves what is in its own store. On a cluster it is one of several, and
`shared_filters` has them all serve the same.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from controlplane.model.problems import Problem
    from controlplane.web.filter_store import FilterStore, StoredCode

Chosen = list[tuple[str, str]]
"""Filters, each with the hash of the code that is in force from now on."""


class Filters(Protocol):
    """Where code is, and how it is put in force."""

    @property
    def settled(self) -> bool:
        """Whether it is known what is in force; before, no proxy must be told of any code."""
        ...

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What is not as it should be."""
        ...

    async def run(self) -> None:
        """Do what is to be done all the time, until cancelled."""
        ...

    async def find(self, sha256: str) -> Path | None:
        """Give the file of a code for proxies that fetch it."""
        ...

    async def reload(self, stems: Sequence[str], code: bytes | None) -> Chosen:
        """Put the built code in force, or what was sent."""
        ...

    async def go_back(self, stems: Sequence[str], digits: str) -> Chosen:
        """Put older code in force, by the beginning of its hash."""
        ...

    async def listed(self) -> list[dict[str, Any]]:
        """Describe all code there is."""
        ...

    def in_force(self) -> list[dict[str, Any]]:
        """Describe the code in force, by filter."""
        ...


class OwnFilters:
    """The code of a control plane that is alone."""

    def __init__(self, store: FilterStore) -> None:
        self._store = store

    @property
    def settled(self) -> bool:
        """Always: nobody else has a say."""
        return True

    @property
    def problems(self) -> tuple[Problem, ...]:
        """None: a store that cannot be used does not let us start."""
        return ()

    async def run(self) -> None:
        """Nothing: code changes by hand only."""

    async def find(self, sha256: str) -> Path | None:
        """Give the file of a code."""
        return await asyncio.to_thread(self._store.find, sha256)

    async def reload(self, stems: Sequence[str], code: bytes | None) -> Chosen:
        """Put the built files in force as they are now, or what was sent.

        Raises:
            FilterError: a file cannot be read, or is no filter.
        """

        def chosen() -> Chosen:
            return [(stem, self._store.reload(stem, code).sha256) for stem in stems]

        return await asyncio.to_thread(chosen)

    async def go_back(self, stems: Sequence[str], digits: str) -> Chosen:
        """Put code of the store in force.

        Raises:
            FilterError: no file of the store, or more than one, has such a hash.
        """

        def chosen() -> Chosen:
            return [(stem, self._store.go_back(stem, digits).sha256) for stem in stems]

        return await asyncio.to_thread(chosen)

    async def listed(self) -> list[dict[str, Any]]:
        """Describe the files of the store."""
        return [described(code) for code in await asyncio.to_thread(self._store.stored)]

    def in_force(self) -> list[dict[str, Any]]:
        """Describe the code in force."""
        return [{"filter": stem, "sha256": sha} for stem, sha in self._store.hashes.items()]


def described(code: StoredCode) -> dict[str, Any]:
    """Describe a file of the store."""
    return {
        "filter": code.filter,
        "sha256": code.sha256,
        "size": code.size,
        "storedAt": code.stored_at,
        "current": code.current,
    }
