"""The classic recipe, word for word: ratio 0.4, three permits, a new draw on every request."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.envoy.stack import SALE, Stack, flash_sale, in_, route
from tests.testkit.load import fire, get, tally
from tests.testkit.waiting import holds

if TYPE_CHECKING:
    from tests.envoy.conftest import StartStack

pytestmark = [pytest.mark.envoy, pytest.mark.redis]

RECIPE: dict[str, Any] = {
    "stock": 3,
    "admission": {"blockRatio": 0.4, "maxPermits": 3, "draw": "PerRequest"},
}


async def insist(stack: Stack, user: str, *, tries: int = 60) -> list[int]:
    """Asks again and again, on one connection after the other; the statuses up to a 200."""
    statuses = []
    for _, name in zip(range(tries), itertools.cycle(stack.gateways), strict=False):
        answer = await get(stack.ports[name], "/sale", authorization=user)
        statuses.append(answer.status)
        if answer.status == 200:
            break
    return statuses


async def test_before_the_start_everyone_is_told_so(start_stack: StartStack) -> None:
    stack = await start_stack(gateways=("edge-a", "edge-b"))
    stack.write_sale(schedule={"startTime": in_(timedelta(hours=1))}, **RECIPE)
    for name in stack.gateways:
        await stack.answers("not started", gateway=name)
    stack.shop.orders.clear()  # made before the sale was there
    answers = await fire(stack.asks(f"user-{n}" for n in range(200)), concurrency=20)
    assert tally(answers) == {"503": 200}
    assert all(0 < int(answer.header("retry-after") or 0) <= 3600 for answer in answers)
    assert stack.shop.requests == 0


async def test_the_recipe(start_stack: StartStack) -> None:
    stack = await start_stack(gateways=("edge-a", "edge-b"))
    stack.write_sale(**RECIPE)
    await stack.open()

    # A refused user may get in on a later try, and three do.
    refused_first = 0
    for n in range(3):
        statuses = await insist(stack, f"early-{n}")
        assert statuses[-1] == 200, statuses
        refused_first += statuses[0] != 200
    permits = await stack.permits()
    assert len(permits) == 3

    # Once let in, always let in: through any worker of any proxy.
    again = [f"early-{n % 3}" for n in range(300)]
    assert tally(await fire(stack.asks(again), concurrency=50)) == {"200": 300}

    # The fourth is refused for ever.
    late = await fire(stack.asks(["late"] * 200), concurrency=20)
    assert {a.status for a in late} <= {410, 503}, tally(late)
    await stack.answers("Sold out", user="late")
    assert set(await stack.permits()) == set(permits)

    # By hand, two more; every worker honours it.
    applied = await stack.sluice("data", "apply", SALE, stdin="users:\n- id: late\n- id: later\n")
    assert applied.code == 0, applied.err
    assert len(await stack.permits()) == 5

    async def honoured() -> None:
        answers = await fire(stack.asks(["late", "later"] * 20), concurrency=40)
        assert tally(answers) == {"200": 40}

    await holds(honoured)

    # Forget everybody, and there is room again.
    deleted = await stack.sluice("data", "delete", SALE, "--all", "--yes")
    assert deleted.code == 0, deleted.err
    assert await stack.permits() == []

    async def room() -> None:
        assert (await insist(stack, "fresh"))[-1] == 200

    await holds(room)


async def test_a_user_refused_once_gets_in_later(start_stack: StartStack) -> None:
    stack = await start_stack()
    stack.write_sale(
        **{**RECIPE, "stock": 100, "admission": {**RECIPE["admission"], "maxPermits": 100}}
    )
    await stack.open()
    runs = [await insist(stack, f"user-{n}") for n in range(30)]
    assert all(run[-1] == 200 for run in runs)
    assert any(len(run) > 1 for run in runs), "with ratio 0.4 some of 30 users lose a draw"


async def test_a_second_sale_needs_only_a_second_manifest(start_stack: StartStack) -> None:
    stack = await start_stack()
    stack.write_sale(**RECIPE)
    await stack.open()
    rule = {
        "name": "phone",
        "matches": [{"path": {"type": "PathPrefix", "value": "/phone"}}],
        "backendRefs": [{"name": "shop", "port": 80}],
    }
    stack.write(
        "phone.yaml",
        route("phone", stack.gateways, rules=[rule]),
        flash_sale("phone", route="phone", stock=1),
    )

    async def first() -> None:
        assert (await get(stack.ports["edge-a"], "/phone", authorization="a")).status == 200

    async def second() -> None:  # a worker's view of books that were just opened is a look old
        assert (await get(stack.ports["edge-a"], "/phone", authorization="b")).status == 410

    await holds(first)
    await holds(second)
    assert (await insist(stack, "b"))[-1] == 200
