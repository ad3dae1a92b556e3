"""Follows the permit log of one sale into the copy on disk, and teaches lost books from that copy.

Two cases. The books are the ones known: what is new in the log is added to the copy. Or they
changed under us (reopened, emptied, served by another server process, a deletion): then the copy is
sent to them first, which Redis refuses by itself when the copy is older than a deletion, and
afterwards the whole log is read into a new copy. The old one stays in force until the new one is
complete.
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from controlplane.ledger.books import CHUNK, Books, Marks, Page, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Executor

    from controlplane.ledger.copy import BooksCopy, CopyState

T = TypeVar("T")
#: The state line must stay readable in one piece, however many proxies there are.
PROXY_NAMES_BYTES = 512 * 1024


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at the books found."""

    page: Page
    marks: Marks
    #: Whether the copy now holds all that the books held when the look began.
    complete: bool
    #: Whether the books turned out to lack permits that the copy or an edge knew.
    lacked: bool = False

    @property
    def missing(self) -> bool:
        """Whether Redis has no books at all."""
        return self.page.status is Status.MISSING

    @property
    def mark(self) -> str:
        """What the script glance tells of books in which nothing has happened since this look."""
        page, marks = self.page, self.marks
        override = "" if marks.override is None else marks.override
        fields = (page.incarnation, page.generation, page.limit, override, int(page.suspended))
        others = (page.ring, marks.heal_until, marks.closed, marks.seq, marks.run, page.log_length)
        return " ".join(map(str, (*fields, *others)))


class Follower:
    """Keeps one copy up to date; `disk` runs one task at a time, so that writes keep order."""

    def __init__(self, books: Books, copy: BooksCopy, disk: Executor) -> None:
        self.books = books
        self.copy = copy
        self._disk = disk

    async def look(self, state: CopyState) -> Look:
        """Read what is new; `state` carries what the copy should say besides what is read."""
        known = self.copy.state
        page, marks = await self.books.follow(
            known.incarnation, known.generation, self.copy.entries
        )
        if page.status is Status.MISSING:
            return Look(page, marks, complete=False)
        if self._same(page, marks):
            return await self._extend(page, marks, state)
        lacked = await self._teach()
        return await self._reread(state, lacked=lacked)

    async def on_disk(self, task: Callable[..., T], *args: object) -> T:
        """Run a task of the copy's in the disk's thread."""
        return await asyncio.get_running_loop().run_in_executor(self._disk, task, *args)

    def _same(self, page: Page, marks: Marks) -> bool:
        known = self.copy.state
        return (
            (page.incarnation, page.generation) == (known.incarnation, known.generation)
            and marks.run == known.run
            and page.log_length >= self.copy.entries
        )

    async def _extend(self, page: Page, marks: Marks, state: CopyState) -> Look:
        healed = self.copy.healed
        fresh = described(state, page, marks)
        changed = dataclasses.replace(fresh, seq=self.copy.state.seq) != self.copy.state
        if page.entries or changed:
            await self.on_disk(self.copy.append, page.entries, fresh if changed else None)
        return Look(page, marks, complete=page.complete, lacked=self.copy.healed > healed)

    async def _teach(self) -> bool:
        """Send the copy's permits; tells whether any was missing."""
        if not self.copy.exists:
            return False
        taught = 0
        permits = self.copy.permits()
        while chunk := await self.on_disk(take, permits):
            status, added = await self.books.heal(self.copy.state.generation, chunk)
            taught += added
            if status is not Status.OK:
                break  # older than a deletion: the books are right and the copy is not
        return taught > 0

    async def _reread(self, state: CopyState, *, lacked: bool) -> Look:
        healed = self.copy.healed
        rewrite = self.copy.begin()
        try:
            page, marks = await self.books.follow(0, 0, 0)
            first = page
            while True:
                await self.on_disk(rewrite.add, page.entries)
                if page.complete:
                    break
                page, following = await self.books.follow(
                    first.incarnation, first.generation, rewrite.entries
                )
                if following.run != marks.run or page.first != rewrite.entries:
                    return Look(page, following, complete=False, lacked=lacked)
            if page.status is Status.MISSING:
                return Look(page, marks, complete=False, lacked=lacked)
            await self.on_disk(rewrite.commit, described(state, page, marks))
            return Look(page, marks, complete=True, lacked=lacked or rewrite.healed > healed)
        finally:
            if not rewrite.done:
                await self.on_disk(rewrite.abandon)


def take(permits: Iterator[tuple[int, str]]) -> list[tuple[int, str]]:
    """Take the next chunk from the copy."""
    return list(itertools.islice(permits, CHUNK))


def described(state: CopyState, page: Page, marks: Marks) -> CopyState:
    """Complete a state with what a look at the books told."""
    return dataclasses.replace(
        state,
        incarnation=page.incarnation,
        generation=page.generation,
        seq=marks.seq,
        run=marks.run,
        override=marks.override,
        suspended=page.suspended,
        closed=marks.closed,
    )


def named(proxies: Iterable[str]) -> tuple[str, ...]:
    """Keep as many names of proxies as fit into the copy's state."""
    kept: list[str] = []
    left = PROXY_NAMES_BYTES
    for name in proxies:
        left -= len(name) + 4
        if left < 0:
            break
        kept.append(name)
    return tuple(kept)
