"""Several reflectors as one stream of changes, so that who listens has one loop and one order."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Final

from controlplane.kube.reflector import NORMAL, Rhythm, Target, reflect

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterable

    from controlplane.kube.memory import Change
    from controlplane.kube.resources import ResourceType
    from controlplane.kube.session import Session

_WAITING: Final = 256
"""Changes that may wait for the listener; then nothing more is read from the server."""


def targets(kinds: Iterable[ResourceType], namespaces: Iterable[str] = ()) -> tuple[Target, ...]:
    """Pair each kind with each namespace; no namespaces means all of them."""
    places: tuple[str | None, ...] = tuple(dict.fromkeys(namespaces)) or (None,)
    return tuple(
        Target(kind, place) for kind in kinds for place in (places if kind.namespaced else (None,))
    )


@asynccontextmanager
async def watching(
    session: Session, followed: Iterable[Target], *, rhythm: Rhythm = NORMAL
) -> AsyncGenerator[AsyncIterator[tuple[Target, Change]]]:
    """Follow all targets while the context is open; their changes come in one iterator."""
    waiting: asyncio.Queue[tuple[Target, Change]] = asyncio.Queue(_WAITING)

    async def pump(target: Target) -> None:
        changes = reflect(
            session,
            target.kind,
            target.namespace,
            fields=target.fields,
            labels=target.labels,
            metadata_only=target.metadata_only,
            rhythm=rhythm,
        )
        async with aclosing(changes):
            async for change in changes:
                await waiting.put((target, change))

    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(pump(target), name=f"reflect {target.kind}") for target in followed
        ]
        try:
            async with aclosing(_taken(waiting)) as changes:
                yield changes
        finally:
            for task in tasks:
                task.cancel()


async def _taken(
    waiting: asyncio.Queue[tuple[Target, Change]],
) -> AsyncGenerator[tuple[Target, Change]]:
    while True:
        yield await waiting.get()
