"""Follows all objects of a kind: one list, then every change, for as long as anybody listens.

It ends only when it is closed. Whatever happens to the server, to the connection or to our rights
is told as `Interrupted` and tried again; what was told before stays what was last known.

A watch that says nothing for long is given up for a new one that goes on from the same place: a
connection may be lost without anybody being told, and such a watch would be silent for ever. That
is no interruption yet. Bookmarks, sent each minute, are left out while nothing of the whole kind
has changed, so a healthy server is silent too; if it is away, the new watch finds out.
"""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import structlog

from controlplane.kube.backoff import Backoff
from controlplane.kube.errors import (
    GoneError,
    KubeError,
    NotFoundError,
    SilentError,
    UnavailableError,
)
from controlplane.kube.memory import (
    Bookmark,
    Change,
    Deleted,
    Interrupted,
    Listed,
    Memory,
    Put,
    Resumed,
)
from controlplane.kube.resources import version_of
from controlplane.kube.session import METADATA, Call

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from controlplane.kube.resources import Object, ResourceType
    from controlplane.kube.session import Session

__all__ = ["Bookmark", "Change", "Deleted", "Interrupted", "Listed", "Put", "Resumed", "reflect"]

log = structlog.get_logger(__name__)
_BRIEF = 1.0
"""Seconds: a watch that ended sooner and brought nothing has failed, politely."""


@dataclass(frozen=True, slots=True)
class Target:
    """What is followed: a kind, in one namespace or (None) in all, and of it what is selected."""

    kind: ResourceType
    namespace: str | None = None
    fields: str = ""
    """A field selector, such as "type=kubernetes.io/tls"; all when empty."""
    labels: str = ""
    """A label selector, such as "app=sluice"; all when empty."""
    metadata_only: bool = False
    """Of objects that are large, or whose content is not wanted."""


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How a reflector spends its time; all in seconds but the page."""

    page: int = 500
    """Objects asked for in one answer."""
    lifetime: tuple[float, float] = (240.0, 300.0)
    """How long a watch lives; by chance, so that many do not come back at once."""
    silence: float = 70.0
    """A watch is replaced after this long without a word: more than a minute, as bookmarks are."""
    shortest: float = 0.1
    longest: float = 30.0
    """The waits after failures: the first, and the longest."""


NORMAL = Rhythm()


async def reflect(
    session: Session,
    kind: ResourceType,
    namespace: str | None = None,
    *,
    fields: str = "",
    labels: str = "",
    metadata_only: bool = False,
    rhythm: Rhythm = NORMAL,
) -> AsyncGenerator[Change]:
    """Tell of all objects of a kind, in one namespace or in all. Never ends, never raises.

    With selectors, by `fields` and by `labels`, only of those that both select.

    `Listed` comes first, and again whenever the server cannot tell what happened since.
    """
    target = Target(kind, namespace, fields, labels, metadata_only)
    reflector = _Reflector(session, target, rhythm)
    while True:
        try:
            async with aclosing(reflector.follow()) as changes:
                async for change in changes:
                    yield change
        except KubeError as error:
            delay = reflector.failed(error)
            if delay:
                yield Interrupted(error, delay)
                await asyncio.sleep(delay)


class _Reflector:
    def __init__(self, session: Session, target: Target, rhythm: Rhythm) -> None:
        self._session = session
        self._kind = kind = target.kind
        self._namespace = namespace = target.namespace
        self._fields = target.fields
        self._labels = target.labels
        self._metadata_only = target.metadata_only
        self._rhythm = rhythm
        self._memory = Memory(kind)
        self._backoff = Backoff(rhythm.shortest, rhythm.longest)
        self._interrupted = False
        self._log = log.bind(kind=str(kind), namespace=namespace or "")

    async def follow(self) -> AsyncGenerator[Change]:
        """List if that is needed, then watch once; ends when the server ends the watch."""
        if not self._memory.position:
            items, version = await self._list()
            yield self._memory.listed(items, version)
        started = time.monotonic()
        heard = False
        async with self._session.stream(self._watch(), silence=self._rhythm.silence) as found:
            if self._interrupted:
                self._interrupted = False
                self._log.info("Watch resumed")
                yield Resumed()
            async for line in found:
                change = self._memory.take(line)
                heard = True
                self._backoff.reset()
                yield change
        if heard or time.monotonic() - started >= _BRIEF:
            self._backoff.reset()
            return
        raise UnavailableError(f"cannot {self._watch().what}: the server ends it at once")

    def failed(self, error: KubeError) -> float:
        """Take note of an error; gives the seconds to wait, 0 to go on at once."""
        if isinstance(error, SilentError):
            self._log.debug("Watch replaced", reason=str(error))
            return 0.0
        unavailable = isinstance(error, UnavailableError)
        if isinstance(error, GoneError) or not unavailable:
            self._memory.forget_position()
        if isinstance(error, GoneError) and self._backoff.fresh:
            self._log.info("Listing again", reason=str(error))
            self._backoff.delay()
            return 0.0
        delay = self._backoff.delay(error.retry_after if isinstance(error, UnavailableError) else 0)
        if not self._interrupted:
            self._log.warning("Watch interrupted", error=str(error))
        self._interrupted = True
        return delay

    def _watch(self) -> Call:
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._memory.position,
            "timeoutSeconds": str(max(1, round(random.uniform(*self._rhythm.lifetime)))),  # noqa: S311 - spreads load, no secret
        }
        if self._fields:
            query["fieldSelector"] = self._fields
        if self._labels:
            query["labelSelector"] = self._labels
        where = f" in {self._namespace}" if self._namespace else ""
        path = self._kind.path(self._namespace)
        call = Call(f"watch {self._kind}{where}", "GET", path, query)
        return replace(call, accept=METADATA) if self._metadata_only else call

    async def _list(self) -> tuple[list[Object], str]:
        """Read all pages, which show one moment; all at once if that takes too long for pages."""
        try:
            return await self._pages(self._rhythm.page)
        except GoneError:
            return await self._pages(0)
        except NotFoundError as error:
            raise NotFoundError(f"{error} (are the CRDs installed?)") from error

    async def _pages(self, limit: int) -> tuple[list[Object], str]:
        page = await self._page(limit)
        version = _list_version(page, self._kind)
        items = list(page.get("items") or ())
        while after := page["metadata"].get("continue"):
            page = await self._page(limit, after)
            items.extend(page.get("items") or ())
        return items, version

    async def _page(self, limit: int, after: str = "") -> Object:
        return await self._session.page(
            self._kind,
            self._namespace,
            limit=limit,
            after=after,
            fields=self._fields,
            labels=self._labels,
            metadata_only=self._metadata_only,
        )


def _list_version(page: Object, kind: ResourceType) -> str:
    try:
        return version_of(page)
    except (LookupError, TypeError) as error:
        raise UnavailableError(f"cannot list {kind}: the answer is not a list") from error
