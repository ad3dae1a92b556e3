"""Never one above the limit: many users, two Envoys of two workers each, 500 permits."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.testkit.load import fire, get, tally
from tests.testkit.redis_commands import command_calls
from tests.testkit.waiting import holds

if TYPE_CHECKING:
    from tests.envoy.conftest import StartStack
    from tests.envoy.stack import Stack

pytestmark = [pytest.mark.envoy, pytest.mark.redis]


async def test_20_000_users_for_500_permits(start_stack: StartStack) -> None:
    stack = await start_stack(gateways=("edge-a", "edge-b"))
    stack.write_sale(stock=500)
    await stack.open()

    users = [f"user-{n}" for n in range(20_000)]
    answers = await fire(stack.asks(users), concurrency=200)
    winners = [a for a in answers if a.status == 200]
    assert tally(answers) == {"200": 500, "410": 19_500}
    assert {a.text for a in answers if a.status == 410} == {"Sold out.\n"}
    assert all(a.header("cache-control") == "no-store" for a in answers if a.status == 410)

    numbers = {dict(w.ask.headers)["authorization"]: shop_saw(w.body) for w in winners}
    assert len(set(numbers.values())) == 500
    assert len(await stack.permits()) == 500
    await stack.shows(admitted=500, remaining=0, state="SoldOut")

    # A second try by every winner succeeds, with the same permit, through the other proxy too.
    again = await fire(
        (stack.ask(user, gateway=name) for user in numbers for name in stack.gateways),
        concurrency=200,
    )
    assert tally(again) == {"200": 1000}
    assert all(shop_saw(a.body) == numbers[dict(a.ask.headers)["authorization"]] for a in again)


async def test_a_known_user_costs_no_redis_command(start_stack: StartStack) -> None:
    stack = await start_stack(gateways=("edge-a", "edge-b"))
    stack.write_sale(stock=100)
    await stack.open()
    users = [f"user-{n}" for n in range(100)]
    assert tally(await fire(stack.asks(users), concurrency=20)) == {"200": 100}
    await known_everywhere(stack, users)

    before = await command_calls(stack.redis)
    again = [stack.ask(u, gateway=g) for u in users for g in stack.gateways for _ in range(10)]
    assert tally(await fire(again, concurrency=100)) == {"200": 2000}
    sent = await command_calls(stack.redis) - before
    # `admit` is the only script that looks a user up.
    assert sent["hget"] == 0, sent


async def test_a_limit_moves_while_the_sale_runs(start_stack: StartStack) -> None:
    stack = await start_stack()
    stack.write_sale(stock=10)
    await stack.open()
    port = stack.ports["edge-a"]
    first = await fire(stack.asks(f"a-{n}" for n in range(50)), concurrency=10)
    assert tally(first) == {"200": 10, "410": 40}

    stack.write_sale(stock=20)

    async def reopened() -> None:
        assert (await get(port, "/sale", authorization="b-0")).status == 200

    await holds(reopened)
    await stack.polled()
    second = await fire(stack.asks(f"b-{n}" for n in range(50)), concurrency=10)
    assert tally(second) == {"200": 10, "410": 40}

    # Below what is sold: it sells no more, and takes nothing back.
    stack.write_sale(stock=5)
    await stack.shows(limit=5)
    third = await fire(stack.asks(f"c-{n}" for n in range(50)), concurrency=10)
    assert tally(third) == {"410": 50}
    winners = [dict(a.ask.headers)["authorization"] for a in first + second if a.status == 200]
    assert tally(await fire(stack.asks(winners), concurrency=10)) == {"200": len(winners)}

    raised = await stack.sluice("sale", "set-limit", "shop/laptop", "21")
    assert raised.code == 0, raised.err

    async def one_more() -> None:
        assert (await get(port, "/sale", authorization="d-0")).status == 200

    await holds(one_more)
    assert (await get(port, "/sale", authorization="d-1")).status == 410


async def known_everywhere(stack: Stack, users: list[str]) -> None:
    """Waits until a round through all proxies asks Redis about nobody."""

    async def quiet() -> None:
        before = await command_calls(stack.redis)
        asks = [stack.ask(u, gateway=g) for u in users for g in stack.gateways for _ in range(4)]
        await fire(asks, concurrency=50)
        assert (await command_calls(stack.redis) - before)["hget"] == 0

    await holds(quiet, every=0.1)


def shop_saw(body: bytes) -> str:
    """The permit number that reached the shop."""
    return str(json.loads(body)["sluice"]["x-sluice-permit"])
