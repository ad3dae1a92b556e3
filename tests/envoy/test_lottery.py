"""The lottery: its share is right, and trying again within a round changes nothing."""

from __future__ import annotations

import math
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tests.envoy.stack import in_
from tests.testkit.load import fire, tally

if TYPE_CHECKING:
    from tests.envoy.conftest import StartStack

pytestmark = [pytest.mark.envoy, pytest.mark.redis]

USERS = 100_000


@pytest.mark.slow
async def test_the_share_of_100_000_users(start_stack: StartStack) -> None:
    stack = await start_stack()
    ratio = 0.9
    # Two rounds may be seen (start and redraw fall where they fall), so one round is made long.
    stack.write_sale(
        stock=1_000_000,
        schedule={"startTime": in_(-timedelta(minutes=1))},
        admission={"blockRatio": ratio, "redrawInterval": "1h"},
    )
    await stack.open()
    answers = await fire(stack.asks(f"user-{n}" for n in range(USERS)), concurrency=200)
    counts = Counter(a.error or (str(a.status) if a.status == 200 else a.text) for a in answers)
    blocked = counts["Not this time. Please try again later.\n"]
    assert blocked + counts["200"] == USERS, counts
    # Five standard deviations of a binomial: wrong once in two million runs.
    spread = 5 * math.sqrt(USERS * ratio * (1 - ratio))
    assert abs(blocked - USERS * ratio) < spread, counts

    # The blocked stay blocked, the lucky stay lucky.
    losers = [dict(a.ask.headers)["authorization"] for a in answers if a.status == 503][:2000]
    again = await fire(stack.asks(losers * 3), concurrency=200)
    assert tally(again) == {"503": 6000}
    assert all(0 < int(a.header("retry-after") or 0) <= 3600 for a in again)
