"""Quotas over the API, on real counters that the real script has charged."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from controlplane.ledger import scripts
from controlplane.ledger.quota_counters import Batch, Meter, Spec, Take
from controlplane.ledger.quota_keys import CounterKey, Kind, consumer_id
from controlplane.model import QuotaPolicy
from tests.testkit.waiting import eventually
from tests.unit.ledger.plans import quota_plan
from tests.unit.status.facts import EDGE, QUOTA, SALE, Scene
from tests.unit.web.conftest import Desk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from controlplane.local import RedisServer
    from tests.testkit.fixtures import StartRedis

pytestmark = pytest.mark.redis

POLICY = "shop/model-api"
QUOTAS = f"/quotas/{POLICY}"
SHORT = Spec(Kind.FIXED, 10, 8000 * 3_600_000, ttl_ms=600_000)
LONG = Spec(Kind.FIXED, 1000, 8760 * 3_600_000, ttl_ms=600_000)
BUCKET = Spec(Kind.BUCKET, 60, 8760 * 3_600_000, burst=100, ttl_ms=600_000)


class QuotaDesk(Desk):
    """A control plane with a policy in force, and what a filter would do to its counters."""

    identity: bytes

    def __init__(self, folder: Path, *servers: RedisServer) -> None:
        super().__init__(folder, False, servers[0])  # noqa: FBT003 - as the fixture of sales does
        self.scene = Scene(f"{EDGE}---{SALE}---{QUOTA}")
        (policy,) = self.scene.facts.inventory.all(QuotaPolicy)
        self.plans = [quota_plan(server, policy) for server in servers]
        self.scene.facts = dataclasses.replace(self.scene.facts, quotas=tuple(self.plans))
        self.ledger.keep([self.plan], self.plans)

    async def start(self) -> None:
        await eventually(lambda: len(self.ledger.tallies(POLICY)) == len(self.plans))
        self.identity = (await self.ledger.tallies(POLICY)[0].keyring.ensure()).identity

    def id(self, *values: str, plain: bool = False) -> str:
        return consumer_id(self.identity, [value.encode() for value in values], plain=plain)

    async def take(
        self, limit: str, consumer: str, charge: int, hold: int = 0, *specs: Spec, redis: int = 0
    ) -> None:
        """Charge the windows of a limit, all at once, as a request would."""
        keys = [CounterKey(POLICY, limit, f"{s.kind}{s.span}", consumer) for s in specs]
        pairs = zip(specs, keys, strict=True)
        batch = Batch.of(Take(tuple(Meter(s, str(key), charge, hold) for s, key in pairs)))
        client = self.ledger.tallies(POLICY)[redis].counters.client
        await client.run(scripts.load("quota"), batch.keys, batch.args)

    async def standing(self, **given: Any) -> list[tuple[str, Any, Any, Any, Any]]:
        """Name, amount, used, held and remaining of each window."""
        found = await self.post(f"{QUOTAS}/get", given)
        return [numbers(window) for one in found["counters"] for window in one["windows"]]


def numbers(window: dict[str, Any]) -> tuple[str, Any, Any, Any, Any]:
    fields = ("amount", "used", "held", "remaining")
    amount, used, held, remaining = (window[field] for field in fields)
    return window["name"], amount, used, held, remaining


@pytest.fixture
async def quotas(tmp_path: Path, redis_server: RedisServer) -> AsyncIterator[QuotaDesk]:
    async for made in running(QuotaDesk(tmp_path, redis_server)):
        yield made


async def running(made: QuotaDesk) -> AsyncIterator[QuotaDesk]:
    task = asyncio.create_task(made.ledger.run())
    await made.start()
    yield made
    await made.client.aclose()
    task.cancel()
    await asyncio.wait((task,))


async def test_policies_are_listed_and_shown(quotas: QuotaDesk) -> None:
    listed = (await quotas.get("/quotas"))["quotas"]
    assert [(one["namespace"], one["name"]) for one in listed] == [("shop", "model-api")]
    shown = await quotas.get(QUOTAS)
    assert [limit["name"] for limit in shown["limits"]] == ["per-key", "per-path", "everybody"]
    assert shown["gateways"] == ["shop/edge"]
    assert {one["type"] for one in shown["conditions"]} >= {"Accepted", "Programmed", "Ready"}


async def test_what_a_consumer_has_used(quotas: QuotaDesk) -> None:
    await quotas.take("per-key", quotas.id("k1"), 3, 2, SHORT, LONG)
    found = await quotas.post(f"{QUOTAS}/get", {"key": ["k1"]})
    (one,) = found["counters"]
    assert [numbers(window) for window in one["windows"]] == [
        ("per-key", 10, 3, 2, 5),
        ("per-key.2", 1000, 3, 2, 995),
    ]
    assert [window["id"] for window in one["windows"]] == ["f28800000000", "f31536000000"]
    assert all(window["resetsAt"].endswith(":00:00Z") for window in one["windows"])
    assert (one["limit"], one["algorithm"], one["counts"]) == ("per-key", "FixedWindow", "requests")
    assert (one["override"], one["unlimited"], one["enforced"]) == (None, False, True)
    assert one["redis"] == quotas.plan.redis.address
    again = await quotas.post(f"{QUOTAS}/get", {"limit": "per-key", "consumer": one["consumer"]})
    assert again["counters"][0]["windows"] == one["windows"]
    assert await quotas.standing(key=["somebody else"]) == [
        ("per-key", 10, 0, 0, 10),
        ("per-key.2", 1000, 0, 0, 1000),
    ]


async def test_overrides_are_shown_with_their_numbers(quotas: QuotaDesk) -> None:
    await quotas.take("per-key", quotas.id("gold-7"), 60, 0, LONG)
    assert await quotas.standing(key=["gold-7"]) == [
        ("per-key", 100, 0, 0, 100),
        ("per-key.2", 5000, 60, 0, 4940),
    ]
    assert await quotas.standing(key=["root"]) == [
        ("per-key", None, None, None, None),
        ("per-key.2", None, None, None, None),
    ]
    found = {}
    for name, given in {
        "alice": {"key": ["alice"]},
        "gold": {"key": ["gold-7"]},
        "alice by id": {"limit": "per-key", "consumer": quotas.id("alice")},
        "root by id": {"limit": "per-key", "consumer": quotas.id("root")},
        "gold by id": {"limit": "per-key", "consumer": quotas.id("gold-7")},
    }.items():
        (one,) = (await quotas.post(f"{QUOTAS}/get", given))["counters"]
        found[name] = (one["override"], one["windows"][0]["amount"])
    assert found == {
        "alice": ("overrides[0]", 20),
        "gold": ("overrides[2]", 100),
        "alice by id": ("overrides[0]", 20),
        "root by id": ("overrides[1]", None),
        "gold by id": ("perhaps: patterns cannot be told from a hash", 10),
    }


async def test_a_plain_consumer_of_several_parts(quotas: QuotaDesk) -> None:
    mine = quotas.id("198.51.100.0/24", "/v1/chat", "free", plain=True)
    assert mine == "198.51.100.0/24,/v1/chat,free"
    await quotas.take("per-path", mine, 40, 0, BUCKET)
    named = {"key": ["198.51.100.77", "/v1/chat", "free"]}
    by_id = {"limit": "per-path", "consumer": mine}
    for given in (named, by_id, {"key": ["::ffff:198.51.100.9", "/v1/chat", "free"]}):
        (one,) = (await quotas.post(f"{QUOTAS}/get", given))["counters"]
        assert one["consumer"] == mine
        assert one["enforced"] is False
        assert (one["windows"][0]["used"], one["windows"][0]["burst"]) == (40, 100)
    (one,) = (await quotas.post(f"{QUOTAS}/get", {"key": ["203.0.113.9", "/x", "free"]}))[
        "counters"
    ]
    assert (one["override"], one["unlimited"]) == ("overrides[0]", True)


async def test_one_counter_for_everybody(quotas: QuotaDesk) -> None:
    (window,) = await quotas.standing()
    assert window == ("everybody", 1000000, 0, 0, 1000000)
    adjusted = await quotas.post(f"{QUOTAS}/adjust", {"limit": "everybody", "units": 7})
    (one,) = adjusted["counters"]
    assert (one["consumer"], one["windows"][0]["used"]) == ("all", 7)
    assert one["windows"][0]["id"] == "cMonth@Europe/Berlin"
    assert one["windows"][0]["resetsAt"].endswith(("T23:00:00Z", "T22:00:00Z"))
    assert (await quotas.post(f"{QUOTAS}/reset", {"limit": "everybody"}))["forgotten"] == 1
    assert await quotas.standing() == [window]


async def test_units_are_charged_and_given_back(quotas: QuotaDesk) -> None:
    await quotas.take("per-key", quotas.id("k1"), 3, 0, SHORT, LONG)
    await quotas.post(f"{QUOTAS}/adjust", {"key": ["k1"], "units": 5})
    assert [window[2] for window in await quotas.standing(key=["k1"])] == [8, 8]
    given = {"limit": "per-key", "consumer": quotas.id("k1"), "units": -100}
    await quotas.post(f"{QUOTAS}/adjust", given)
    assert [window[2] for window in await quotas.standing(key=["k1"])] == [0, 0]
    message = await quotas.error(f"{QUOTAS}/adjust", {"key": ["root"], "units": 1}, status=409)
    assert message == "limit per-key does not apply to this consumer"


async def test_one_consumer_is_forgotten(quotas: QuotaDesk) -> None:
    for name in ("k1", "k2"):
        await quotas.take("per-key", quotas.id(name), 3, 0, SHORT, LONG)
    done = await quotas.post(f"{QUOTAS}/reset", {"key": ["k1"]})
    assert done == {"quota": POLICY, "forgotten": 2, "next": None}
    assert [window[2] for window in await quotas.standing(key=["k1"])] == [0, 0]
    assert [window[2] for window in await quotas.standing(key=["k2"])] == [3, 3]


async def test_everybody_is_forgotten(quotas: QuotaDesk) -> None:
    for name in ("k1", "k2"):
        await quotas.take("per-key", quotas.id(name), 3, 0, SHORT, LONG)
    await quotas.take("everybody", "all", 3, 0, SHORT)
    done = await quotas.post(f"{QUOTAS}/reset", {"all": True, "limit": "per-key"})
    assert done == {"quota": POLICY, "forgotten": 4, "next": None}
    assert (await quotas.post(f"{QUOTAS}/reset", {"all": True}))["forgotten"] == 1


async def test_the_most_used(quotas: QuotaDesk) -> None:
    for name, units in {"k1": 3, "k2": 9, "gold-1": 5, "alice": 7, "root": 8}.items():
        await quotas.take("per-key", quotas.id(name), units, 0, SHORT, LONG)
    await quotas.take("per-key", quotas.id("k3"), 500, 0, LONG)
    found = await quotas.get(f"{QUOTAS}/top?limit=per-key&count=3")
    (place,) = found["places"]
    assert (found["window"], place["complete"]) == ("per-key", True)
    assert [(one["consumer"], one["used"], one["amount"]) for one in place["consumers"]] == [
        (quotas.id("k2"), 9, 10),
        (quotas.id("alice"), 7, 20),
        (quotas.id("gold-1"), 5, 10),  # nobody can tell that a pattern fits
    ]
    longer = await quotas.get(f"{QUOTAS}/top?limit=per-key&window=per-key.2&count=1")
    assert [one["consumer"] for one in longer["places"][0]["consumers"]] == [quotas.id("k3")]
    none = await quotas.get(f"{QUOTAS}/top?limit=per-path")
    assert none["places"][0]["consumers"] == []


async def test_changes_are_in_the_log_without_any_key(quotas: QuotaDesk) -> None:
    hashed = quotas.id("secret-key")
    with capture_logs() as lines:
        await quotas.post(f"{QUOTAS}/get", {"key": ["secret-key"]})
        await quotas.post(f"{QUOTAS}/adjust", {"key": ["secret-key"], "units": 4})
        await quotas.post(f"{QUOTAS}/reset", {"key": ["secret-key"]})
        parts = ["198.51.100.7", "/secret-key", "free"]
        await quotas.post(f"{QUOTAS}/reset", {"key": parts})
        await quotas.post(f"{QUOTAS}/reset", {"all": True})
    said = [{**line, "client": ""} for line in lines if line["event"] == "Changed by hand"]
    redis = quotas.plan.redis.address
    one = {"event": "Changed by hand", "log_level": "info", "client": "", "redis": redis}
    one |= {"quota": POLICY, "limit": "per-key", "consumer": hashed}
    plain = quotas.id("198.51.100.0/24", "/secret-key", "free")
    assert said == [
        {**one, "action": "quota adjust", "units": 4},
        {**one, "action": "quota reset", "forgotten": 2},
        {**one, "action": "quota reset", "limit": "per-path", "consumer": plain, "forgotten": 0},
        {**one, "action": "quota reset", "limit": "all", "consumer": "all", "forgotten": 0},
    ]
    assert "secret-key" not in json.dumps(lines)


@pytest.mark.parametrize(
    ("path", "body", "status", "problem"),
    [
        ("/get", {"key": "k"}, 400, "key must be a list of texts"),
        ("/get", {"key": [7]}, 400, "key must be a list of texts"),
        ("/get", {"key": ["x" * 9000]}, 400, "key[0] has more than 8192 bytes"),
        ("/get", {"key": ["a", "b"]}, 400, "has a key of 2 parts: per-key needs header x-api-key;"),
        ("/get", {"limit": "per-key"}, 400, "per-key needs header x-api-key; 0 were given"),
        ("/get", {"limit": "everybody", "key": ["k"]}, 400, "everybody needs no key; 1 were given"),
        ("/get", {"limit": "frob", "key": ["k"]}, 404, "no limit 'frob'; known: per-key, per-path"),
        ("/get", {"limit": 3, "key": ["k"]}, 404, "has no limit 3"),
        ("/get", {"key": ["k"], "consumer": "0" * 32}, 400, "either key, or consumer"),
        ("/get", {"consumer": "0" * 32}, 400, "has several limits: say which"),
        ("/get", {"limit": "per-key", "consumer": "alice"}, 400, "not one of limit per-key"),
        ("/get", {"limit": "everybody", "consumer": "0" * 32}, 400, "not one of limit everybody"),
        ("/get", {"limit": "per-path", "consumer": "a,b"}, 400, "not one of limit per-path"),
        ("/get", {"user": "k"}, 400, "unknown field 'user'"),
        ("/get", {"key": ["frob", "/", "free"]}, 400, "key[0] must be an address such as"),
        ("/get", {"key": ["::1", "v1", "free"]}, 400, "key[1] must be a path that begins with /"),
        ("/get", {"key": ["::1", "/?a", "free"]}, 400, "without its query"),
        ("/get", {"key": ["::1", "/", "paid"]}, 400, "key[2] is always 'free'"),
        ("/adjust", {"key": ["k"]}, 400, "units must be a number"),
        ("/adjust", {"key": ["k"], "units": True}, 400, "units must be a number"),
        ("/adjust", {"key": ["k"], "units": 0}, 400, "not 0"),
        ("/adjust", {"key": ["k"], "units": -(10**9) - 1}, 400, "units must be a number"),
        ("/reset", {"all": True, "key": ["k"]}, 400, "or say all: true"),
        ("/reset", {"all": False}, 400, "or say all: true"),
        ("/reset", {"next": "0:0"}, 400, "or say all: true"),
        ("/reset", {"all": True, "next": "1:0"}, 400, "next must be what the call before"),
        ("/reset", {"all": True, "next": "0:x"}, 400, "next must be what the call before"),
        ("/reset", {"all": True, "limit": "frob"}, 404, "no limit 'frob'"),
    ],
)
async def test_wrong_calls_are_refused(
    quotas: QuotaDesk, path: str, body: Any, status: int, problem: str
) -> None:
    assert problem in await quotas.error(QUOTAS + path, body, status=status)


async def test_wrong_questions_are_refused(quotas: QuotaDesk) -> None:
    for query, status, problem in (
        ("", 400, "has several limits: say which (per-key, per-path, everybody)"),
        ("?limit=per-key&window=x", 404, "no window 'x'; known: per-key, per-key.2"),
        ("?limit=per-key&count=1001", 400, "count must be a number up to 1000"),
    ):
        found = await quotas.get(f"{QUOTAS}/top{query}", status)
        assert problem in found["error"]["message"]


async def test_a_policy_that_is_not_there_or_not_in_force(quotas: QuotaDesk) -> None:
    found = await quotas.get("/quotas/shop/frob", 404)
    message = "there is no quota policy 'shop/frob'; known: shop/model-api"
    assert found["error"]["message"] == message
    assert await quotas.error("/quotas/shop/frob/reset", {"all": True}, status=404) == message
    quotas.ledger.keep([quotas.plan])
    await eventually(lambda: not quotas.ledger.tallies(POLICY))
    assert "in force on no gateway" in await quotas.error(f"{QUOTAS}/get", status=409)


async def test_gateways_with_different_redis_count_apart(
    tmp_path: Path, start_redis: StartRedis
) -> None:
    servers = [await start_redis(), await start_redis()]
    async for quotas in running(QuotaDesk(tmp_path, *servers)):
        second = (await quotas.ledger.tallies(POLICY)[1].keyring.ensure()).identity
        assert second != quotas.identity
        await quotas.take("per-key", quotas.id("k1"), 3, 0, SHORT)
        await quotas.post(f"{QUOTAS}/adjust", {"key": ["k1"], "units": 1})
        found = (await quotas.post(f"{QUOTAS}/get", {"key": ["k1"]}))["counters"]
        assert [(one["redis"], one["windows"][0]["used"]) for one in found] == [
            (servers[0].address, 4),
            (servers[1].address, 1),
        ]
        top = await quotas.get(f"{QUOTAS}/top?limit=per-key")
        assert [one["redis"] for one in top["places"]] == [one.address for one in servers]
        first = await quotas.post(f"{QUOTAS}/reset", {"all": True})
        assert (first["forgotten"], first["next"]) == (2, "1:0")
        rest = await quotas.post(f"{QUOTAS}/reset", {"all": True, "next": first["next"]})
        assert (rest["forgotten"], rest["next"]) == (2, None)


async def test_redis_away_is_told_and_the_key_ring_comes_back(
    quotas: QuotaDesk, redis_server: RedisServer
) -> None:
    redis_server.kill()
    message = await quotas.error(f"{QUOTAS}/adjust", {"key": ["k"], "units": 1}, status=503)
    assert f"Redis at {redis_server.address} cannot be reached" in message

    async def ready(status: str) -> bool:
        found = (await quotas.get(QUOTAS))["conditions"]
        return any(one["type"] == "Ready" and one["status"] == status for one in found)

    await eventually(lambda: ready("False"), what="the policy is not ready")
    assert "cannot be reached" in (await quotas.get(QUOTAS))["redisError"]
    await redis_server.start()  # with nothing in it
    await eventually(lambda: ready("True"), what="the policy is ready")
    client = quotas.ledger.tallies(POLICY)[0].counters.client
    assert (await client.command("HGET", "sluice:keyring", "identity")).decode() == (
        quotas.identity.hex()
    )


def test_ids_are_as_the_filters_make_them() -> None:
    message = b"".join(len(part).to_bytes(4, "big") + part for part in (b"a", b"bc"))
    wanted = hashlib.blake2s(message, key=b"k" * 32, digest_size=16).hexdigest()
    assert consumer_id(b"k" * 32, [b"a", b"bc"], plain=False) == wanted
