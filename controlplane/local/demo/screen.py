"""What a demo shows while it runs: a line for each kind of visitors, and in the end a sum."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import httpx
from rich.live import Live
from rich.table import Table
from rich.text import Text

from controlplane.local.demo.crowd import IN, KINDS, NO_ANSWER, OTHER, Crowd, Tally

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from rich.console import Console

    from controlplane.local.demo.ground import Ground

_ANSWER_DEADLINE: Final = 5.0
_STEP: Final = 0.5
_STEPS_A_LINE: Final = 10
"""Where there is no terminal, lines are printed every so many steps."""


class Looker:
    """Asks the control plane how sales stand."""

    def __init__(self, server: str, client: httpx.AsyncClient) -> None:
        self._sales = f"{server}/api/v1/sales"
        self._client = client

    async def sale(self, name: str) -> dict[str, Any]:
        """What it says of a sale; nothing while it does not answer."""
        try:
            answer = await self._client.get(f"{self._sales}/{name}")
        except httpx.HTTPError:
            return {}
        return dict(answer.json()) if answer.is_success else {}


def invite(ground: Ground, what: str, tries: Sequence[str], console: Console) -> None:
    """Say where things are, and what could be tried."""
    table = Table.grid(padding=(0, 2))
    table.add_row(what, ground.url)
    table.add_row("its manifests", str(ground.manifests))
    table.add_row("logs", str(ground.folder))
    console.print(table)
    console.print("\nTry in another terminal:", style="bold")
    for line in tries:
        console.print(f"  {line}", highlight=False, soft_wrap=True)
    console.print("\nCtrl-C ends it.\n")


async def watch(
    ground: Ground,
    crowd: Crowd,
    draw: Callable[[Looker], Awaitable[Text]],
    console: Console,
    seconds: float | None,
) -> None:
    """Let the crowd come, and show how it goes, for so many seconds or until interrupted."""
    try:
        async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
            group.create_task(crowd.run(), name="crowd")
            group.create_task(_show(ground, draw, console), name="live lines")
    except TimeoutError:
        pass
    finally:
        _sum_up(crowd, console)


def sale_line(state: dict[str, Any], tally: Tally, start: datetime, most: int) -> Text:
    """How a sale stands, as the control plane sees it, and what its crowd was told."""
    since = (datetime.now(UTC) - start).total_seconds()
    clock = f"opens in {-since:4.1f} s" if since < 0 else f"open for {since:5.1f} s"
    admitted = state.get("admitted")
    return Text.assemble(
        (f"{state.get('state') or 'Unknown':<10}", "bold"),
        f"{clock}   ",
        (f"let in {'?' if admitted is None else admitted}/{state.get('limit') or most}", "green"),
        _refusals(tally),
    )


def quota_line(tally: Tally) -> Text:
    """How many calls got through, and what the last one was told of its limit."""
    told = f"   {tally.limit}" if tally.limit else ""
    let_in = (f"let in {tally.answers[IN]:,}", "green")
    return Text.assemble(let_in, _refusals(tally), (told, "dim"))


def _refusals(tally: Tally) -> str:
    kinds = dict.fromkeys((*KINDS.values(), NO_ANSWER, OTHER, *sorted(tally.answers)))
    counts = ((kind, tally.answers[kind]) for kind in kinds if kind != IN)
    return "".join(f"   {kind} {count:,}" for kind, count in counts if count)


async def _show(
    ground: Ground, draw: Callable[[Looker], Awaitable[Text]], console: Console
) -> None:
    async with httpx.AsyncClient(timeout=_ANSWER_DEADLINE) as client:
        looker = Looker(ground.server, client)
        if not console.is_terminal:
            while True:
                console.print(await draw(looker), soft_wrap=True)
                await asyncio.sleep(_STEP * _STEPS_A_LINE)
        with Live(console=console, auto_refresh=False, transient=False) as lines:
            while True:
                lines.update(await draw(looker), refresh=True)
                await asyncio.sleep(_STEP)


def _sum_up(crowd: Crowd, console: Console) -> None:
    answers = sum((tally.answers for tally in crowd.tallies.values()), Counter[str]())
    winners = sum(len(tally.winners) for tally in crowd.tallies.values())
    refused = answers.total() - answers[IN] - answers[NO_ANSWER]
    console.print(
        f"\n{answers.total():,} requests: {winners} different users let in, "
        f"{refused:,} refusals, {answers[NO_ANSWER]} without an answer."
    )
