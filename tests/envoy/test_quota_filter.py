"""Quotas on a real Envoy: what passes, what does not, and what is charged when it is known."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from redis.asyncio import Redis

from controlplane.local.ports import LOOPBACK
from tests.envoy.model_server import ModelServer
from tests.envoy.stack import Stack, flash_sale, in_, thing
from tests.testkit.load import Answer, Ask, fire, get, tally
from tests.testkit.waiting import eventually, holds

if TYPE_CHECKING:
    from tests.envoy.conftest import StartStack

pytestmark = [pytest.mark.envoy, pytest.mark.redis]

RESERVE = 100


def quota(*limits: dict[str, Any], route: str = "shop", **spec: Any) -> dict[str, Any]:
    """A policy `shop/api` on a route of the stack."""
    target = {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": route}
    spec = {"targetRefs": [target], "limits": list(limits), **spec}
    return thing("QuotaPolicy", "api", spec, group="sluice.dev/v1alpha1")


def limit(name: str, **fields: Any) -> dict[str, Any]:
    """So much an hour for each API key, unless told otherwise."""
    return {"name": name, "key": [{"header": "x-api-key"}], "per": "1h", **fields}


def ask(stack: Stack, key: str, path: str = "/sale", **headers: str) -> Ask:
    pairs = (("x-api-key", key), *((name.replace("_", "-"), v) for name, v in headers.items()))
    return Ask(stack.ports["edge-a"], path, headers=pairs)


async def one(stack: Stack, key: str, path: str = "/sale", **headers: str) -> Answer:
    return (await fire([ask(stack, key, path, **headers)]))[0]


async def in_force(stack: Stack, policy: str, path: str = "/sale") -> None:
    """Waits until every worker tells this of its limits, each on a connection of its own."""

    async def seen() -> None:
        for _ in range(8):
            assert (await one(stack, "probe", path)).header("ratelimit-policy") == policy

    await holds(seen)


async def test_exactly_as_many_as_the_limit(start_stack: StartStack) -> None:
    stack = await start_stack(gateways=("edge-a", "edge-b"))
    stack.write("quota.yaml", quota(limit("per-key", requests=100), limit("wide", requests=5000)))
    policy = '"per-key";q=100;w=3600, "wide";q=5000;w=3600'
    await in_force(stack, policy)
    asks = [
        Ask(port, "/sale", headers=(("x-api-key", key),))
        for _ in range(75)
        for port in stack.ports.values()
        for key in ("anna", "bob")
    ]
    answers = await fire(asks, concurrency=32)
    assert tally(answers) == {"200": 200, "429": 100}
    refused = next(answer for answer in answers if answer.status == 429)
    assert refused.header("ratelimit-policy") == policy
    assert (refused.header("ratelimit") or "").startswith('"per-key";r=0;t=')
    assert 0 < int(refused.header("retry-after") or 0) <= 3600
    assert [name for name, _ in refused.headers()].count("ratelimit") == 1
    # Who sends no key is not limited, and told nothing.
    without = await get(stack.ports["edge-a"], "/sale")
    assert without.status == 200
    assert without.header("ratelimit") is None


async def test_new_numbers_keep_what_was_used(start_stack: StartStack) -> None:
    stack = await start_stack()
    stack.write("quota.yaml", quota(limit("per-key", requests=50)))
    await in_force(stack, '"per-key";q=50;w=3600')
    assert tally(await fire([ask(stack, "anna")] * 80)) == {"200": 50, "429": 30}
    stack.write("quota.yaml", quota(limit("per-key", requests=60)))
    await in_force(stack, '"per-key";q=60;w=3600')
    # What a worker knows of a refusal is forgotten within a second.
    await holds(lambda: passes(stack, "anna"))
    assert tally(await fire([ask(stack, "anna")] * 80))["200"] == 9


async def passes(stack: Stack, key: str) -> None:
    """Its next request goes through."""
    assert (await one(stack, key)).status == 200


async def test_answers_of_others_tell_of_limits_too(start_stack: StartStack) -> None:
    stack = await start_stack()
    ended = {"startTime": in_(-timedelta(hours=2)), "endTime": in_(-timedelta(hours=1))}
    stack.write("sale.yaml", flash_sale("laptop", schedule=ended))
    stack.write("quota.yaml", quota(limit("per-key", requests=3), headers={"xRateLimit": True}))
    await in_force(stack, '"per-key";q=3;w=3600')
    answer = await one(stack, "anna", authorization="anna")
    assert answer.status == 410
    assert answer.header("ratelimit") == f'"per-key";r=2;t={answer.header("x-ratelimit-reset")}'
    assert answer.header("x-ratelimit-limit") == "3"
    assert answer.header("x-ratelimit-remaining") == "2"
    # A gRPC client gets its own kind of refusal.
    grpc = [await one(stack, "bob", content_type="application/grpc") for _ in range(4)][-1]
    assert (grpc.status, grpc.header("grpc-status")) == (200, "8")
    assert grpc.header("ratelimit") is not None


async def test_without_redis_each_limit_does_what_it_says(start_stack: StartStack) -> None:
    stack = await start_stack()
    stack.write("quota.yaml", quota(limit("per-key", requests=1000)))
    await in_force(stack, '"per-key";q=1000;w=3600')
    stack.redis.kill()

    async def unseen() -> None:
        answer = await one(stack, "anna")
        assert (answer.status, answer.header("ratelimit")) == (200, None)

    await holds(unseen)
    stack.write("quota.yaml", quota(limit("per-key", requests=1000, onRedisFailure="Deny")))

    async def denied() -> None:
        answers = await fire([ask(stack, "anna")] * 8, concurrency=8)
        assert tally(answers) == {"503": 8}
        assert answers[0].header("retry-after") == "1"

    await holds(denied)
    stack.write("quota.yaml", quota(limit("per-key", requests=80, onRedisFailure="Local")))

    async def shared() -> None:
        answers = tally(await fire([ask(stack, "local")] * 100, concurrency=8))
        assert set(answers) == {"200", "429"}

    await holds(shared)
    answers = tally(await fire([ask(stack, "bob")] * 200, concurrency=8))
    # Each of two workers has half of it; the connections may all be on one.
    assert 40 <= answers["200"] <= 80
    assert answers["200"] + answers["429"] == 200
    await stack.redis.start()
    await in_force(stack, '"per-key";q=80;w=3600')


async def test_what_responses_cost(start_stack: StartStack) -> None:
    stack = await start_stack()
    async with (
        ModelServer() as model,
        Redis.from_url(stack.redis.url, decode_responses=True) as redis,
    ):
        stack.write("model.yaml", *model.manifests(stack.gateways))
        tokens = limit("tokens", tokens=10000, cost={"response": {"reserve": RESERVE}}, plain=True)
        stack.write("quota.yaml", quota(tokens, route="model"))
        await in_force(stack, '"tokens";q=10000;w=3600', "/model/json?5")

        async def used(key: str) -> tuple[int, int]:
            """Units charged and units reserved."""
            text = await redis.get(f"sluice:{{quota}}:shop/api/tokens:f3600000:{key}")
            _, charged, _, *slots = str(text or "0 0 0").split(" ")
            return int(charged), sum(int(slot.partition("=")[2]) for slot in slots)

        async def costs(path: str, units: int) -> None:
            key = path.strip("/").replace("/", "-").replace("?", "-")
            answer = await one(stack, key, path, accept_encoding="gzip")
            assert "accept-encoding" not in model.seen[-1]
            assert answer.header("ratelimit") or answer.status == 0
            await settled(key, units)

        async def settled(key: str, units: int) -> None:
            async def seen() -> None:
                assert await used(key) == (units, 0)

            await holds(seen)

        await costs("/model/json?30", 30)
        await costs("/model/events?12", 12)
        await costs("/model/text", RESERVE)
        await costs("/model/packed?30", RESERVE)
        await costs("/model/fails", 0)
        await costs("/model/breaks", 0)

        for path in ("/model/hangs", "/model/begins"):
            key = path.rpartition("/")[2]
            asked = len(model.seen)
            _, writer = await asyncio.open_connection(LOOPBACK, stack.ports["edge-a"])
            writer.write(ask(stack, key, path).encode())
            await eventually(lambda: len(model.seen) > asked, what="the request")  # noqa: B023
            assert await used(key) == (0, RESERVE)
            writer.close()
            await settled(key, 0)

        async def counted() -> None:
            stats = await stack.envoys["edge-a"].stats("sluice_quota")
            counts = {name.rpartition(".")[2]: n for name, n in stats.items() if ".tokens." in name}
            assert (counts["no_usage"], counts["unreadable"]) == (1, 1)
            assert counts["released"] == 4
            assert counts["allowed"] == counts["settled"] + counts["released"]
            assert "settle_lost" not in counts

        await holds(counted)

        # Concurrent answers never let more reservations through than there are tokens.
        few = limit("tokens", tokens=1000, cost={"response": {"reserve": RESERVE}}, plain=True)
        stack.write("quota.yaml", quota(few, route="model"))
        await in_force(stack, '"tokens";q=1000;w=3600', "/model/json?5")
        answers = tally(await fire([ask(stack, "crowd", "/model/json?100")] * 50))
        assert answers == {"200": 10, "429": 40}
        await settled("crowd", 1000)
