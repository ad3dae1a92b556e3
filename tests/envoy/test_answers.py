"""Every field of a FlashSale, seen from outside: who gets which answer."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tests.envoy.stack import IN_A_ROW, SALE, Stack, flash_sale, in_, route
from tests.testkit.load import Answer, Ask, fire, get, tally
from tests.testkit.waiting import holds

if TYPE_CHECKING:
    from tests.envoy.conftest import StartStack

pytestmark = [pytest.mark.envoy, pytest.mark.redis]


async def one(stack: Stack, **headers: str) -> Answer:
    pairs = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return (await fire([Ask(stack.ports["edge-a"], "/sale", headers=pairs)]))[0]


async def test_the_window(start_stack: StartStack) -> None:
    stack = await start_stack()
    hour = timedelta(hours=1)
    stack.write_sale(schedule={"startTime": in_(hour), "endTime": in_(hour * 2)})
    await stack.answers("503 The sale has not started", user="a")
    opens = in_(timedelta(seconds=3))
    stack.write_sale(schedule={"startTime": opens, "endTime": in_(hour)})
    await stack.answers("200", user="a")
    stack.write_sale(schedule={"startTime": opens, "endTime": in_(timedelta(seconds=3))})
    await stack.answers("410 The sale is over", user="a")
    await stack.shows(state="Ended")


async def test_identities(start_stack: StartStack) -> None:
    stack = await start_stack()
    stack.write_sale(stock=2, identity={"cookie": "uid"})
    await stack.answers("401", user="only-a-header")

    async def let_in() -> None:  # by every worker: before, one of them may still wait for its books
        for _ in range(IN_A_ROW):
            assert (await one(stack, cookie="a=b; uid=anna; c=d")).status == 200

    await holds(let_in)
    assert (await one(stack, cookie="uid=bob")).status == 200
    assert (await one(stack, cookie="uid=carl")).status == 410
    assert (await one(stack, cookie="x=1; uid=anna")).status == 200
    # Raw ids reach neither Redis nor lists.
    assert all(len(user) == 32 and int(user, 16) for user in await stack.permits())

    stack.write_sale(stock=2, epoch="2", identity={"clientAddress": {}})

    async def from_each(*places: int) -> list[int]:
        port = stack.ports["edge-a"]
        asks = [Ask(port, "/sale", source=f"127.0.0.{place}") for place in places]
        return [(await fire([ask], concurrency=1))[0].status for ask in asks]

    async def by_address() -> None:
        assert await from_each(*[7] * IN_A_ROW) == [200] * IN_A_ROW

    await holds(by_address)
    assert await from_each(8, 9, 7) == [200, 410, 200]

    stack.write_sale(stock=2, epoch="3", identity={"header": "x-user", "plain": True})

    async def plain() -> None:
        assert (await one(stack, x_user="dora")).status == 200
        assert await stack.permits() == ["dora"]

    await holds(plain)


async def test_denied_users_and_networks(start_stack: StartStack) -> None:
    stack = await start_stack()
    stack.write_sale(access={"deny": ["mallory"], "denyCIDRs": ["127.0.0.64/26"]})
    await stack.open()
    await stack.answers("403", user="mallory")
    port = stack.ports["edge-a"]
    anna = (("authorization", "anna"),)
    inside = await fire([Ask(port, "/sale", headers=anna, source="127.0.0.65")])
    outside = await fire([Ask(port, "/sale", headers=anna, source="127.0.0.7")])
    assert (inside[0].status, outside[0].status) == (403, 200)


async def test_throttle(start_stack: StartStack) -> None:
    stack = await start_stack(gateways=("edge-a", "edge-b"))
    stack.write_sale(
        stock=100, admission={"minInterval": "60s", "blockRatio": 0.5, "draw": "PerRequest"}
    )
    await stack.open()
    # One click counts, through whichever worker or proxy the others come.
    for user in (f"user-{n}" for n in range(20)):
        statuses = [a.status for a in await fire(stack.asks([user] * 8), concurrency=1)]
        assert statuses[0] in {200, 410, 503}
        if statuses[0] == 503:
            assert set(statuses[1:]) <= {429, 410}
            break
    else:
        pytest.fail("of twenty users at a ratio of 0.5 one loses")
    answer = await one(stack, authorization=user)
    if answer.status == 429:
        assert 1 <= int(answer.header("retry-after") or 0) <= 60


async def test_answers_and_redirects(start_stack: StartStack) -> None:
    stack = await start_stack()
    stack.write_sale(
        stock=1,
        responses={
            "soldOut": {"redirect": "https://shop.example.com/sold-out"},
            "unidentified": {
                "status": 418,
                "body": "Who are you?",
                "headers": [{"name": "x-why", "value": "no name"}],
            },
        },
    )
    await stack.open()
    assert (await one(stack, authorization="first")).status == 200
    await stack.answers("302", user="second")
    answer = await one(stack, authorization="second")
    assert answer.header("location") == "https://shop.example.com/sold-out"
    answer = await one(stack)
    assert (answer.status, answer.text, answer.header("x-why")) == (418, "Who are you?", "no name")


async def test_suspended_by_manifest_and_by_hand(start_stack: StartStack) -> None:
    stack = await start_stack()
    stack.write_sale()
    await stack.open()
    await stack.answers("200", user="anna")
    stack.write_sale(suspend=True)
    await stack.answers("503 The sale is suspended", user="anna")
    stack.write_sale()
    await stack.answers("200", user="anna")
    assert (await stack.sluice("sale", "suspend", SALE)).code == 0
    await stack.answers("503 The sale is suspended", user="anna")
    await stack.shows(state="Suspended")
    assert (await stack.sluice("sale", "resume", SALE)).code == 0
    await stack.answers("200", user="anna")
    assert len(await stack.permits()) == 1


async def test_a_new_epoch_starts_afresh(start_stack: StartStack) -> None:
    stack = await start_stack()
    stack.write_sale(stock=1)
    await stack.open()
    await stack.answers("200", user="anna")
    await stack.answers("410", user="bob")
    stack.write_sale(stock=1, epoch="again")
    await stack.answers("200", user="bob")
    await stack.answers("410", user="anna")


async def test_what_reaches_the_shop(start_stack: StartStack) -> None:
    stack = await start_stack()
    stack.write_sale()
    await stack.open()
    answer = await one(
        stack,
        authorization="anna",
        x_sluice_user="forged",
        x_sluice_permit="0",
        x_sluice_sale="forged",
        x_sluice_other="forged",
    )
    seen = json.loads(answer.body)["sluice"]
    assert set(seen) == {"x-sluice-sale", "x-sluice-user", "x-sluice-permit"}
    assert seen["x-sluice-sale"] == SALE
    assert [seen["x-sluice-user"]] == await stack.permits()
    assert int(seen["x-sluice-permit"]) > 0


async def test_pass(start_stack: StartStack) -> None:
    stack = await start_stack(gateways=("edge-a", "edge-b"))
    stack.write_sale(stock=5, **{"pass": {"cookieName": "ticket", "ttl": "1h"}})
    await stack.open()
    answer = await one(stack, authorization="anna")
    cookie = answer.header("set-cookie") or ""
    assert answer.status == 200
    assert cookie.startswith("ticket=1.")
    assert {"HttpOnly", "Path=/", "Max-Age=3600"} <= {p.strip() for p in cookie.split(";")}
    refused = await fire(stack.asks(f"user-{n}" for n in range(20)), concurrency=1)
    assert all(a.header("set-cookie") is None for a in refused if a.status != 200)
    pair = cookie.partition(";")[0]

    # Good with Redis away, through a proxy that started since; for this user only.
    rotated = await stack.sluice("keys", "rotate")
    assert rotated.code == 0, rotated.err
    value = pair.removeprefix("ticket=")
    other = ("edge-b", value)
    port = stack.ports[other[0]]
    assert (await get(port, "/sale", authorization="anna", cookie=pair)).status == 200
    bad = [
        f"ticket={value[:-1]}{'A' if value[-1] != 'A' else 'B'}",
        f"ticket={value}x",
        "ticket=1.1.99999999999.1.1.",
        "ticket=",
        "ticket=" + "1." * 500,
    ]
    for cookie in bad:
        assert (await get(port, "/sale", authorization="bob", cookie=cookie)).status == 410
    assert (await get(port, "/sale", authorization="bob", cookie=pair)).status == 410


async def test_two_sales_claim_one_route(start_stack: StartStack) -> None:
    stack = await start_stack()
    older = flash_sale("older", stock=1)
    younger = flash_sale("younger", stock=1)
    older["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z"
    younger["metadata"]["creationTimestamp"] = "2026-01-02T00:00:00Z"
    stack.write("sales.yaml", younger, older)

    async def decided_by(sale: str) -> None:
        answer = await one(stack, authorization="anna")
        assert answer.status == 200
        assert json.loads(answer.body)["sluice"].get("x-sluice-sale") == sale

    await holds(lambda: decided_by("shop/older"))

    async def said() -> None:
        shown = await stack.sluice("status", "--output", "json")
        assert '"Conflicted"' in shown.out
        assert "is guarded by FlashSale shop/older" in shown.out

    await holds(said, every=0.2)
    # When the winner goes, the other takes over.
    stack.write("sales.yaml", younger)
    await holds(lambda: decided_by("shop/younger"))


async def test_several_routes_on_one_sale_and_one_named_rule(start_stack: StartStack) -> None:
    stack = await start_stack()
    rules = [
        {
            "name": name,
            "matches": [{"path": {"type": "PathPrefix", "value": f"/{name}"}}],
            "backendRefs": [{"name": "shop", "port": 80}],
        }
        for name in ("free", "guarded")
    ]
    stack.write("more.yaml", route("more", stack.gateways, rules=rules))
    target = {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute"}
    stack.write_sale(
        stock=1,
        targetRefs=[
            {**target, "name": "shop"},
            {**target, "name": "more", "sectionName": "guarded"},
        ],
    )
    await stack.open()
    port = stack.ports["edge-a"]
    assert (await get(port, "/sale", authorization="anna")).status == 200
    assert (await get(port, "/guarded", authorization="anna")).status == 200
    assert (await get(port, "/guarded", authorization="bob")).status == 410
    assert tally(await fire([Ask(port, "/free")] * 10, concurrency=2)) == {"200": 10}

    # Without the sale the route is free.
    (stack.manifests / "sale.yaml").unlink()

    async def free() -> None:
        assert (await get(port, "/sale", authorization="carl")).status == 200

    await holds(free)
