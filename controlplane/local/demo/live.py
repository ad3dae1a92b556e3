"""The live demo: a sale that opens a few seconds from now, a crowd, and a line that shows it."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import httpx
from rich.live import Live
from rich.table import Table
from rich.text import Text

from controlplane.local.demo.crowd import IN, NO_ANSWER, Crowd
from controlplane.local.demo.ground import Ground
from controlplane.local.demo.manifests import SALE, Terms, write_sale
from controlplane.local.errors import LocalError

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

STOCK: Final = 100
OPENS_IN: Final = timedelta(seconds=8)
PEOPLE: Final = 20_000
RATE: Final = 200.0
RATIO: Final = 0.7
_IN_FORCE_DEADLINE: Final = 60.0
_ANSWER_DEADLINE: Final = 5.0
_MOMENT: Final = 0.02
_STEP: Final = 0.5
_STEPS_A_LINE: Final = 10
"""Where there is no terminal, a line is printed every so many steps."""

_KINDS: Final = {
    "not started": "not started",
    "Not this time": "lottery lost",
    "Sold out": "sold out",
    "cannot answer": "unavailable",
    "suspended": "suspended",
    "is over": "ended",
}


async def live(folder: Path, console: Console, *, seconds: float | None = None) -> int:
    """Run the demo until it is interrupted, or for so many seconds; 0, or 1 when it oversold.

    Raises:
        LocalError: something did not start, or the sale never came into force.
    """
    with console.status("") as status:
        ground = Ground(folder, lambda what: status.update(f"{what} ..."))
        async with ground:
            start = datetime.now(UTC) + OPENS_IN
            write_sale(ground.manifests, Terms(start, STOCK, RATIO, "PerUser"))
            await _until_guarded(ground.url)
            status.stop()
            _invite(ground, console)
            crowd = Crowd(ground.url, people=PEOPLE, rate=RATE, name_of=kind_of)
            try:
                async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
                    group.create_task(crowd.run(), name="crowd")
                    group.create_task(_show(ground, crowd, start, console), name="live line")
            except TimeoutError:
                pass
            finally:
                _sum_up(crowd, console)
    return int(len(crowd.winners) > STOCK)


def kind_of(text: str) -> str:
    """The kind of a refusal, by what it says."""
    return next((kind for words, kind in _KINDS.items() if words in text), "other")


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


def _invite(ground: Ground, console: Console) -> None:
    table = Table.grid(padding=(0, 2))
    table.add_row("the sale", ground.url)
    table.add_row("its manifests", str(ground.manifests))
    table.add_row("logs", str(ground.folder))
    console.print(table)
    console.print("\nTry in another terminal:", style="bold")
    for line in (
        f"curl -i -H 'Authorization: me' {ground.url}",
        f"source {ground.environment}",
        "sluice status",
        f"sluice sale watch {SALE}",
        f"sluice data list {SALE}",
        f"sluice sale set-limit {SALE} {STOCK + 50}",
    ):
        console.print(f"  {line}", highlight=False, soft_wrap=True)
    console.print("\nCtrl-C ends it.\n")


async def _show(ground: Ground, crowd: Crowd, start: datetime, console: Console) -> None:
    url = f"{ground.server}/api/v1/sales/{SALE}"
    async with httpx.AsyncClient(timeout=_ANSWER_DEADLINE) as client:
        if not console.is_terminal:
            while True:
                console.print(_line(await _state(client, url), crowd, start), soft_wrap=True)
                await asyncio.sleep(_STEP * _STEPS_A_LINE)
        with Live(console=console, auto_refresh=False, transient=False) as line:
            while True:
                line.update(_line(await _state(client, url), crowd, start), refresh=True)
                await asyncio.sleep(_STEP)


async def _state(client: httpx.AsyncClient, url: str) -> dict[str, Any]:
    """What the control plane says of the sale; nothing while it does not answer."""
    try:
        answer = await client.get(url)
    except httpx.HTTPError:
        return {}
    return dict(answer.json()) if answer.is_success else {}


def _line(state: dict[str, Any], crowd: Crowd, start: datetime) -> Text:
    since = (datetime.now(UTC) - start).total_seconds()
    clock = f"opens in {-since:4.1f} s" if since < 0 else f"open for {since:5.1f} s"
    admitted = state.get("admitted")
    text = Text.assemble(
        (f"{state.get('state') or 'Unknown':<10}", "bold"),
        f"{clock}   ",
        (f"let in {'?' if admitted is None else admitted}/{state.get('limit') or STOCK}", "green"),
    )
    for kind in dict.fromkeys((*_KINDS.values(), NO_ANSWER, "other")):
        if crowd.answers[kind]:
            text.append(f"   {kind} {crowd.answers[kind]:,}")
    text.append(f"   {crowd.rate:.0f} req/s", "dim")
    return text


def _sum_up(crowd: Crowd, console: Console) -> None:
    refused = crowd.answers.total() - crowd.answers[IN] - crowd.answers[NO_ANSWER]
    console.print(
        f"\n{crowd.answers.total():,} requests: {len(crowd.winners)} different users let in, "
        f"{refused:,} refusals, {crowd.answers[NO_ANSWER]} without an answer."
    )
