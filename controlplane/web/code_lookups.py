"""Code that a proxy asks for and this replica does not have: looked for within bounds.

Whoever asks for hashes by chance costs nothing: what is on the shelf is known without asking, the
server is asked at most once a second whether it knows more, for all that wait together, and code
that could not be had is not tried again at once.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog

from controlplane.kube import KubeError
from controlplane.web.filter_store import FilterError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from controlplane.web.code_objects import SharedCode
    from controlplane.web.code_shelf import CodeShelf

log = structlog.get_logger(__name__)

LOOK_EVERY: Final = 1.0
RETRY_AFTER: Final = 3.0
_WAITING: Final = 64
"""Codes that are fetched, or failed a moment ago, at the most."""


class Lookups:
    """Fetches each code once, for all that wait for it; `keep` puts it into the store."""

    def __init__(self, shelf: CodeShelf, keep: Callable[[str, bytes], Awaitable[object]]) -> None:
        self._shelf = shelf
        self._keep = keep
        self._group: asyncio.TaskGroup | None = None
        self._looking: asyncio.Task[None] | None = None
        self._look_again = 0.0
        self._seen: dict[str, SharedCode] = {}
        self._fetching: dict[str, asyncio.Task[bool]] = {}
        self._failed: dict[str, float] = {}

    async def run(self) -> None:
        """Have the lookups end with whoever runs this."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                await asyncio.Event().wait()
            finally:
                self._group = None

    async def fetched(self, sha256: str) -> bool:
        """Get code into the store; tells whether that worked."""
        code = self._shelf.find(sha256) or await self._looked_for(sha256)
        if code is None or self._group is None:
            return False
        fetching = self._fetching.get(sha256)
        if fetching is None:
            now = asyncio.get_running_loop().time()
            self._failed = {one: at for one, at in self._failed.items() if at > now}
            if sha256 in self._failed or len(self._fetching) + len(self._failed) >= _WAITING:
                return False
            fetching = self._group.create_task(self._fetch(code), name=f"fetch {sha256}")
            self._fetching[sha256] = fetching
            fetching.add_done_callback(lambda _: self._fetching.pop(sha256, None))
        await asyncio.wait((fetching,))
        return not fetching.cancelled() and fetching.result()

    async def _looked_for(self, sha256: str) -> SharedCode | None:
        now = asyncio.get_running_loop().time()
        looking = self._looking
        if (looking is None or looking.done()) and now >= self._look_again and self._group:
            looking = self._looking = self._group.create_task(self._look(), name="look for code")
        if looking is not None:
            await asyncio.wait((looking,))
        return self._seen.get(sha256)

    async def _look(self) -> None:
        try:
            self._seen = {code.sha256: code for code in await self._shelf.look()}
        except KubeError as error:
            log.debug("Cannot look for filter code", error=str(error))
        finally:
            self._look_again = asyncio.get_running_loop().time() + LOOK_EVERY

    async def _fetch(self, code: SharedCode) -> bool:
        try:
            await self._keep(code.filter, await self._shelf.fetch(code.filter, code.sha256))
        except (KubeError, FilterError, OSError) as error:
            # Each turn of a proxy that tries again would be a line; the shelf itself is told of
            # by whoever serves this code.
            log.warning("Filter code cannot be had", filter=code.filter, error=str(error))
            self._failed[code.sha256] = asyncio.get_running_loop().time() + RETRY_AFTER
            return False
        log.info("Filter code fetched", filter=code.filter, sha256=code.sha256)
        return True
