"""Two control planes that keep the same books, each with proxies of its own.

One closes them for want of a proxy that the other has never heard of. They stay closed until that
proxy goes on, at whichever of the two it turns up.
"""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING

import pytest

from controlplane.ledger.presence import Connected
from controlplane.ledger.state import BOOKS_LOST, MAX_MISSED, NOBODY, Closure
from tests.unit.ledger.desk import A, desk, restart_empty
from tests.unit.ledger.plans import GATEWAY, sale_plan

if TYPE_CHECKING:
    from pathlib import Path

    from controlplane.local import RedisServer

B = Connected("proxy-b", GATEWAY, fresh=True, since=1)


@pytest.mark.redis
async def test_books_stay_closed_until_the_proxy_that_one_of_them_missed_goes_on(
    redis_server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controlplane.ledger.keeper.LIFT_AFTER_SECONDS", 0.3)
    plan = sale_plan(redis_server)
    async with desk(tmp_path / "a", plan) as sure, desk(tmp_path / "b", plan) as unsure:
        sure.presence.update([A])
        unsure.presence.update([B])
        await sure.ready()
        await unsure.ready()
        await sure.books.grant(["a"])
        await sure.copied(1)
        await unsure.copied(1)
        redis_server.kill()
        await unsure.failing()
        unsure.presence.update([])
        await restart_empty(redis_server)
        closed = {"closed": BOOKS_LOST, "lost_proxies": ("proxy-b",), "healing": False}
        await sure.until("closed, as the other one sees to it", **closed)
        await unsure.until("closed", **closed)
        # Sure of its own proxies, and far longer than it would take to lift a closure.
        await asyncio.sleep(1.5)
        await sure.until("still closed", **closed)
        sure.presence.update([A, dataclasses.replace(B, since=2)])  # afresh: it remembers nothing
        await asyncio.sleep(1.0)
        await sure.until("still closed", **closed)
        sure.presence.update([A, dataclasses.replace(B, fresh=False, since=3)])
        await sure.ready(closed="", admitted=1, lost_proxies=())
        await unsure.ready(closed="", admitted=1)


@pytest.mark.parametrize(
    "closure",
    [
        Closure(),
        Closure(BOOKS_LOST),
        Closure(BOOKS_LOST, (("shop/edge", "edge 1"), ("shop/other", 'a"b,]'))),
        Closure.without(tuple(("shop/edge", str(n)) for n in range(MAX_MISSED))),
    ],
    ids=str,
)
def test_a_closure_is_read_as_it_was_written(closure: Closure) -> None:
    assert Closure.parse(str(closure)) == closure


def test_of_proxies_that_cannot_be_told_nobody_comes_back() -> None:
    many = tuple(("shop/edge", str(n)) for n in range(MAX_MISSED + 1))
    assert Closure.parse(str(Closure.without(many))).missed == (*many[:MAX_MISSED], NOBODY)
    for text in ("BooksLost [", "BooksLost [1]", "BooksLost 7"):
        assert Closure.parse(text) == Closure(BOOKS_LOST, (NOBODY,))
