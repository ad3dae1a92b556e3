from __future__ import annotations

import asyncio

import httpx
import pytest

from controlplane.local import Shop, free_port
from controlplane.local.demo import RECIPES
from controlplane.local.demo.crowd import IN, KINDS, NO_ANSWER, Ask, Crowd, Visitors, kind_of
from controlplane.local.demo.screen import quota_line
from tests.testkit.waiting import eventually


def coming(crowd: Crowd, *, until: int) -> asyncio.Task[None]:
    async def come() -> None:
        running = asyncio.create_task(crowd.run())
        try:
            await eventually(lambda: total(crowd) >= until, what="a crowd")
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    return asyncio.create_task(come())


def total(crowd: Crowd) -> int:
    return sum(tally.answers.total() for tally in crowd.tallies.values())


async def test_each_kind_comes_and_is_counted_for_itself(shop: Shop) -> None:
    kinds = [
        Visitors("often", 300.0, lambda: Ask("a", "/buy", {"authorization": "a"}), most=1),
        Visitors("rarely", 100.0, lambda: Ask("b", "/b", {"x-api-key": "b"}, "POST", b"{}")),
    ]
    crowd = Crowd(f"http://{shop.address}", kinds)
    await coming(crowd, until=200)
    often, rarely = (crowd.tallies[kind.name] for kind in kinds)
    assert often.answers[IN] > rarely.answers[IN] > 0
    assert (often.winners, rarely.winners) == ({"a"}, {"b"})
    assert set(shop.orders) == {"a", "b"}
    assert crowd.rate > 0
    assert not crowd.oversold


async def test_one_more_than_may_is_oversold(shop: Shop) -> None:
    users = iter(range(10**6))
    crowd = Crowd(
        f"http://{shop.address}",
        [Visitors("buyers", 500.0, lambda: Ask(str(next(users)), "/", {}), most=3)],
    )
    await coming(crowd, until=4)
    assert crowd.oversold


async def test_no_answer_is_counted() -> None:
    kinds = [Visitors("all", 100.0, lambda: Ask("a", "/", {}))]
    crowd = Crowd(f"http://127.0.0.1:{free_port()}", kinds)
    await coming(crowd, until=3)
    assert crowd.tallies["all"].answers[NO_ANSWER] >= 3
    assert not crowd.tallies["all"].winners


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (httpx.Response(410, text="Sold out.\n"), "sold out"),
        (httpx.Response(303, headers={"location": "https://a/soon.html"}), "soon"),
        (httpx.Response(429, text="Too many requests."), "over the limit"),
        (httpx.Response(500), "other"),
    ],
)
def test_refusals_have_names(answer: httpx.Response, kind: str) -> None:
    assert kind_of(answer, {"soon.html": "soon", **KINDS}) == kind


def test_what_is_shown() -> None:
    crowd = Crowd("", RECIPES["quota-requests"].visitors)
    tally = crowd.tallies["alice"]
    tally.answers.update({IN: 10, "over the limit": 5, "odd": 1, NO_ANSWER: 2})
    tally.limit = '"per-key";r=0;t=7'
    assert quota_line(tally).plain == (
        'let in 10   no answer 2   odd 1   over the limit 5   "per-key";r=0;t=7'
    )
