"""The ledger of one control plane with one sale, for tests that hurt its Redis."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from controlplane.ledger.copy import path_for
from controlplane.ledger.ledger import Ledger
from controlplane.ledger.presence import Connected, Presence
from tests.testkit.waiting import alongside, eventually
from tests.unit.ledger.plans import GATEWAY

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from controlplane.ledger import Books, SaleState
    from controlplane.local import RedisServer
    from controlplane.translate import SalePlan

A = Connected("proxy-a", GATEWAY, fresh=True, since=1)


class Desk:
    """One control plane's ledger with one sale, and what the tests do to it."""

    def __init__(self, folder: Path, plan: SalePlan, environ: dict[str, str]) -> None:
        self.plan = plan
        self.folder = folder
        self.presence = Presence()
        self.ledger = Ledger(folder, environ, self.presence)
        self.ledger.keep([plan])

    @property
    def state(self) -> SaleState | None:
        return self.ledger.board.get(self.plan.tag)

    @property
    def books(self) -> Books:
        account = self.ledger.account("shop/laptop")
        assert account is not None
        return account.books

    async def until(self, what: str, **fields: object) -> SaleState:
        def reached() -> SaleState | None:
            state = self.state
            if state is None:
                return None
            seen = {name: getattr(state, name) for name in fields}
            assert seen == fields, state
            return state

        state = await eventually(reached, what=what)
        assert state is not None
        return state

    async def ready(self, **fields: object) -> SaleState:
        expected: dict[str, object] = {"open": True, "healing": False, "error": "", **fields}
        return await self.until("books open and healed", **expected)

    async def failing(self) -> SaleState:
        """Wait until the failure is shown."""

        def reached() -> SaleState | None:
            return self.state if self.state is not None and self.state.error else None

        state = await eventually(reached, what="the failure is shown")
        assert state is not None
        return state

    async def reopened(self, before: SaleState, **fields: object) -> SaleState:
        """Wait for books that are open under a later incarnation than `before`."""

        def reached() -> bool:
            return self.state is not None and self.state.incarnation > before.incarnation

        await eventually(reached, what="books reopened")
        return await self.ready(**fields)

    async def copied(self, entries: int) -> None:
        """Wait until the copy holds that many entries, so that Redis may be hurt."""
        path = path_for(self.folder / "books", self.plan.tag)
        await eventually(
            lambda: path.exists() and path.read_bytes().count(b" e ") == entries, what="copied"
        )

    async def users(self) -> dict[str, int]:
        return {entry.user: entry.number async for entry in self.books.all_users()}


@asynccontextmanager
async def desk(
    folder: Path, plan: SalePlan, environ: dict[str, str] | None = None
) -> AsyncIterator[Desk]:
    made = Desk(folder, plan, environ or {})
    try:
        async with alongside(made.ledger.run()) as task:
            yield made
    finally:
        assert task.cancelled()


async def restart_empty(redis: RedisServer) -> None:
    if redis.running:
        redis.kill()
    await eventually(lambda: not redis.running)
    redis.wipe()
    await redis.start()
