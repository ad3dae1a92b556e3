"""The state of a folder from one look at it to the next.

Each look stats every file and reads only those that may have changed. What is gone or emptied
is believed at the second look: many editors write by truncating first, and a route must not
fall for the length of a keystroke.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from controlplane.model.flash_sale import FlashSale
from controlplane.model.problems import Problem
from controlplane.sources.files import Found, MissingError, Stamp, find
from controlplane.sources.loading import FileState, Update, assemble, read_file, unreadable_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path


class Folder:
    """What the files of a folder gave at the last look. Blocks; one look at a time."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._states: dict[Path, FileState] = {}
        self._stamps: dict[Path, Stamp] = {}
        self._doubted: frozenset[Path] = frozenset()
        self._synced = False

    @property
    def in_doubt(self) -> bool:
        """Whether something seems to be gone and should be looked at again soon."""
        return bool(self._doubted)

    def look(self, more: Iterable[Problem] = ()) -> Update:
        """Tell what the folder says now."""
        try:
            found = find(self._root)
        except MissingError as error:
            return self._without_folder([*more, error.problem])
        believed, now_ns = self._doubted, time.time_ns()
        states = {item.path: self._state(item) for item in found}
        states |= self._out_of_sight(found, states)
        doubted = {path for path in self._emptied(states) if path not in believed}
        states |= {path: self._states[path] for path in doubted}
        self._stamps = {
            item.path: item.stamp
            for item in found
            if item.stamp is not None and item.stamp.is_settled(now_ns) and item.path not in doubted
        }
        self._states, self._doubted, self._synced = states, frozenset(doubted), True
        return assemble(states.values(), [*more, *_unheeded(states.values())])

    def _state(self, item: Found) -> FileState:
        before = self._states.get(item.path)
        if item.problem is not None:
            return unreadable_file(item.problem, before)
        if before is not None and self._stamps.get(item.path) == item.stamp:
            return before
        return read_file(item.path, before)

    def _out_of_sight(
        self, found: Iterable[Found], states: dict[Path, FileState]
    ) -> dict[Path, FileState]:
        """Files known from before, in folders that cannot be read now."""
        blocked = {item.path for item in found if item.is_blocked}
        return {
            path: state
            for path, state in self._states.items()
            if path not in states and not blocked.isdisjoint(path.parents)
        }

    def _emptied(self, states: dict[Path, FileState]) -> Iterable[Path]:
        """Files that gave objects, and are gone or give nothing at all now."""
        for path, before in self._states.items():
            now = states.get(path)
            if before.entries and (now is None or not (now.entries or now.problems)):
                yield path

    def _without_folder(self, problems: list[Problem]) -> Update:
        *more, missing = problems
        if self._synced:
            message = f"{missing.message} (what was read last stays in force)"
            missing = Problem(None, message, reason="Missing", file=missing.file)
        known = assemble(self._states.values(), [*more, missing])
        return Update(known.inventory, known.problems, self._synced)


def _unheeded(states: Iterable[FileState]) -> Iterator[Problem]:
    """Say of what needs a cluster that nothing is done about it here."""
    for state in states:
        for entry in state.entries:
            resource = entry.resource
            if isinstance(resource, FlashSale) and resource.spec.scaling is not None:
                yield Problem(
                    resource.ref,
                    "nothing is scaled: only a control plane on a cluster can do that",
                    reason="NeedsCluster",
                    field="spec.scaling",
                    file=state.file,
                    line=entry.line,
                    severity="warning",
                )
