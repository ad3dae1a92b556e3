"""The live demo: a sale that opens a few seconds from now, a crowd, and a line that shows it."""

from __future__ import annotations

import asyncio
import random
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import httpx

from controlplane.local.demo.crowd import Ask, Crowd, Visitors
from controlplane.local.demo.ground import Ground
from controlplane.local.demo.manifests import PATH, SALE, SALE_FILE, SCENE, STOCK, sale
from controlplane.local.demo.screen import Looker, invite, sale_line, watch
from controlplane.local.errors import LocalError

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console
    from rich.text import Text

OPENS_IN: Final = timedelta(seconds=8)
PEOPLE: Final = 20_000
RATE: Final = 200.0
_IN_FORCE_DEADLINE: Final = 60.0
_ANSWER_DEADLINE: Final = 5.0
_MOMENT: Final = 0.02
_BUYERS: Final = "buyers"


async def live(folder: Path, console: Console, *, seconds: float | None = None) -> int:
    """Run the demo until it is interrupted, or for so many seconds; 0, or 1 when it oversold.

    Raises:
        LocalError: something did not start, or the sale never came into force.
    """
    with console.status("") as status:
        ground = Ground(folder, SCENE, lambda what: status.update(f"{what} ..."))
        async with ground:
            start = datetime.now(UTC) + OPENS_IN
            ground.write(SALE_FILE, sale(start))
            await _until_guarded(ground.url)
            status.stop()
            invite(ground, "the sale", _tries(ground), console)
            crowd = Crowd(ground.edge, [Visitors(_BUYERS, RATE, _buy, sale=SALE, most=STOCK)])

            async def draw(looker: Looker) -> Text:
                tally = crowd.tallies[_BUYERS]
                line = sale_line(await looker.sale(SALE), tally, start, STOCK)
                return line.append(f"   {crowd.rate:.0f} req/s", "dim")

            await watch(ground, crowd, draw, console, seconds)
    return int(crowd.oversold)


def _buy() -> Ask:
    user = f"user-{random.randrange(PEOPLE)}"  # noqa: S311 only a crowd
    return Ask(user, PATH, {"authorization": user})


def _tries(ground: Ground) -> list[str]:
    return [
        f"curl -i -H 'Authorization: me' {ground.url}",
        f"source {ground.environment}",
        "sluice status",
        f"sluice sale watch {SALE}",
        f"sluice data list {SALE}",
        f"sluice sale set-limit {SALE} {STOCK + 50}",
    ]


async def _until_guarded(url: str) -> None:
    """Wait for the sale to be in force: until then the route is open to all."""
    end = time.monotonic() + _IN_FORCE_DEADLINE
    async with httpx.AsyncClient(timeout=_ANSWER_DEADLINE) as client:
        while await _lets_in(client, url):
            if time.monotonic() > end:
                raise LocalError(f"the sale was not in force after {_IN_FORCE_DEADLINE:g} s")
            await asyncio.sleep(_MOMENT)


async def _lets_in(client: httpx.AsyncClient, url: str) -> bool:
    """Whether anybody is let in; no answer is none that refuses."""
    try:
        return (await client.get(url)).is_success
    except httpx.HTTPError:
        return True
