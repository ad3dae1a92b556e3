"""Whom limits count, which requests they are about, and what those cost: each field, on one stack.

Most limits are `plain`, so that Redis shows what was read of a request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from controlplane.ledger.quota_keys import enforced
from tests.envoy.quotas import consumers, guarded, hit, limit, quota, running, standing, way
from tests.testkit.fixtures import LOGS
from tests.testkit.waiting import holds

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from tests.envoy.stack import Stack

pytestmark = [pytest.mark.envoy, pytest.mark.redis, pytest.mark.asyncio(loop_scope="module")]

SECRET, LISTED = "s3cret-of-a-client", "s3cret-in-the-manifest"
HEADER = {"header": "x-api-key"}


def place_rule(path: str) -> dict[str, Any]:
    return {
        "matches": [{"path": {"type": "PathPrefix", "value": path}}],
        "backendRefs": [{"name": "shop", "port": 80}],
    }


def manifests() -> list[dict[str, Any]]:
    """A route and a policy for each test."""
    free = {"headers": [{"name": "X-Tier", "value": "free"}]}
    when = [
        {"methods": ["POST", "PUT"], "path": {"value": "/when/v1"}, **free},
        {"headers": [{"name": "x-robot", "type": "Present"}]},
        {
            "path": {"type": "RegularExpression", "value": "/when/[0-9]+"},
            "headers": [{"name": "x-tier", "type": "RegularExpression", "value": "gr.*|paid"}],
        },
        {"path": {"type": "Exact", "value": "/when/exact"}},
    ]
    overrides = [
        {"consumer": ["anna"], "requests": 3},
        {"consumer": ["gold-bad"], "requests": 0},
        {"consumer": ["gold-*"], "unlimited": True},
        {"consumer": ["*-7"], "requests": 2},
        {"consumer": [LISTED], "requests": 2},
    ]
    windows = [{"requests": 3, "per": "4392h"}, {"requests": 1, "per": "8784h"}]
    more = [{"consumer": ["anna"], "windows": [{"requests": 3}, {"requests": 2}]}]
    networks = {"clientAddress": {"ipv4Prefix": 24, "ipv6Prefix": 48}}
    joined = [{"literal": "free"}, HEADER, {"query": "q"}]
    return [
        *guarded("cookie", limit("one", key=[{"cookie": "uid"}], requests=1, plain=True)),
        *guarded("query", limit("one", key=[{"query": "q"}], requests=1, plain=True)),
        *guarded(
            "address",
            limit("network", key=[networks], requests=2, plain=True),
            limit("client", key=[{"clientAddress": {}}], requests=100, plain=True),
        ),
        way("place", place_rule("/place/a"), place_rule("/place/b")),
        quota(
            limit("path", key=[{"path": {}}], requests=2, plain=True),
            limit("route", key=[{"route": {}}], requests=3, plain=True),
            name="place",
            target={"name": "place"},
        ),
        *guarded("joined", limit("one", key=joined, requests=1, plain=True)),
        *guarded(
            "required",
            limit("must", key=[{**HEADER, "required": True}], requests=100),
            limit("may", key=[{"cookie": "uid"}], requests=100),
            limit("trial", key=[{"cookie": "id", "required": True}], requests=9, mode="Shadow"),
        ),
        *guarded("when", limit("none", key=[], requests=0, when=when)),
        *guarded("number", limit("three", requests=10, cost={"number": 3})),
        *guarded("price", limit("told", requests=10, cost={"header": "X-Cost", "number": 2})),
        *guarded("overrides", limit("one", requests=1, overrides=overrides)),
        *guarded("windows", limit("two", key=[HEADER], windows=windows, overrides=more)),
        *guarded("percent", limit("one", requests=1, enforcePercent=40)),
    ]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """One stack for all tests here, behind one proxy that is trusted."""
    folder = tmp_path_factory.mktemp("quota-keys")
    async with running(folder, *manifests(), proxy={"trustedHops": 1}) as started:
        yield started


@pytest.fixture
def stack(request: pytest.FixtureRequest, shared: Stack) -> Stack:
    """The shared stack; its logs are shown when a test fails."""
    request.node.stash[LOGS] = [shared.log, shared.folder / "edge-a.log"]
    return shared


async def statuses(stack: Stack, *paths: str, **headers: str) -> list[int]:
    """What a request to each of these is answered, one after the other."""
    return [(await hit(stack, path, **headers)).status for path in paths]


async def test_cookie(stack: Stack) -> None:
    assert (await hit(stack, "/cookie", cookie="a=b; uid=anna; c=d")).status == 200
    assert (await hit(stack, "/cookie", cookie="uid=anna")).status == 429
    assert (await hit(stack, "/cookie", cookie="uid=bob")).status == 200
    for other in ({}, {"cookie": "id=anna"}, {"cookie": "uid="}):
        answer = await hit(stack, "/cookie", **other)
        assert (answer.status, answer.header("ratelimit")) == (200, None)
    assert await consumers(stack, "shop/cookie") == {"anna", "bob"}


async def test_query(stack: Stack) -> None:
    anna = ["/query?q=%61nna%20b", "/query?x=1&q=anna%20b&q=other", "/query?%71=anna%20%62"]
    assert await statuses(stack, *anna) == [200, 429, 429]
    assert await statuses(stack, "/query?q=a+b", "/query?q=%zz", "/query?q=") == [200] * 3
    assert await statuses(stack, "/query?Q=anna%20b", "/query", "/query?q") == [200] * 3
    # A plus is a plus (RFC 3986), and what is no encoding is taken as it is.
    assert await consumers(stack, "shop/query") == {"anna%20b", "a%2Bb", "%25zz"}


async def test_client_address(stack: Stack) -> None:
    told = [
        ("127.0.0.7", {}, 200),
        ("127.0.0.8", {}, 200),
        ("127.0.0.9", {}, 429),  # the same network
        ("127.0.1.9", {}, 200),
        ("127.0.0.9", {"x_forwarded_for": "203.0.113.7"}, 200),
        # What a client adds in front of what the trusted proxy saw counts for nothing.
        ("127.0.0.9", {"x_forwarded_for": "192.0.2.1, 203.0.113.8"}, 200),
        ("127.0.0.9", {"x_forwarded_for": "192.0.2.2, 203.0.113.9"}, 429),
        ("127.0.0.9", {"x_forwarded_for": "2001:db8:1:2::7"}, 200),
        ("127.0.0.9", {"x_forwarded_for": "2001:db8:1:3::7"}, 200),
        ("127.0.0.9", {"x_forwarded_for": "2001:db8:1:4::7"}, 429),
    ]
    seen = [(await hit(stack, "/address", source=s, **h)).status for s, h, _ in told]
    assert seen == [status for _, _, status in told]
    networks = {"127.0.0.0/24", "127.0.1.0/24", "203.0.113.0/24", "2001:db8:1::/48"}
    assert await consumers(stack, "shop/address", "network") == networks
    # As it is without prefixes: an IPv4 address whole, an IPv6 one by its /64.
    clients = {"127.0.0.7", "127.0.0.8", "127.0.1.9", "203.0.113.7", "203.0.113.8"}
    clients |= {"2001:db8:1:2::/64", "2001:db8:1:3::/64"}
    assert await consumers(stack, "shop/address", "client") == clients


async def test_path_and_route(stack: Stack) -> None:
    assert await statuses(stack, "/place/a", "/place/a?x=1", "/place/a?x=2") == [200, 200, 429]
    assert (await hit(stack, "/place/a/more")).status == 200
    refused = await hit(stack, "/place/a/others")
    assert (refused.status, (refused.header("ratelimit") or "")[:12]) == (429, '"route";r=0;')
    assert (await hit(stack, "/place/b")).status == 200
    assert await consumers(stack, "shop/place", "path") == {"/place/a", "/place/a/more", "/place/b"}
    routes = {"httproute/shop/place/0", "httproute/shop/place/1"}
    assert await consumers(stack, "shop/place", "route") == routes


async def test_several_parts_joined(stack: Stack) -> None:
    async def asks(key: str, value: str) -> int:
        return (await hit(stack, f"/joined?q={value}", x_api_key=key)).status

    assert [await asks("anna", "x"), await asks("anna", "x"), await asks("anna", "y")] == [
        200,
        429,
        200,
    ]
    # However the parts are written, no two lists of them are one consumer.
    assert [await asks("a,b", "c"), await asks("a", "b,c")] == [200, 200]
    assert await statuses(stack, "/joined", "/joined?q=x") == [200, 200]
    long = "l" * 256
    assert [await asks(long, "x"), await asks(long, "x")] == [200, 429]
    found = await consumers(stack, "shop/joined")
    (hashed,) = found - {"free,anna,x", "free,anna,y", "free,a%2Cb,c", "free,a,b%2Cc"}
    assert len(found) == 5
    assert len(bytes.fromhex(hashed)) == 16  # too long for a key


async def test_a_required_part(stack: Stack) -> None:
    for headers in ({}, {"x_api_key": ""}, {"cookie": "uid=anna"}):
        answer = await hit(stack, "/required", **headers)
        assert answer.status == 400
        assert answer.text == "The request does not say whom it counts for.\n"
        assert answer.header("cache-control") == "no-store"
        assert answer.header("retry-after") is None
    answer = await hit(stack, "/required", x_api_key="anna")
    assert answer.status == 200
    assert answer.header("ratelimit-policy") == '"must";q=100;w=31622400'  # `may` does not apply

    async def counted() -> None:
        stats = await stack.envoys["edge-a"].stats(r"sluice_quota\.shop\.required\.")
        found = {tuple(name.split(".")[-2:]): n for name, n in stats.items()}
        assert found.get(("must", "unidentified")) == 3
        # One that only watches refuses nobody for it.
        assert found.get(("trial", "unidentified")) == 1

    await holds(counted)


@pytest.mark.parametrize(
    ("status", "method", "path", "headers"),
    [
        (429, "POST", "/when/v1", {"x_tier": "free"}),
        (429, "PUT", "/when/v1/chat?x=1", {"x_tier": "free"}),
        (200, "GET", "/when/v1", {"x_tier": "free"}),
        (200, "POST", "/when/v10", {"x_tier": "free"}),
        (200, "POST", "/when/v1", {"x_tier": "freed"}),
        (200, "POST", "/when/v1", {}),
        (429, "GET", "/when", {"x_robot": ""}),
        (429, "GET", "/when/42", {"x_tier": "green"}),
        (429, "GET", "/when/42?x", {"x_tier": "paid"}),
        (200, "GET", "/when/42", {"x_tier": "unpaid"}),
        (200, "GET", "/when/42/7", {"x_tier": "paid"}),
        (429, "GET", "/when/exact?x=1", {}),
        (200, "GET", "/when/exact/", {}),
    ],
)
async def test_when(
    stack: Stack, status: int, method: str, path: str, headers: dict[str, str]
) -> None:
    assert (await hit(stack, path, method=method, **headers)).status == status


async def test_cost(stack: Stack) -> None:
    answers = [await hit(stack, "/number", x_api_key="anna") for _ in range(4)]
    assert [a.status for a in answers] == [200, 200, 200, 429]
    left = [(a.header("ratelimit") or "").split(";")[1] for a in answers]
    assert left == ["r=7", "r=4", "r=1", "r=1"]

    left = []
    for cost in ("5", "much", None, "-1", "0", "2", "99999999999999999999", "1"):
        headers = {} if cost is None else {"x_cost": cost}
        answer = await hit(stack, "/price", x_api_key="anna", **headers)
        left.append(f"{answer.status} {(answer.header('ratelimit') or '').split(';')[1]}")
    # Without a number it is 2; what costs nothing needs a unit to be left all the same.
    assert left[:3] == ["200 r=5", "200 r=3", "200 r=1"]
    assert left[3:] == ["429 r=1", "200 r=1", "429 r=1", "429 r=1", "200 r=0"]


async def passes(stack: Stack, path: str, key: str) -> int:
    """How many of five requests are let through."""
    return (await statuses(stack, *[path] * 5, x_api_key=key)).count(200)


async def test_overrides(stack: Stack) -> None:
    wanted = {"anna": 3, "bob": 1, "gold-bad": 0, "gold-7": 5, "silver-7": 2, LISTED: 2}
    assert {key: await passes(stack, "/overrides", key) for key in wanted} == wanted
    free = await hit(stack, "/overrides", x_api_key="gold-1")
    assert free.header("ratelimit-policy") is None
    anna = await hit(stack, "/overrides", x_api_key="anna")
    assert anna.header("ratelimit-policy") == '"one";q=3;w=31622400'
    shown = (await standing(stack, LISTED, policy="shop/overrides"))["one"]
    assert (shown["used"], shown["remaining"]) == (2, 0)

    assert [await passes(stack, "/windows", key) for key in ("anna", "bob")] == [2, 1]
    anna = await hit(stack, "/windows", x_api_key="anna")
    assert anna.header("ratelimit-policy") == '"two";q=3;w=15811200, "two.2";q=2;w=31622400'


async def test_a_share_of_consumers(stack: Stack) -> None:
    names = [f"user-{n}" for n in range(40)]
    async with Redis.from_url(stack.redis.url, decode_responses=True) as redis:
        identity = bytes.fromhex(str(await redis.hget("sluice:keyring", "identity")))
    wanted = {name: 1 if enforced(identity, [name.encode()], 40) else 3 for name in names}
    found = {}
    for name in names:
        found[name] = (await statuses(stack, *["/percent"] * 3, x_api_key=name)).count(200)
    assert found == wanted
    assert set(wanted.values()) == {1, 3}


async def everything(redis: Redis) -> str:
    """All keys in Redis and what they hold, as text."""
    read: dict[str, Callable[[str], Awaitable[object]]] = {
        "string": redis.get,
        "hash": redis.hgetall,
        "list": lambda key: redis.lrange(key, 0, -1),
    }
    keys = [key async for key in redis.scan_iter()]
    return str([(key, await read[str(await redis.type(key))](key)) for key in keys])


async def test_raw_consumers_are_nowhere(stack: Stack) -> None:
    for key in (SECRET, LISTED, "gold-secret"):
        await hit(stack, "/overrides", x_api_key=key)
    await hit(stack, "/cookie", cookie="uid=plainly")
    url, odd = stack.redis.url, "backslashreplace"  # counters are not text
    async with Redis.from_url(url, decode_responses=True, encoding_errors=odd) as redis:
        held = await everything(redis)
    envoy = stack.envoys["edge-a"]
    configured = str(await envoy.config_dump(eds=True))
    logged = "".join(log.read_text() for log in (stack.log, envoy.log, stack.redis.log))
    metrics = await envoy.admin("/stats")
    shown = [
        (await stack.sluice("quota", "top", "shop/overrides", "--output", "json")).out,
        (await stack.sluice("status", "--output", "json")).out,
    ]
    # What is looked through is the right thing: what may be seen there is.
    assert ":plainly" in held
    assert "gold-*" in configured
    assert "sluice_quota.shop.overrides.one.limited" in metrics
    for secret in (SECRET, LISTED, "gold-secret"):
        assert all(secret not in text for text in (held, configured, logged, metrics, *shown))
