"""From `kubectl apply` to an answer of Envoy and back to status, with nothing that is not real.

Two control planes as the chart starts them, with its rights and its TLS, and Envoy as it starts
that. What stands between them is the Service's part: a way to a replica that answers.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import httpx
import pytest

from controlplane.local import free_port
from tests.cluster.chart.golden import NAMESPACE
from tests.cluster.cluster import by_type
from tests.cluster.release import Ports, Release
from tests.cluster.unsteady_path import UnsteadyPath
from tests.testkit.fixtures import LOGS
from tests.testkit.waiting import alongside, eventually, holds

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from controlplane.local import RedisServer, Shop
    from tests.cluster.api_server import ApiServer
    from tests.cluster.release import ControlPlane

pytestmark = [pytest.mark.cluster, pytest.mark.envoy, pytest.mark.redis, pytest.mark.slow]
LONG = 60.0
BUY, API = "/flashsale", "/api"
# An API server takes no endpoints on loopback, but any name.
SHOP = """
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Service
metadata: {name: shop, namespace: shop}
spec: {type: ExternalName, externalName: localhost, ports: [{name: http, port: %d}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: shop, namespace: shop}
spec:
  parentRefs: [{name: edge, namespace: sluice-system}]
  rules:
  - name: buy
    matches: [{path: {type: PathPrefix, value: /flashsale}}]
    backendRefs: &shop [{name: shop, port: %d}]
  - name: api
    matches: [{path: {type: PathPrefix, value: /api}}]
    backendRefs: *shop
"""
SALE = """
apiVersion: sluice.dev/v1alpha1
kind: FlashSale
metadata: {name: laptop, namespace: shop}
spec:
  targetRefs: [{name: shop, sectionName: buy}]
  schedule: {startTime: "2026-01-01T00:00:00Z"}
  stock: 1
  identity: {header: Authorization}
"""
# The longest window: none ends while a test looks.
QUOTA = """
apiVersion: sluice.dev/v1alpha1
kind: QuotaPolicy
metadata: {name: qpm, namespace: shop}
spec:
  targetRefs: [{kind: HTTPRoute, name: shop, sectionName: api}]
  limits:
  - {name: per-key, key: [{header: x-api-key}], requests: 2, per: 8784h}
"""
FOREIGN = {
    "type": "example.com/Audited",
    "status": "True",
    "reason": "Looked",
    "message": "",
    "lastTransitionTime": "2026-01-01T00:00:00Z",
}


@dataclass
class Stage:
    """Everything, running."""

    release: Release
    replicas: list[ControlPlane]
    listener: int
    client: httpx.AsyncClient

    @classmethod
    @asynccontextmanager
    async def open(
        cls, folder: Path, server: ApiServer, redis: RedisServer, shop: Shop, logs: list[Path]
    ) -> AsyncIterator[Self]:
        listener = free_port()
        ports = {
            "name": "http",
            "protocol": "HTTP",
            "port": listener,
            "allowedRoutes": {"namespaces": {"from": "All"}},
        }
        values = {"redis": {"address": redis.address}, "gateway": {"listeners": [ports]}}
        release = Release(folder, server, values)
        async with AsyncExitStack() as stack:
            stack.push_async_callback(release.close)
            await release.install()
            await release.kubectl.does("apply", "-f", "-", text=SHOP % (shop.port, shop.port))
            release.start_edge()
            ports_of = [Ports.free(), Ports.free()]
            for kind in ("xds", "filters"):
                targets = (getattr(one, kind) for one in ports_of)
                path = UnsteadyPath(*targets, listen=getattr(release.ports, kind))
                await stack.enter_async_context(path)
            first = release.start_control_plane(ports_of[0])
            await eventually(lambda: first.leads, what="the first leads", deadline=LONG)
            second = release.start_control_plane(ports_of[1])
            logs.extend(process.log for process in release.processes)
            client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{listener}", trust_env=False)
            await stack.enter_async_context(client)
            for one in (first, second):
                await eventually(one.healthy, what="a control plane is ready", deadline=LONG)
            await eventually(release.ready, what="the proxy is ready", deadline=LONG)
            yield cls(release, [first, second], listener, client)
            for one in (first, second):
                assert "orbidden" not in one.log
                assert "Traceback" not in one.log

    # ------------------------------------------------------------------------------- kubectl
    async def kubectl(self, *arguments: str, text: str | None = None) -> str:
        return await self.release.kubectl.does("--namespace=shop", *arguments, text=text)

    async def programmed(self, name: str) -> None:
        """As somebody waits whose launch hangs on it."""
        await self.kubectl("wait", "--for=condition=Programmed", f"--timeout={LONG:.0f}s", name)

    async def edit(self, name: str, spec: dict[str, Any]) -> None:
        await self.kubectl("patch", name, "--type=merge", "-p", json.dumps({"spec": spec}))

    async def get(self, name: str) -> dict[str, Any]:
        return dict(json.loads(await self.kubectl("get", name, "--output=json")))

    async def status(self, name: str, **wanted: Any) -> None:
        """Waits until a status says so."""

        async def said() -> None:
            status = (await self.get(name)).get("status") or {}
            assert {key: status.get(key) for key in wanted} == wanted

        await holds(said, deadline=LONG, every=0.1)

    async def say_something_else(self, name: str) -> None:
        """Somebody else's word on an object."""
        patch = [{"op": "add", "path": "/status/conditions/-", "value": FOREIGN}]
        options = ("--subresource=status", "--type=json", "-p", json.dumps(patch))
        await self.kubectl("patch", name, *options)

    async def still_said(self, name: str) -> None:
        conditions = by_type((await self.get(name))["status"])
        assert conditions[FOREIGN["type"]] == FOREIGN
        assert conditions["Programmed"]["status"] == "True"

    # ------------------------------------------------------------------------------ requests
    async def ask(self, path: str, user: str) -> httpx.Response:
        return await self.client.get(path, headers={"Authorization": user, "x-api-key": user})

    async def until(self, path: str, user: str, status: int) -> httpx.Response:
        """Waits until somebody is answered so."""

        async def answered() -> httpx.Response:
            answer = await self.ask(path, user)
            assert answer.status_code == status, answer.text
            return answer

        return await eventually(answered, deadline=LONG, what=f"{user} gets {status}")

    @asynccontextmanager
    async def asking(self, path: str, user: str) -> AsyncIterator[Counter[int]]:
        """Somebody who asks all the time; what he is answered, by status."""
        answers: Counter[int] = Counter()

        async def ask() -> None:
            while True:
                answers[(await self.ask(path, user)).status_code] += 1
                await asyncio.sleep(0.01)

        async with alongside(ask()) as task:
            yield answers
            assert not task.done(), task

    # -------------------------------------------------------------------------------- faults
    def kill_one(self) -> None:
        """Kills the replica that leads, and to which the proxy is connected."""
        assert self.replicas[0].leads
        assert not self.replicas[1].leads
        self.replicas[0].process.kill()

    async def survivor_leads(self) -> None:
        await eventually(lambda: self.replicas[1].leads, what="the other leads", deadline=LONG)


@pytest.fixture
async def stage(
    tmp_path: Path,
    api_server: ApiServer,
    redis_server: RedisServer,
    shop: Shop,
    request: pytest.FixtureRequest,
) -> AsyncIterator[Stage]:
    logs = request.node.stash.setdefault(LOGS, [])
    async with Stage.open(tmp_path, api_server, redis_server, shop, logs) as opened:
        yield opened


async def test_a_sale_from_apply_to_delete(stage: Stage) -> None:
    sale = "flashsale/laptop"
    assert (await stage.until(BUY, "early", 200)).json()["sluice"] == {}  # nothing guards it yet
    await stage.kubectl("apply", "-f", "-", text=SALE)
    await stage.programmed(sale)
    proxies = (await stage.get(sale))["status"]["proxies"]
    assert proxies == {"programmed": 1, "total": 1, "summary": "1/1"}

    # Decided by the sale: one unit, so one of them gets it; the rest of the route stays free.
    permit = (await stage.until(BUY, "alice", 200)).json()["sluice"]["x-sluice-permit"]
    assert permit == "1"
    assert (await stage.ask(BUY, "bob")).status_code == 410
    assert (await stage.ask(BUY, "alice")).json()["sluice"]["x-sluice-permit"] == permit
    assert (await stage.ask(API, "bob")).status_code == 200
    await stage.status(sale, state="SoldOut", admitted=1, remaining=0)
    await stage.say_something_else(sale)

    # Edited: more units, and nobody at all for a while.
    await stage.edit(sale, {"stock": 3})
    await stage.until(BUY, "bob", 200)
    await stage.status(sale, state="Open", admitted=2, remaining=1)
    await stage.edit(sale, {"suspend": True})
    await stage.until(BUY, "alice", 503)
    await stage.status(sale, state="Suspended")
    await stage.edit(sale, {"suspend": False})
    await stage.until(BUY, "alice", 200)
    await stage.programmed(sale)

    # One of both is gone: users do not notice, edits come into force, and status goes on.
    async with stage.asking(BUY, "alice") as answers:
        stage.kill_one()
        await stage.until(BUY, "carol", 200)
        assert (await stage.ask(BUY, "dave")).status_code == 410
        await stage.edit(sale, {"stock": 5})
        await stage.until(BUY, "dave", 200)
        await stage.survivor_leads()
        await stage.status(sale, state="Open", admitted=4, remaining=1)
        await stage.programmed(sale)
    assert answers.keys() == {200}
    await stage.still_said(sale)

    # An open one is deleted when that is meant.
    with pytest.raises(AssertionError, match="is open: set the annotation"):
        await stage.kubectl("delete", sale)
    await stage.kubectl("annotate", sale, "sluice.dev/allow-delete=true")
    await stage.kubectl("delete", sale)

    async def free() -> None:
        for user in ("alice", "late"):
            answer = await stage.ask(BUY, user)
            assert answer.status_code == 200
            assert answer.json()["sluice"] == {}

    await holds(free, deadline=LONG)

    # Without its Gateway a proxy keeps what it has; the route has nobody who speaks for it.
    async def accepted() -> list[str]:
        parents = (await stage.get("httproute/shop")).get("status", {}).get("parents", [])
        return [by_type(one)["Accepted"]["status"] for one in parents]

    assert await accepted() == ["True"]
    await stage.kubectl("delete", "gateway/edge", f"--namespace={NAMESPACE}")

    async def detached() -> bool:
        return "True" not in await accepted()

    await eventually(detached, deadline=LONG, what="the route is attached to nothing")
    await free()


async def test_a_quota_from_apply_to_delete(stage: Stage) -> None:
    quota = "quotapolicy/qpm"
    assert "ratelimit" not in (await stage.until(API, "alice", 200)).headers
    await stage.kubectl("apply", "-f", "-", text=QUOTA)
    await stage.programmed(quota)
    status = (await stage.get(quota))["status"]
    assert status["proxies"] == {"programmed": 1, "total": 1, "summary": "1/1"}
    assert status["limits"] == 1

    # Decided by the quota: two of them, each key by itself; the rest of the route stays free.
    for _ in range(2):
        assert (await stage.ask(API, "alice")).status_code == 200
    refused = await stage.ask(API, "alice")
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) > 0
    assert (await stage.ask(API, "bob")).status_code == 200
    assert (await stage.ask(BUY, "alice")).status_code == 200
    await stage.say_something_else(quota)

    # Edited: one more for everybody.
    await stage.edit(quota, {"limits": [limit(3)]})
    assert (await stage.until(API, "alice", 200)).headers["ratelimit"].startswith('"per-key";r=0')
    assert (await stage.ask(API, "alice")).status_code == 429
    await stage.programmed(quota)

    # One control plane of both is gone: callers do not notice, and edits come into force.
    async with stage.asking(BUY, "alice") as answers:
        stage.kill_one()
        assert (await stage.ask(API, "alice")).status_code == 429
        await stage.edit(quota, {"limits": [limit(4), {**limit(9), "name": "more"}]})
        await stage.until(API, "alice", 200)
        assert (await stage.ask(API, "alice")).status_code == 429
        await stage.survivor_leads()
        await stage.status(quota, limits=2)
        await stage.programmed(quota)
    assert answers.keys() == {200}
    await stage.still_said(quota)

    await stage.kubectl("delete", quota)

    async def free() -> None:
        answer = await stage.ask(API, "alice")
        assert answer.status_code == 200
        assert "ratelimit" not in answer.headers

    await holds(free, deadline=LONG)


def limit(requests: int) -> dict[str, Any]:
    """The limit of QUOTA with another number."""
    return {
        "name": "per-key",
        "key": [{"header": "x-api-key"}],
        "requests": requests,
        "per": "8784h",
    }
