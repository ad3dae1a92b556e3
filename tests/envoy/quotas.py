"""Quota policies on the stack's route: how tests write them, and wait until they are in force.

Also stacks with a policy on each of many routes, so that one start serves a whole module of tests.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from redis.asyncio import Redis

from controlplane.ledger.quota_keys import CounterKey, pattern
from controlplane.local import RedisServer, Shop
from tests.envoy.stack import Stack, thing
from tests.testkit.load import Ask, fire
from tests.testkit.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.testkit.load import Answer

KEY = {"header": "x-api-key"}
ROUTE = {"kind": "HTTPRoute", "name": "shop"}


def quota(
    *limits: dict[str, Any], name: str = "api", target: dict[str, Any] | None = None, **spec: Any
) -> dict[str, Any]:
    """A policy `shop/api` on the stack's route, unless told otherwise."""
    targets = [{"group": "gateway.networking.k8s.io", **(target or ROUTE)}]
    spec = {"targetRefs": targets, "limits": list(limits), **spec}
    return thing("QuotaPolicy", name, spec, group="sluice.dev/v1alpha1")


def limit(name: str, **fields: Any) -> dict[str, Any]:
    """So many requests for each API key, in a window that no test sees the end of."""
    window = {} if "windows" in fields or "unit" in fields else {"per": "8784h"}
    return {"name": name, "key": [KEY], **window, **fields}


def ask(stack: Stack, key: str, *, path: str = "/sale", gateway: str = "", **headers: str) -> Ask:
    """A request with an API key."""
    pairs = (("x-api-key", key), *((name.replace("_", "-"), v) for name, v in headers.items()))
    return Ask(stack.ports[gateway or stack.gateways[0]], path, headers=pairs)


async def one(stack: Stack, key: str, **more: str) -> Answer:
    """The answer to one request, on a connection of its own."""
    return (await fire([ask(stack, key, **more)], concurrency=1))[0]


async def in_force(stack: Stack, *policies: str, key: str = "probe", path: str = "/sale") -> None:
    """Waits until every worker of every gateway tells these limits, and no others."""
    wanted = ", ".join(policies)

    async def seen() -> bool:
        for gateway in stack.gateways:
            for _ in range(8):
                answer = await one(stack, key, gateway=gateway, path=path)
                assert answer.header("ratelimit-policy") == wanted, answer.head
        return True

    await eventually(seen, what=f"the limits {wanted}")


async def standing(stack: Stack, *key: str, policy: str = "shop/api") -> dict[str, dict[str, Any]]:
    """What `sluice quota get` shows of a consumer: the first window of each limit."""
    keys = [part for value in key for part in ("--key", value)]
    shown = await stack.sluice("quota", "get", policy, *keys, "--output", "json")
    return {counter["limit"]: counter["windows"][0] for counter in shown.json()["counters"]}


# ------------------------------------------------------------------- many policies in one stack


def guarded(name: str, *limits: dict[str, Any], **spec: Any) -> list[dict[str, Any]]:
    """A route of everything under /NAME to the shop, and the policy `shop/NAME` on it."""
    rule = {
        "matches": [{"path": {"type": "PathPrefix", "value": f"/{name}"}}],
        "backendRefs": [{"name": "shop", "port": 80}],
    }
    return [way(name, rule), quota(*limits, name=name, target={"name": name}, **spec)]


def way(name: str, *rules: dict[str, Any]) -> dict[str, Any]:
    """A route of these rules, on the gateway `edge-a`."""
    spec = {"parentRefs": [{"name": "edge-a"}], "rules": list(rules)}
    return thing("HTTPRoute", name, spec, group="gateway.networking.k8s.io/v1")


@asynccontextmanager
async def running(
    folder: Path, *documents: dict[str, Any], **edge: dict[str, Any]
) -> AsyncIterator[Stack]:
    """A stack of one worker with these manifests in force; `edge` is added to its EdgeConfig."""
    async with Shop() as shop, RedisServer(directory=folder / "redis") as redis:
        stack = Stack(folder / "stack", redis, shop, workers=1, edge_spec=edge)
        stack.write("quotas.yaml", *guarded("ready", limit("ready", requests=1000)), *documents)
        try:
            await stack.start()
            await in_force(stack, '"ready";q=1000;w=31622400', path="/ready")
            yield stack
        finally:
            await stack.close()


async def hit(
    stack: Stack, path: str, *, method: str = "GET", source: str = "", **headers: str
) -> Answer:
    """The answer to one request on a connection of its own; `x_tier="free"` is a header."""
    pairs = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    ask = Ask(stack.ports["edge-a"], path, method, headers=pairs, source=source)
    return (await fire([ask], concurrency=1))[0]


async def consumers(stack: Stack, policy: str, limit: str = "") -> set[str]:
    """The consumers that Redis has counters of."""
    client = Redis.from_url(stack.redis.url, decode_responses=True)
    async with client:
        keys = [key async for key in client.scan_iter(pattern(policy, limit))]
    return {CounterKey.parse(key).consumer for key in keys}
