"""Never one request above the limit: two Envoys of two workers each, 200 requests at a time."""

from __future__ import annotations

import asyncio
import calendar
import itertools
import re
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from redis.asyncio import Redis

from tests.envoy.quotas import ask, in_force, limit, one, quota, standing
from tests.testkit.load import Load, fire, tally
from tests.testkit.waiting import holds

if TYPE_CHECKING:
    from tests.envoy.conftest import StartStack
    from tests.envoy.stack import Stack
    from tests.testkit.load import Answer

pytestmark = [pytest.mark.envoy, pytest.mark.redis]

BOTH = ("edge-a", "edge-b")
LIMIT = 300
CROWD = 2_000


async def crowd(stack: Stack, key: str, *, count: int = CROWD) -> list[Answer]:
    """Many requests of one consumer, gateways taking turns."""
    asks = (ask(stack, key, gateway=BOTH[n % 2]) for n in range(count))
    return await fire(asks, concurrency=200)


@pytest.mark.parametrize(
    ("algorithm", "window"),
    [
        ("FixedWindow", {"per": "8784h"}),
        ("SlidingWindow", {"per": "8784h"}),
        ("Calendar", {"unit": "Year", "timeZone": "Europe/Berlin"}),
        # Drains by less than one in the time that any test takes.
        ("TokenBucket", {"per": "8784h", "burst": LIMIT}),
    ],
)
async def test_each_algorithm(
    start_stack: StartStack, algorithm: str, window: dict[str, Any]
) -> None:
    stack = await start_stack(gateways=BOTH)
    stack.write("quota.yaml", quota(limit("year", algorithm=algorithm, requests=LIMIT, **window)))
    days = 366 if algorithm != "Calendar" or calendar.isleap(datetime.now(UTC).year) else 365
    await in_force(stack, f'"year";q={LIMIT};w={days * 86400}')

    answers = await crowd(stack, "anna")
    assert tally(answers) == {"200": LIMIT, "429": CROWD - LIMIT}
    refused = [a for a in answers if a.status == 429]
    assert all(re.fullmatch(r'"year";r=0;t=[1-9]\d*', a.header("ratelimit") or "") for a in refused)
    assert all(int(a.header("retry-after") or 0) >= 1 for a in refused)
    # Another consumer has an account of its own.
    assert (await one(stack, "bob")).status == 200
    assert (await standing(stack, "anna"))["year"]["remaining"] == 0


async def test_all_or_nothing(start_stack: StartStack) -> None:
    stack = await start_stack(gateways=BOTH)
    small = limit("small", requests=10)
    wide = limit("wide", requests=100_000, key=[])
    stack.write("quota.yaml", quota(wide, small))
    await in_force(stack, '"wide";q=100000;w=31622400, "small";q=10;w=31622400')
    before = (await standing(stack))["wide"]["used"]

    answers = await crowd(stack, "anna", count=500)
    assert tally(answers) == {"200": 10, "429": 490}
    # What `small` refused has cost `wide` nothing.
    assert (await standing(stack))["wide"]["used"] == before + 10


async def test_several_windows_of_one_limit(start_stack: StartStack) -> None:
    stack = await start_stack()
    windows = [{"requests": 50, "per": "4392h"}, {"requests": 60, "per": "8784h"}]
    stack.write("quota.yaml", quota(limit("both", windows=windows)))
    await in_force(stack, '"both";q=50;w=15811200, "both.2";q=60;w=31622400')
    answers = await fire((ask(stack, "anna") for _ in range(200)), concurrency=50)
    assert tally(answers) == {"200": 50, "429": 150}
    shown = await stack.sluice("quota", "get", "shop/api", "--key", "anna", "--output", "json")
    (counter,) = shown.json()["counters"]
    assert [window["used"] for window in counter["windows"]] == [50, 50]
    await nothing_stays_for_ever(stack)


async def nothing_stays_for_ever(stack: Stack) -> None:
    """Every counter in Redis has an end."""
    client = Redis.from_url(stack.redis.url, decode_responses=True)
    try:
        lives = [await client.pttl(key) async for key in client.scan_iter("sluice:{quota}:*")]
    finally:
        await client.aclose()
    assert lives
    assert all(life > 0 for life in lives)


async def test_gateway_route_and_rule_apply_together(start_stack: StartStack) -> None:
    stack = await start_stack()
    gateway = quota(
        limit("all", requests=1000, key=[]),
        name="edge",
        target={"kind": "Gateway", "name": "edge-a"},
    )
    rule = quota(
        limit("rule", requests=3),
        name="rule",
        target={"kind": "HTTPRoute", "name": "shop", "sectionName": "sale"},
    )
    stack.write("quota.yaml", gateway, quota(limit("route", requests=5)), rule)
    await in_force(stack, '"all";q=1000;w=31622400, "route";q=5;w=31622400, "rule";q=3;w=31622400')
    answers = await fire((ask(stack, "anna") for _ in range(10)), concurrency=1)
    assert [a.status for a in answers] == [200] * 3 + [429] * 7
    assert (await standing(stack, "anna"))["route"]["used"] == 3


async def test_a_changed_number_keeps_the_counters_and_a_changed_window_does_not(
    start_stack: StartStack,
) -> None:
    stack = await start_stack()
    stack.write("quota.yaml", quota(limit("per-key", requests=5)))
    await in_force(stack, '"per-key";q=5;w=31622400')
    assert tally(await fire([ask(stack, "anna")] * 8, concurrency=1)) == {"200": 5, "429": 3}

    stack.write("quota.yaml", quota(limit("per-key", requests=7)))
    await in_force(stack, '"per-key";q=7;w=31622400')

    let_in = 0
    while let_in < 2:  # what a worker has refused it knows for a second
        let_in += (await one(stack, "anna")).status == 200
    assert tally(await fire([ask(stack, "anna")] * 8, concurrency=1)) == {"429": 8}

    stack.write("quota.yaml", quota(limit("per-key", requests=7, per="4392h")))
    await in_force(stack, '"per-key";q=7;w=15811200')
    assert tally(await fire([ask(stack, "anna")] * 9, concurrency=1)) == {"200": 7, "429": 2}


async def test_edits_under_load_lose_nothing(start_stack: StartStack) -> None:
    """New numbers, new answers, limits that come and go: no request fails, each is counted once."""
    stack = await start_stack(gateways=BOTH)
    names = [f"user-{n}" for n in range(20)]

    def push(number: int) -> str:
        amount = 1_000_000 + number
        coming = [limit("coming", requests=amount)] if number % 2 else []
        body = {"limited": {"body": f"Push {number}."}}
        limits = [limit("per-key", requests=amount, plain=True), *coming]
        stack.write("quota.yaml", quota(*limits, responses=body))
        return ", ".join(f'"{one["name"]}";q={amount};w=31622400' for one in limits)

    await in_force(stack, push(0))
    asks = (ask(stack, names[n % 20], gateway=BOTH[n % 2]) for n in itertools.count())
    async with Load(asks, concurrency=32, rate=800) as load:
        for number in range(1, 31):
            policy = push(number)
            if number % 10 == 0:
                await in_force(stack, policy)
            else:
                await asyncio.sleep(0.05)
    assert tally(load.answers) == {"200": len(load.answers)}
    asked = Counter(dict(a.ask.headers)["x-api-key"] for a in load.answers)
    top = ("quota", "top", "shop/api", "--limit", "per-key", "--count", "100")
    (place,) = (await stack.sluice(*top, "--output", "json")).json()["places"]
    used = {one["consumer"]: one["used"] for one in place["consumers"]}
    assert {name: used[name] for name in names} == asked


async def test_by_hand(start_stack: StartStack) -> None:
    """What an operator can do for a consumer, and how soon all workers know."""
    stack = await start_stack()
    stack.write("quota.yaml", quota(limit("per-key", requests=5)))
    await in_force(stack, '"per-key";q=5;w=31622400')
    assert tally(await fire([ask(stack, "anna")] * 8, concurrency=1)) == {"200": 5, "429": 3}

    async def let_in() -> None:
        assert (await one(stack, "anna")).status == 200

    reset = await stack.sluice("quota", "reset", "shop/api", "--key", "anna")
    assert reset.code == 0, reset.err
    await holds(let_in)
    left = (await standing(stack, "anna"))["per-key"]["remaining"]
    more = ("--limit", "per-key", "--key", "anna")
    charged = await stack.sluice("quota", "adjust", "shop/api", *more, "--charge", str(left))
    assert charged.code == 0, charged.err
    assert (await one(stack, "anna")).status == 429
    given = await stack.sluice("quota", "adjust", "shop/api", *more, "--give-back", "1")
    assert given.code == 0, given.err
    await holds(let_in)
    assert "anna" not in stack.log.read_text()
