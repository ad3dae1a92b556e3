"""A folder of manifests (or one file), watched.

The kernel tells of changes; a look at the whole folder now and then catches what it does not
tell (network file systems, links to elsewhere, an overflown queue, the folder itself replaced).
Both lead to the same full look, so nothing depends on which file an event named.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Final

from controlplane.model.problems import Problem
from controlplane.sources.folder import Folder
from controlplane.sources.wake_ups import Rhythm, wake_ups

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from controlplane.sources.loading import Update

LOOK_AGAIN: Final = 1.0
"""Seconds between two looks at the folder when the kernel tells of nothing."""
_LONGEST_DEBOUNCE: Final = 1.0
"""Seconds after which a change is read even if more keep coming."""


class Directory:
    """A source of objects: what the manifests of a folder say, and say anew when they change.

    Broken text keeps the last good version of its object in force; the problem stays until the
    text is good again. A deleted file deletes its objects. A folder that vanishes deletes
    nothing: somebody moved it, or a mount is gone.
    """

    def __init__(self, path: str | Path, debounce: float = 0.05) -> None:
        self._root = Path(path)
        self._debounce = debounce
        self._folder = Folder(self._root)

    async def updates(self) -> AsyncGenerator[Update]:
        """Give the state now, and again after each change; ends only when cancelled."""
        last = await self._look(None)
        yield last
        while True:
            async with aclosing(self._changes()) as changes:
                async for warning in changes:
                    update = await self._look(warning)
                    if update.differs(last):
                        last = update
                        yield update

    async def _look(self, warning: Problem | None) -> Update:
        more = () if warning is None else (warning,)
        update = await asyncio.to_thread(self._folder.look, more)
        if self._folder.in_doubt:
            await asyncio.sleep(self._debounce)
            update = await asyncio.to_thread(self._folder.look, more)
        return update

    async def _changes(self) -> AsyncGenerator[Problem | None]:
        """Come back whenever it is time to look; ends when what is watched was replaced."""
        watched = await asyncio.to_thread(self._watched)
        place = await asyncio.to_thread(_place, watched)
        if place is None:
            await asyncio.sleep(LOOK_AGAIN)
            yield None
            return
        try:
            rhythm = Rhythm(quiet=self._debounce, longest=_LONGEST_DEBOUNCE, idle=LOOK_AGAIN)
            events = wake_ups(watched, rhythm, recursive=watched == self._root)
            async with aclosing(events):
                async for _ in events:
                    yield None
                    if await asyncio.to_thread(_place, watched) != place:
                        return
        except (OSError, RuntimeError) as error:
            await asyncio.sleep(LOOK_AGAIN)
            yield self._not_watched(error)

    def _watched(self) -> Path:
        """The folder to watch; for one file its folder, since editors replace files."""
        return self._root.parent if self._root.is_file() else self._root

    def _not_watched(self, error: Exception) -> Problem:
        message = f"cannot be watched ({error}): looked at each {LOOK_AGAIN:g} s instead"
        return Problem(None, message, reason="NotWatched", file=str(self._root), severity="warning")


def _place(path: Path) -> tuple[int, int] | None:
    """Which folder a path leads to just now; None when to none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return (status.st_dev, status.st_ino)
