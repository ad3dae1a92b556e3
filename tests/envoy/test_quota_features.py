"""What those beyond a limit are answered, and what is told of limits: each field, on one stack."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import grpc
import pytest
import pytest_asyncio

from tests.envoy.quotas import ask, guarded, hit, limit, quota, running, standing, way
from tests.envoy.stack import SALE, flash_sale, in_, service
from tests.testkit.fixtures import LOGS
from tests.testkit.load import fire, tally
from tests.testkit.waiting import holds

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.envoy.stack import Stack

pytestmark = [pytest.mark.envoy, pytest.mark.redis, pytest.mark.asyncio(loop_scope="module")]

LOCATION = "https://shop.example.com/slow-down"
WAY = "/greeter/Hello"
UPGRADE = {"connection": "Upgrade", "upgrade": "websocket", "sec_websocket_version": "13"}


def manifests(echo_port: int) -> list[dict[str, Any]]:
    """A route and a policy for each test."""
    own = {"status": 420, "body": "Calm down.", "headers": [{"name": "x-why", "value": "calm"}]}
    asked = {"status": 401, "body": "Who are you?"}
    sockets = {
        "matches": [{"path": {"type": "PathPrefix", "value": "/socket"}}],
        "backendRefs": [{"name": "echo", "port": 80}],
    }
    tokens = {"response": {"reserve": 10}}
    ended = {"startTime": in_(-timedelta(hours=2)), "endTime": in_(-timedelta(hours=1))}
    nobody = [{"consumer": ["nobody"], "requests": 0}]
    key = [{"header": "x-api-key", "required": True}]
    return [
        *guarded(
            "shadow",
            limit("real", requests=5),
            limit("trial", requests=1, mode="Shadow"),
            limit("none", requests=1, enforcePercent=0),
        ),
        *guarded(
            "own",
            limit("one", requests=1, key=key),
            responses={"limited": own, "unidentified": asked},
        ),
        *guarded(
            "later",
            limit("one", requests=1),
            responses={"limited": {"headers": [{"name": "Retry-After", "value": "77"}]}},
        ),
        *guarded("moved", limit("one", requests=1), responses={"limited": {"redirect": LOCATION}}),
        *guarded("old", limit("one", requests=2), headers={"rateLimit": False, "xRateLimit": True}),
        *guarded("both", limit("one", requests=2), headers={"xRateLimit": True}),
        *guarded("quiet", limit("one", requests=1), headers={"rateLimit": False}),
        *guarded("greeter", limit("one", requests=1, key=key)),
        *guarded("minute", limit("one", requests=2, algorithm="Calendar", unit="Minute")),
        *guarded("fixed", limit("one", requests=2, per="2s")),
        *guarded("sliding", limit("one", requests=2, algorithm="SlidingWindow", per="2s")),
        *guarded("bucket", limit("one", requests=1, algorithm="TokenBucket", per="1s", burst=2)),
        *guarded("address", limit("one", requests=1, key=[{"clientAddress": {}}])),
        *guarded("twice", limit("first", requests=1)),
        quota(limit("second", requests=2), name="twice-too", target={"name": "twice"}),
        *guarded("sale", limit("one", requests=1, overrides=nobody)),
        flash_sale("laptop", route="sale"),
        *guarded("ended", limit("one", requests=2)),
        flash_sale("phone", route="ended", schedule=ended),
        way("socket", sockets),
        *service("echo", echo_port),
        quota(
            limit("calls", requests=2),
            limit("tokens", tokens=100, cost=tokens),
            name="socket",
            target={"name": "socket"},
        ),
    ]


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Accepts an upgrade, and sends back what comes then."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 101 Upgraded\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
    while piece := await reader.read(1000):
        writer.write(piece)
        await writer.drain()
    writer.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """One stack for all tests here."""
    folder = tmp_path_factory.mktemp("quota-features")
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server, running(folder, *manifests(server.sockets[0].getsockname()[1])) as started:
        yield started


@pytest.fixture
def stack(request: pytest.FixtureRequest, shared: Stack) -> Stack:
    """The shared stack; its logs are shown when a test fails."""
    request.node.stash[LOGS] = [shared.log, shared.folder / "edge-a.log"]
    return shared


async def counts(stack: Stack, policy: str, limit: str) -> dict[str, int]:
    """The filter's own counters of a limit, by outcome."""
    stats = await stack.envoys["edge-a"].stats(rf"sluice_quota\.shop\.{policy}\.{limit}\.")
    return {name.rpartition(".")[2]: number for name, number in stats.items() if number}


async def test_shadow(stack: Stack) -> None:
    answers = [await hit(stack, "/shadow", x_api_key="anna") for _ in range(6)]
    assert [a.status for a in answers] == [200] * 5 + [429]
    assert {a.header("ratelimit-policy") for a in answers} == {'"real";q=5;w=31622400'}
    assert all((a.header("ratelimit") or "").startswith('"real";') for a in answers)
    shown = await standing(stack, "anna", policy="shop/shadow")
    assert [shown[name]["used"] for name in ("real", "trial", "none")] == [5, 1, 1]

    async def counted() -> None:
        for name in ("trial", "none"):
            assert await counts(stack, "shadow", name) == {"allowed": 1, "shadow_limited": 4}

    await holds(counted)


async def test_answers_of_ones_own(stack: Stack) -> None:
    answers = [await hit(stack, "/own", x_api_key="anna") for _ in range(2)]
    assert [a.status for a in answers] == [200, 420]
    refused = answers[1]
    assert (refused.text, refused.header("x-why")) == ("Calm down.", "calm")
    assert refused.header("cache-control") == "no-store"
    assert int(refused.header("retry-after") or 0) >= 1
    nameless = await hit(stack, "/own")
    assert (nameless.status, nameless.text) == (401, "Who are you?")
    assert nameless.header("www-authenticate") == 'Header realm="shop/own"'


async def test_retry_after_of_ones_own(stack: Stack) -> None:
    await hit(stack, "/later", x_api_key="anna")
    for _ in range(2):  # by Redis's word, and as is known then
        refused = await hit(stack, "/later", x_api_key="anna")
        assert refused.status == 429
        assert [v for name, v in refused.headers() if name == "retry-after"] == ["77"]


async def test_redirect(stack: Stack) -> None:
    await hit(stack, "/moved", x_api_key="anna")
    refused = await hit(stack, "/moved", x_api_key="anna")
    assert (refused.status, refused.header("location")) == (302, LOCATION)
    assert (refused.header("ratelimit") or "").startswith('"one";r=0;')


async def test_headers(stack: Stack) -> None:
    names = {"ratelimit", "ratelimit-policy"}
    names |= {f"x-ratelimit-{name}" for name in ("limit", "remaining", "reset")}
    for path, told in (("old", "x-"), ("both", ""), ("quiet", "none")):
        answers = [await hit(stack, f"/{path}", x_api_key="anna") for _ in range(3)]
        wanted = {name for name in names if name.startswith(told)}
        for answer in answers:
            found = [name for name, _ in answer.headers() if name in names]
            assert sorted(found) == sorted(wanted)
        last = answers[-1]
        assert last.status == 429
        assert int(last.header("retry-after") or 0) >= 1
        if wanted:
            left = [a.header("x-ratelimit-remaining") for a in answers]
            assert left == ["1", "0", "0"]
            assert last.header("x-ratelimit-limit") == "2"
            assert 0 < int(last.header("x-ratelimit-reset") or 0) <= 31622400


async def test_grpc(stack: Stack) -> None:
    """A client by HTTP/2 gets a status of its own kind, and the headers beside it."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{stack.ports['edge-a']}") as channel:
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(WAY)

        async def status(*metadata: tuple[str, str]) -> tuple[grpc.StatusCode, dict[str, Any]]:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(b"", metadata=metadata, timeout=20)
            error = caught.value
            told = (*error.initial_metadata(), *error.trailing_metadata())
            return error.code(), {"details": error.details(), **dict(told)}

        # The shop speaks no gRPC: it answers, which is all that is asked of it here.
        code, told = await status(("x-api-key", "anna"))
        assert code is not grpc.StatusCode.RESOURCE_EXHAUSTED
        assert str(told["ratelimit"]).startswith('"one";r=0;')
        code, told = await status(("x-api-key", "anna"))
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "Too many requests" in str(told["details"])
        assert int(told["retry-after"]) >= 1
        assert str(told["ratelimit"]).startswith('"one";r=0;')
        code, told = await status()
        assert code is grpc.StatusCode.INTERNAL  # as gRPC has it for 400
        assert "does not say whom it counts for" in str(told["details"])


async def test_a_minute_of_the_calendar(stack: Stack) -> None:
    answers = [await hit(stack, "/minute", x_api_key="anna") for _ in range(5)]
    assert {a.header("ratelimit-policy") for a in answers} == {'"one";q=2;w=60'}
    refused = [a for a in answers if a.status == 429]
    assert refused  # of five, as they touch two minutes at most
    assert all(1 <= int(a.header("retry-after") or 0) <= 60 for a in refused)


@pytest.mark.parametrize("kind", ["fixed", "sliding", "bucket"])
async def test_a_small_window_opens_again(stack: Stack, kind: str) -> None:
    async def one() -> int:
        return (await hit(stack, f"/{kind}", x_api_key="anna")).status

    async def refused() -> None:
        assert await one() == 429

    async def let_in() -> None:
        assert await one() == 200

    for _ in range(2):
        await holds(refused, every=0.0)
        await holds(let_in)


async def test_nobody_is_believed_without_a_trusted_proxy(stack: Stack) -> None:
    told = [("127.0.0.7", "203.0.113.1"), ("127.0.0.7", "203.0.113.2"), ("127.0.0.8", "")]
    seen = [
        (await hit(stack, "/address", source=source, x_forwarded_for=address)).status
        for source, address in told
    ]
    assert seen == [200, 429, 200]


async def test_the_older_of_two_policies_wins(stack: Stack) -> None:
    answer = await hit(stack, "/twice", x_api_key="anna")
    assert answer.header("ratelimit-policy") == '"first";q=1;w=31622400'
    shown = (await stack.sluice("status", "--output", "json")).json()
    loser = next(one for one in shown["objects"] if one["name"] == "twice-too")
    accepted = next(one for one in loser["conditions"] if one["type"] == "Accepted")
    assert (accepted["status"], accepted["reason"]) == ("False", "Conflicted")
    assert "HTTPRoute shop/twice has QuotaPolicy shop/twice, which" in accepted["message"]
    assert (await stack.sluice("status", "--check")).code == 1


async def test_before_a_sale(stack: Stack) -> None:
    """Who is beyond a quota takes no part in the sale behind it."""

    async def buys(user: str) -> int:
        return (await hit(stack, "/sale", x_api_key=user, authorization=user)).status

    probes = itertools.count()  # each asks once: the quota lets nobody ask twice

    async def open_() -> None:
        assert await buys(f"probe-{next(probes)}") == 200

    await stack.shows(state="Open")
    await holds(open_)
    assert [await buys("anna"), await buys("anna")] == [200, 429]
    before = await stack.permits()
    assert [await buys("nobody"), await buys("nobody")] == [429, 429]
    assert await stack.permits() == before
    assert (await stack.sluice("sale", "show", SALE, "--output", "json")).json()["state"] == "Open"


async def test_answers_of_a_sale_tell_of_limits(stack: Stack) -> None:
    answers = [await hit(stack, "/ended", x_api_key="anna", authorization="anna") for _ in range(3)]
    assert [a.status for a in answers] == [410, 410, 429]
    assert {a.header("ratelimit-policy") for a in answers} == {'"one";q=2;w=31622400'}
    left = [(a.header("ratelimit") or "").split(";")[1] for a in answers]
    assert left == ["r=1", "r=0", "r=0"]


@asynccontextmanager
async def upgraded(
    stack: Stack, key: str
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter, str]]:
    """A connection that has asked to become a WebSocket, and the head of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", stack.ports["edge-a"])
    try:
        writer.write(ask(stack, key, path="/socket", **UPGRADE).encode())
        async with asyncio.timeout(20):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        yield reader, writer, head
    finally:
        writer.close()


async def test_websocket(stack: Stack) -> None:
    async def account() -> dict[str, tuple[int, int]]:
        shown = await standing(stack, "anna", policy="shop/socket")
        return {name: (w["used"], w["held"]) for name, w in shown.items()}

    for turn in (1, 2):
        async with upgraded(stack, "anna") as (reader, writer, head):
            assert head.startswith("http/1.1 101 ")
            assert "\r\nratelimit: " in head
            for number in range(20):
                writer.write(b"frame %d" % number)
                async with asyncio.timeout(20):
                    assert await reader.readexactly(len(b"frame %d" % number))
            assert await account() == {"calls": (turn, 0), "tokens": (0, 10)}

        async def released(turn: int = turn) -> None:
            # It told no usage: what was held for it is back.
            assert await account() == {"calls": (turn, 0), "tokens": (0, 0)}

        await holds(released)
    async with upgraded(stack, "anna") as (_, _, head):
        assert head.startswith("http/1.1 429 ")


async def test_many_at_once_of_many_policies(stack: Stack) -> None:
    """Requests that go to Redis in one batch are told apart."""
    paths = ("/own", "/both", "/quiet")  # of 1, 2 and 1 for each of 25 consumers
    asks = [ask(stack, f"crowd-{n % 25}", path=path) for n in range(100) for path in paths]
    answers = await fire(asks, concurrency=100)
    assert tally(answers) == {"200": 25 * 4, "420": 75, "429": 50 + 75}
