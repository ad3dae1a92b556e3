"""Quota policies on the stack's route: how tests write them, and wait until they are in force."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.envoy.stack import thing
from tests.testkit.load import Ask, fire
from tests.testkit.waiting import eventually

if TYPE_CHECKING:
    from tests.envoy.stack import Stack
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
    """So many requests an hour for each API key, unless told otherwise."""
    window = {} if "windows" in fields or "unit" in fields else {"per": "1h"}
    return {"name": name, "key": [KEY], **window, **fields}


def ask(stack: Stack, key: str, *, path: str = "/sale", gateway: str = "", **headers: str) -> Ask:
    """A request with an API key."""
    pairs = (("x-api-key", key), *((name.replace("_", "-"), v) for name, v in headers.items()))
    return Ask(stack.ports[gateway or stack.gateways[0]], path, headers=pairs)


async def one(stack: Stack, key: str, **more: str) -> Answer:
    """The answer to one request, on a connection of its own."""
    return (await fire([ask(stack, key, **more)], concurrency=1))[0]


async def in_force(stack: Stack, *policies: str, key: str = "probe") -> None:
    """Waits until every worker of every gateway tells these limits, and no others."""
    wanted = ", ".join(policies)

    async def seen() -> bool:
        for gateway in stack.gateways:
            for _ in range(8):
                answer = await one(stack, key, gateway=gateway)
                assert answer.header("ratelimit-policy") == wanted, answer.head
        return True

    await eventually(seen, what=f"the limits {wanted}")


async def standing(stack: Stack, *key: str, policy: str = "shop/api") -> dict[str, dict[str, Any]]:
    """What `sluice quota get` shows of a consumer: the first window of each limit."""
    keys = [part for value in key for part in ("--key", value)]
    shown = await stack.sluice("quota", "get", policy, *keys, "--output", "json")
    return {counter["limit"]: counter["windows"][0] for counter in shown.json()["counters"]}
