"""What is started where its context begins, and closed where that ends."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType


class Startable(ABC):
    """`async with` starts it, and leaves nothing behind: not even when the start fails."""

    @abstractmethod
    async def start(self) -> None:
        """Starts it. When that fails, `close` ends what it had started already."""

    @abstractmethod
    async def close(self) -> None:
        """Ends it, as far as it was started."""

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()
