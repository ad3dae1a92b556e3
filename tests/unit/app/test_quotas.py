"""Quotas in a whole control plane, with a client in the place of proxies."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest
from redis.asyncio import Redis

from controlplane.translate.describe import describe
from controlplane.translate.wire import message_class
from controlplane.xds import kinds
from tests.testkit.waiting import eventually
from tests.unit.app.control_plane import EDGE, control_plane
from tests.unit.xds.grpc_client import DELTA, Client, node

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from controlplane.local import RedisServer
    from tests.unit.app.control_plane import Running

pytestmark = pytest.mark.redis

QUOTA = """\
apiVersion: sluice.dev/v1alpha1
kind: QuotaPolicy
metadata: {{name: models, namespace: shop, generation: 5}}
spec:
  targetRefs: [{{name: shop}}]
  limits:
    - {{name: daily, algorithm: Calendar, requests: {requests}, unit: Day, onRedisFailure: Local}}
"""


@pytest.fixture
def manifests(tmp_path: Path, redis_server: RedisServer) -> Path:
    folder = tmp_path / "manifests"
    folder.mkdir()
    (folder / "edge.yaml").write_text(EDGE.format(redis=redis_server.address))
    (folder / "quota.yaml").write_text(QUOTA.format(requests=10))
    return folder


class Proxy(Client):
    """A proxy as far as the quota filter's parameters go; it takes all of them."""

    def __init__(self, running: Running, name: str = "edge-a") -> None:
        super().__init__(int(running.about["xds"].rpartition(":")[2]), DELTA)
        self._name = name

    async def begin(self) -> dict[str, Any]:
        """Ask for the filter, and give its parameters."""
        await self.delta(kinds.EXTENSION, "sluice.quota", node=node(self._name, "shop/edge"))
        return await self.next()

    async def next(self, error: str = "") -> dict[str, Any]:
        """The next parameters; refused with `error` if there is one."""
        reply = await self.receive()
        detail = {"error_detail": {"code": 3, "message": error}} if error else {}
        await self.delta(kinds.EXTENSION, response_nonce=reply.nonce, **detail)
        (resource,) = reply.resources
        kind = message_class(kinds.EXTENSION)
        assert kind is not None
        extension = describe(kind, resource.resource.value)
        found: dict[str, Any] = json.loads(
            extension["typed_config"]["config"]["configuration"]["value"]
        )
        return found

    async def until(self, **expected: Any) -> dict[str, Any]:
        """The parameters once they are like this."""
        while True:
            found = await self.next()
            if {name: found[name] for name in expected} == expected:
                return found


def amount(parameters: dict[str, Any]) -> int:
    return int(window(parameters)["amount"])


def window(parameters: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = parameters["policies"][0]["limits"][0]["windows"][0]
    return found


async def conditions(running: Running) -> dict[str, tuple[str, str, int]]:
    status = await running.get("/api/v1/status")
    (one,) = [found for found in status["objects"] if found["kind"] == "QuotaPolicy"]
    return {
        found["type"]: (found["status"], found["reason"], found["observedGeneration"])
        for found in one["conditions"]
    }


async def test_an_edit_reaches_proxies_and_their_word_becomes_status(
    manifests: Path, tmp_path: Path
) -> None:
    async with control_plane(manifests, tmp_path) as running, Proxy(running) as proxy:
        await proxy.begin()
        assert amount(await proxy.until(workers=2)) == 10  # with its own workers counted

        async def programmed(*expected: Any) -> bool:
            found = await conditions(running)
            assert found["Accepted"] == ("True", "Accepted", 5)
            return found["Programmed"] == (*expected, 5)

        (manifests / "quota.yaml").write_text(QUOTA.format(requests=20))
        while amount(await proxy.next(error="no such thing")) != 20:
            pass
        await eventually(lambda: programmed("False", "Rejected"), what="the refusal is told")


async def test_a_redis_that_only_quotas_use_has_a_key_ring(
    manifests: Path, tmp_path: Path, redis_server: RedisServer
) -> None:
    client = Redis.from_url(redis_server.url, decode_responses=True)
    async with aclosing(client), control_plane(manifests, tmp_path):

        async def there() -> str | None:
            found: str | None = await client.execute_command("HGET", "sluice:keyring", "identity")
            return found

        first = await eventually(there, what="there is an identity key")
        await client.execute_command("DEL", "sluice:keyring")
        assert await eventually(there, what="it is put back") == first


async def test_workers_are_counted(manifests: Path, tmp_path: Path) -> None:
    async with control_plane(manifests, tmp_path) as running, Proxy(running, "edge-a") as first:
        begun = await first.begin()
        assert begun["workers"] == 1
        await first.until(workers=2)
        async with Proxy(running, "edge-b") as second:
            await second.begin()
            await first.until(workers=4)


async def test_a_new_date_moves_the_windows(
    manifests: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    midnight = asyncio.Event()

    async def dates() -> AsyncGenerator[date, None]:
        yield date(2027, 1, 10)
        await midnight.wait()
        yield date(2027, 1, 11)
        await asyncio.Event().wait()

    monkeypatch.setattr("controlplane.app.dates", dates)
    async with control_plane(manifests, tmp_path) as running, Proxy(running) as proxy:
        before = window(await proxy.begin())["borders"]
        midnight.set()
        while (after := window(await proxy.next())["borders"]) == before:
            pass
        assert after[:-1] == before[1:]
