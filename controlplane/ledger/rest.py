"""How a keeper rests between two looks at its books: until they are not as it left them.

The glance tells it what the books look like now. As long as that is what its last look told, and
no proxy of its gateways came or went, another look would tell nothing new.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Hearing:
    """Who wants to hear of it.

    Attributes:
        version: tells whether any proxy came or went: another number then.
        whole: hears until when nothing has happened, by the monotonic clock.
        failed: hears why the books cannot be looked at.
    """

    version: Callable[[], int]
    whole: Callable[[float], None]
    failed: Callable[[str], None]


class Rest:
    """The rest of one keeper; `meta` is the key of its books."""

    def __init__(self, meta: str, hearing: Hearing) -> None:
        self.meta = meta
        self._hearing = hearing
        self._wake = asyncio.Event()
        self._looking = True
        self._settled: tuple[str, int] | None = None

    # ------------------------------------------------------------------------------ the keeper
    @property
    def version(self) -> int:
        """What to settle with: it has to be read before the books are."""
        return self._hearing.version()

    def settle(self, mark: str, version: int) -> None:
        """Take note that nothing is to be done as long as the books look like this."""
        self._settled = (mark, version)

    def disturb(self) -> None:
        """Have the keeper look, whatever the books look like."""
        self._settled = None

    def wake(self) -> None:
        """End the rest now."""
        self._wake.set()

    async def pause(self, seconds: float) -> None:
        """Rest, for so long at the most."""
        self._looking = False
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()
        self._looking = True

    # ------------------------------------------------------------------------------ the glance
    def unchanged(self, mark: str, at: float) -> bool:
        """Take what the books looked like at that time; false if the keeper has to look."""
        if self._looking:
            return True  # it does already
        if self._settled != (mark, self._hearing.version()):
            self._settled = None
            return False
        self._hearing.whole(at)
        return True

    def look_soon(self) -> None:
        """Have the keeper look when it is its turn."""
        self._looking = True
        self._wake.set()

    def unreachable(self, problem: str) -> None:
        """Tell that nobody can look; once somebody can, it has to look."""
        if not self._looking:
            self._settled = None
            self._hearing.failed(problem)
