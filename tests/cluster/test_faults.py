"""The control plane under all that can happen to an API server, and to the control plane itself.

After each it knows what is on the server and says so, its proxies have lost nothing that stands,
and the writes are those of the changes: to list everything again is no reason to write anything.
`make soak` runs the long ones.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest

from tests.cluster.cluster import prepare
from tests.cluster.ordeal import CATALOGUE, Ordeal, ordeal
from tests.cluster.unsteady_path import UnsteadyPath
from tests.testkit.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from controlplane.local import RedisServer
    from tests.cluster.api_server import ApiServer

pytestmark = [pytest.mark.cluster, pytest.mark.redis, pytest.mark.slow]

OBJECTS = CATALOGUE.gateways + 2 * CATALOGUE.sales
PER_EDIT = 3
"""Writes of status that an edit may lead to: of the sale, of its route, of its gateway."""


@pytest.fixture
async def field(
    api_server: ApiServer, redis_server: RedisServer, tmp_path: Path
) -> AsyncIterator[Ordeal]:
    await prepare(api_server)
    async with ordeal(api_server, redis_server.address, tmp_path) as made:
        yield made


@pytest.fixture
def chance() -> random.Random:
    return random.Random(7)


async def _edits(field: Ordeal, chance: random.Random, number: int) -> None:
    for _ in range(number):
        await field.edit(chance)


async def test_a_server_that_is_killed(field: Ordeal, chance: random.Random) -> None:
    for _ in range(2):
        await field.start()
    await field.settled()
    for edits in (0, 10):
        field.server.kill()
        await field.noticed()
        await field.server.restart()
        # It counts anew from its start. What was listed again is what was known.
        await _edits(field, chance, edits)
        assert await field.settled() <= PER_EDIT * edits * 2


@pytest.mark.parametrize(
    "seconds",
    [
        pytest.param(20, id="briefly"),
        # Longer than a watch may be silent.
        pytest.param(90, marks=[pytest.mark.soak, pytest.mark.timeout(600)], id="for-long"),
    ],
)
async def test_a_server_that_is_paused(
    field: Ordeal, chance: random.Random, seconds: float
) -> None:
    for _ in range(2):
        await field.start()
    before = await field.settled()
    field.server.pause()
    try:
        await asyncio.sleep(seconds)
        for replica in field.replicas:
            assert len((await replica.status())["objects"]) == 1 + OBJECTS
    finally:
        field.server.resume()
    assert await field.settled() == before
    await _edits(field, chance, 10)
    assert await field.settled() <= before + PER_EDIT * 10 * 2


@pytest.mark.parametrize(
    ("seconds", "every"),
    [
        pytest.param(15, 1, id="each-second"),
        pytest.param(60, 5, marks=pytest.mark.soak, id="every-5-s"),
    ],
)
async def test_watches_that_are_cut_again_and_again(
    field: Ordeal, chance: random.Random, seconds: int, every: int
) -> None:
    async with UnsteadyPath(field.server.port) as path:
        for _ in range(2):
            await field.start(url=path.url)
        before = await field.settled()
        edits = 0
        for second in range(seconds):
            await _edits(field, chance, 2)
            edits += 2
            await asyncio.sleep(0.5)
            if second % every == 0:
                path.cut()
            await asyncio.sleep(0.5)
        assert path.cuts > seconds // every
        assert await field.settled() <= before + PER_EDIT * edits * 2


async def test_history_that_is_gone(field: Ordeal, chance: random.Random) -> None:
    async with UnsteadyPath(field.server.port) as path:
        for _ in range(2):
            await field.start(url=path.url)
        await field.settled()
        path.block()
        await field.noticed()
        await _edits(field, chance, 15)
        await field.server.compact()
        # Only a server that has just started knows no more than etcd does.
        field.server.kill()
        await field.server.restart()
        path.unblock()
        assert await field.settled() <= PER_EDIT * 15 * 2


async def test_a_leader_that_is_killed_while_it_writes(
    field: Ordeal, chance: random.Random
) -> None:
    for _ in range(2):
        await field.start()
    before = await field.settled()
    edits = 0
    for _ in range(2):
        leader = await field.leader()
        written = sum((await leader.writes()).values())
        await _edits(field, chance, 20)
        edits += 20

        async def writing() -> bool:
            return sum((await leader.writes()).values()) > written  # noqa: B023 - awaited here

        await eventually(writing, what="it writes")
        leader.process.kill()
        await field.start()
    # Each new leader may write what proxies of the one that is gone have changed, too.
    assert await field.settled() <= before + PER_EDIT * edits * 2 + 2 * 3 * OBJECTS


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("seed", "rounds"),
    [(1, 6), *(pytest.param(seed, 40, marks=pytest.mark.soak) for seed in (2, 3, 4))],
)
async def test_everything_at_once(field: Ordeal, seed: int, rounds: int) -> None:
    chance = random.Random(seed)
    async with UnsteadyPath(field.server.port) as path:
        for _ in range(2):
            await field.start(url=path.url)
        await field.settled()
        for _ in range(rounds):
            await _edits(field, chance, chance.randrange(1, 8))
            await _hurt(field, path, chance)
            if chance.random() < 0.3:
                await field.settled()
        await field.settled()


async def _hurt(field: Ordeal, path: UnsteadyPath, chance: random.Random) -> None:
    """One of the things that happen, and the end of it."""
    server = field.server
    what = chance.choice(["cut", "cut", "kill", "pause", "compact", "leader"])
    if what == "cut":
        path.cut()
    elif what == "kill":
        server.kill()
        await asyncio.sleep(chance.random() * 3)
        await server.restart()
    elif what == "pause":
        server.pause()
        await asyncio.sleep(chance.random() * 15)
        server.resume()
    elif what == "compact":
        path.block()
        await _edits(field, chance, 5)
        await server.compact()
        server.kill()
        await server.restart()
        path.unblock()
    else:
        chance.choice(field.living).process.kill()
        await field.start(url=path.url)
