"""Parameters and code pushed while users come: no request fails, no permit is lost."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING

import pytest

from tests.testkit.load import Load, fire, tally
from tests.testkit.waiting import holds

if TYPE_CHECKING:
    from tests.envoy.conftest import StartStack
    from tests.envoy.stack import Stack

pytestmark = [pytest.mark.envoy, pytest.mark.redis]


async def in_force(stack: Stack, text: str) -> None:
    """Waits until denied users see this text on every gateway."""
    for name in stack.gateways:
        await stack.answers(text, user="denied", gateway=name)


async def test_100_pushes_under_load(start_stack: StartStack) -> None:
    stack = await start_stack(gateways=("edge-a", "edge-b"))

    def push(number: int) -> None:
        stack.write_sale(
            stock=1_000_000,
            access={"deny": ["denied"]},
            responses={"denied": {"body": f"push {number}."}},
        )

    push(0)
    await stack.open()
    load = Load(stack.asks(f"u-{n}" for n in itertools.count()), concurrency=32, rate=1500)
    async with load:
        for number in range(1, 101):
            push(number)
            if number % 10 == 0:
                await in_force(stack, f"push {number}.")
            else:
                await asyncio.sleep(0.03)
    assert tally(load.answers) == {"200": len(load.answers)}
    # Each has a permit, and keeps it.
    assert len(await stack.permits()) == len(load.answers)
    sample = [dict(a.ask.headers)["authorization"] for a in load.answers[:500]]
    assert tally(await fire(stack.asks(sample), concurrency=32)) == {"200": 500}


async def test_an_edit_sends_one_ecds_resource(start_stack: StartStack) -> None:
    stack = await start_stack()
    stack.write_sale(access={"deny": ["denied"]}, responses={"denied": {"body": "one."}})
    await stack.open()
    await in_force(stack, "one.")
    envoy = stack.envoys["edge-a"]
    pattern = r"(lds|cds|rds|sds|extension_config_discovery)\..*(update_success|config_reload)$"
    pattern += r"|(listener_manager\.lds|cluster_manager\.cds)\.update_success$"
    before = await envoy.stats(pattern)
    stack.write_sale(access={"deny": ["denied"]}, responses={"denied": {"body": "two."}})
    await in_force(stack, "two.")
    after = await envoy.stats(pattern)
    changed = {name for name in after if after[name] != before.get(name, 0)}
    assert changed
    assert all("extension_config_discovery" in name for name in changed), changed
    assert all("flash-sale" in name for name in changed), changed


async def codes(stack: Stack) -> tuple[str, set[str]]:
    """The flash-sale code in force, and what the proxies run by their own word."""
    listed = (await stack.sluice("filters", "list", "--output", "json")).json()
    current = next(
        one["sha256"]
        for one in listed["filters"]
        if one["filter"] == "flash-sale" and one["current"]
    )
    return current, {proxy["code"]["flash-sale"] for proxy in listed["proxies"]}


async def test_new_code_and_back_again(start_stack: StartStack) -> None:
    stack = await start_stack()
    stack.write_sale(stock=1_000_000)
    await stack.open()
    old, running = await codes(stack)
    assert running == {old}

    # The same program with one more custom section: other bytes, the same behaviour.
    source = next((stack.folder / "state" / "filters").glob(f"flash-sale-{old[:12]}*.wasm"))
    newer = stack.folder / "newer.wasm"
    newer.write_bytes(source.read_bytes() + b"\x00\x06\x04note!")
    reload = ("filters", "reload", "--filter", "flash-sale")

    load = Load(stack.asks(f"u-{n}" for n in itertools.count()), concurrency=16, rate=500)
    async with load:
        reloaded = await stack.sluice(*reload, "--file", str(newer))
        assert reloaded.code == 0, reloaded.err
        new, _ = await codes(stack)
        assert new != old

        async def everywhere(code: str) -> None:
            assert await codes(stack) == (code, {code})

        await holds(lambda: everywhere(new), every=0.2)
        back = await stack.sluice(*reload, "--to", old[:12])
        assert back.code == 0, back.err
        await holds(lambda: everywhere(old), every=0.2)
    assert tally(load.answers) == {"200": len(load.answers)}


async def test_the_control_plane_may_go_and_come_back(start_stack: StartStack) -> None:
    stack = await start_stack()
    stack.write_sale(stock=1_000_000, access={"deny": ["denied"]})
    await stack.open()
    load = Load(stack.asks(f"u-{n}" for n in itertools.count()), concurrency=16, rate=500)
    async with load:
        await stack.stop_serving()
        await asyncio.sleep(1)
        stack.write_sale(
            stock=1_000_000,
            access={"deny": ["denied"]},
            responses={"denied": {"body": "while away."}},
        )
        await stack.serve()
        await in_force(stack, "while away.")
        await stack.stop_serving(kill=True)
        await asyncio.sleep(0.5)
        await stack.serve()
    assert tally(load.answers) == {"200": len(load.answers)}
