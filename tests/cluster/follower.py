"""Follows a kind as a source would, and keeps what it was told, for tests to look at."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Self

from controlplane.kube import (
    Bookmark,
    Change,
    Deleted,
    Interrupted,
    Key,
    Listed,
    Object,
    Put,
    Resumed,
    Rhythm,
    Session,
    reflect,
)
from tests.cluster.widgets import WIDGETS

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from types import TracebackType

QUICK = Rhythm(page=3, lifetime=(2.0, 3.0), silence=30.0, shortest=0.02, longest=0.5)


class Follower:
    """Runs a reflector and applies what it tells."""

    def __init__(
        self, session: Session, namespace: str | None = "default", rhythm: Rhythm = QUICK
    ) -> None:
        self._changes = reflect(session, WIDGETS, namespace, rhythm=rhythm)
        self._task: asyncio.Task[None] | None = None
        self.objects: dict[Key, Object] = {}
        self.told: list[Change] = []
        self.told_wrong: list[str] = []

    @property
    def sizes(self) -> dict[str, int]:
        """The objects' names, and one field of each."""
        return {key[1]: obj["spec"].get("size", 0) for key, obj in self.objects.items()}

    def count(self, kind: type[Change]) -> int:
        """How many changes of one kind were told."""
        return sum(isinstance(change, kind) for change in self.told)

    @property
    def interruptions(self) -> list[Interrupted]:
        """All interruptions that were told."""
        return [change for change in self.told if isinstance(change, Interrupted)]

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(self._changes))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._task is not None:
            ended = self._task.done()
            self._task.cancel()
            result = (await asyncio.gather(self._task, return_exceptions=True))[0]
            assert not ended, f"the reflector ended: {result!r}"
        assert not self.told_wrong

    async def _run(self, changes: AsyncGenerator[Change]) -> None:
        async with aclosing(changes):
            async for change in changes:
                self.told.append(change)
                self._apply(change)

    def _apply(self, change: Change) -> None:
        match change:
            case Listed(objects, changed, deleted):
                self._check_diff(change)
                self.objects = dict(objects)
                assert changed <= objects.keys()
                assert not deleted & objects.keys()
            case Put(key, obj):
                self.objects[key] = obj
            case Deleted(key):
                del self.objects[key]
            case Bookmark() | Interrupted() | Resumed():
                pass

    def _check_diff(self, listed: Listed) -> None:
        """The diff of a list must be exactly what was missed."""
        changed = {key for key, obj in listed.objects.items() if self.objects.get(key) != obj}
        if changed != listed.changed:
            self.told_wrong.append(f"changed: {changed} told as {listed.changed}")
        if listed.deleted != self.objects.keys() - listed.objects.keys():
            self.told_wrong.append(f"deleted: {listed.deleted}")
