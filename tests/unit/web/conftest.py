"""The web API on a real ledger and Redis, asked without a network in between."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from controlplane.ledger.ledger import Ledger
from controlplane.ledger.presence import Presence
from controlplane.web import metrics
from controlplane.web.api import make_app
from controlplane.web.control import Control
from controlplane.web.filter_store import FilterStore
from controlplane.web.filters import OwnFilters
from controlplane.web.rollouts import Rollouts
from controlplane.xds.store import Store
from tests.testkit.waiting import eventually
from tests.unit.ledger.plans import sale_plan
from tests.unit.status.facts import Scene
from tests.unit.web.modules import built

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from controlplane.local import RedisServer


class Desk:
    """A control plane without its servers: what the API acts on, and a client of the API."""

    def __init__(self, folder: Path, plain: bool, redis: RedisServer) -> None:  # noqa: FBT001
        self.scene = Scene()
        self.presence = Presence()
        self.ledger = Ledger(folder / "state", {}, self.presence)
        self.plan = sale_plan(redis, plain=plain)
        self.ledger.keep([self.plan])
        self.filters = FilterStore(folder / "filters", built(folder / "built"))
        self.filters.prepare()
        self.rolled_out = 0
        self.control = Control(
            status=self._status,
            store=Store(),
            ledger=self.ledger,
            filters=OwnFilters(self.filters),
            roll_out=self._roll_out,
            about={"version": "test"},
            registry=metrics.registry(),
            rollouts=Rollouts(),
        )
        self.control.registry.register(metrics.Parts(self.control))
        self.client = self.client_as("127.0.0.1:18080")

    def client_as(self, host: str, **headers: str) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(make_app(self.control, {"control.example"}))
        return httpx.AsyncClient(
            transport=transport,
            base_url=f"http://{host}",
            headers={"x-sluice-client": "test", **headers},
        )

    async def get(self, path: str, status: int = 200) -> Any:
        answer = await self.client.get(f"/api/v1{path}")
        assert answer.status_code == status, answer.text
        return answer.json()

    async def post(self, path: str, body: Any = None, status: int = 200) -> Any:
        answer = await self.client.post(f"/api/v1{path}", json={} if body is None else body)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def error(self, path: str, body: Any = None, *, status: int) -> str:
        """The message of a call that is refused."""
        found = await self.post(path, body, status)
        assert found["error"]["reason"]
        return str(found["error"]["message"])

    async def users(self) -> list[dict[str, Any]]:
        return list((await self.get("/sales/shop/laptop/data"))["users"])

    def _status(self) -> Any:
        board = self.ledger.board
        self.scene.facts = dataclasses.replace(
            self.scene.facts, states=board.states, troubles=board.troubles
        )
        return self.scene.tracker.observe(self.scene.facts)

    def _roll_out(self) -> None:
        self.rolled_out += 1


@pytest.fixture
def plain() -> bool:
    """Whether users stand in the books by their own id."""
    return False


@pytest.fixture
async def desk(tmp_path: Path, redis_server: RedisServer, plain: bool) -> AsyncIterator[Desk]:  # noqa: FBT001
    made = Desk(tmp_path, plain, redis_server)
    task = asyncio.create_task(made.ledger.run())
    tag = made.plan.tag
    await eventually(lambda: (state := made.ledger.board.get(tag)) and state.open)
    yield made
    await made.client.aclose()
    task.cancel()
    await asyncio.wait((task,))
