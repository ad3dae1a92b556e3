"""A sample, live: a crowd that does what it is about, and a line for each kind of visitors."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from rich.text import Text

from controlplane.local.demo.crowd import Crowd, Visitors
from controlplane.local.demo.ground import Ground
from controlplane.local.demo.recipes import RECIPES
from controlplane.local.demo.screen import Looker, invite, quota_line, sale_line, watch
from controlplane.local.demo.staging import Sample

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

_OPENS_IN: Final = timedelta(seconds=8)


async def show(name: str, folder: Path, console: Console, *, seconds: float | None = None) -> int:
    """Show a sample until interrupted, or for so many seconds; 0, or 1 when a sale oversold.

    Raises:
        LocalError: something did not start.
    """
    recipe = RECIPES[name]
    sample = Sample(name, recipe.path)
    with console.status("") as status:
        ground = Ground(folder, sample.scene, lambda what: status.update(f"{what} ..."))
        async with ground:
            start = datetime.now(UTC) + _OPENS_IN
            sample.start(ground, start)
            status.stop()
            tries = [line.format(edge=ground.edge) for line in recipe.tries]
            invite(ground, "the sample", [f"source {ground.environment}", *tries], console)
            crowd = Crowd(ground.edge, recipe.visitors, recipe.words)

            async def draw(looker: Looker) -> Text:
                lines = [await _line(looker, crowd, kind, start) for kind in crowd.visitors]
                reached = f"{crowd.rate:.0f} req/s, {ground.shop.requests:,} reached the shop"
                return Text("\n").join([*lines, Text(reached, "dim")])

            await watch(ground, crowd, draw, console, seconds)
    return int(crowd.oversold)


async def _line(looker: Looker, crowd: Crowd, kind: Visitors, start: datetime) -> Text:
    tally = crowd.tallies[kind.name]
    width = max(len(one.name) for one in crowd.visitors) + 2
    if not kind.sale:
        return Text(f"{kind.name:<{width}}").append_text(quota_line(tally))
    line = sale_line(await looker.sale(kind.sale), tally, start, kind.most)
    return Text(f"{kind.name:<{width}}").append_text(line)
