"""The classic recipe, walked through step by step, each step checked.

Before the start everyone gets "not started"; afterwards a refused user may get in on a later try;
who was let in once is always let in; after three users the fourth is refused for ever; lists can be
read, added to and emptied by command.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import httpx

from controlplane.local.demo.ground import Ground
from controlplane.local.demo.manifests import SALE, Terms, write_sale

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rich.console import Console

STOCK: Final = 3
RATIO: Final = 0.4
OPENS_IN: Final = timedelta(seconds=3)
_DEADLINE: Final = 30.0
_LATER: Final = timedelta(hours=1)
_MANY: Final = 40
_OK: Final = 200


class StepError(Exception):
    """A step of the walk did not go as it should; says what was seen instead."""


async def walk(folder: Path, console: Console) -> int:
    """Walk the recipe with real parts; 0 when every step went as it should, else 1."""
    with console.status("") as status:
        ground = Ground(folder, lambda what: status.update(f"{what} ..."))
        async with ground, httpx.AsyncClient(timeout=15.0) as client:
            status.stop()
            steps = _Walk(ground, client, lambda said: console.print(said, soft_wrap=True))
            try:
                await steps.all()
            except StepError as error:
                console.print(f"[red]FAILED[/red]  {error}", soft_wrap=True)
                return 1
    console.print("\nEvery step went as it should.")
    return 0


class _Walk:
    def __init__(
        self, ground: Ground, client: httpx.AsyncClient, say: Callable[[str], None]
    ) -> None:
        self._ground = ground
        self._client = client
        self._say = say
        self._winners: list[str] = []

    async def all(self) -> None:
        await self._not_started()
        await self._three_get_in()
        await self._always_let_in()
        await self._fourth_is_refused()
        await self._listed()
        await self._two_more()
        await self._emptied()

    async def _not_started(self) -> None:
        # An hour is longer than any machine takes to put it in force.
        self._write(datetime.now(UTC) + _LATER)
        await self._until("everyone is told to wait", "early", "not started")
        self._done("before the start", "everyone is told so")

    async def _three_get_in(self) -> None:
        start = datetime.now(UTC) + OPENS_IN
        self._write(start)
        await self._until("the sale opens", "first", None)
        if datetime.now(UTC) < start:
            raise StepError("the sale opened before its time")
        self._winners = ["first"]
        tries = 0
        for user in ("second", "third"):
            tries += await self._insist(user)
            self._winners.append(user)
        self._done("after the start", f"three get in; the last two needed {tries} tries")

    async def _always_let_in(self) -> None:
        for number in range(_MANY):
            user = self._winners[number % STOCK]
            answer = await self._ask(user)
            if answer.status_code != _OK:
                raise StepError(f"{user} was let in and is now answered {answer.text!r}")
        self._done("let in once", f"let in always: {_MANY} tries of the three, none refused")

    async def _fourth_is_refused(self) -> None:
        for _ in range(_MANY):
            answer = await self._ask("fourth")
            if answer.status_code == _OK:
                raise StepError(f"a fourth user got in, with {STOCK} permits")
        await self._until("the fourth is told why", "fourth", "Sold out")
        self._done("the fourth", f"refused {_MANY} times out of {_MANY}")

    async def _listed(self) -> None:
        users = await self._users()
        if len(users) != STOCK:
            raise StepError(f"sluice data list shows {len(users)} users, not {STOCK}")
        self._done("sluice data list", "shows the three")

    async def _two_more(self) -> None:
        by_hand = "users:\n- id: fourth\n- id: fifth\n"
        await self._ground.sluice("data", "apply", SALE, stdin=by_hand)
        for user in ("fourth", "fifth"):
            await self._until(f"{user} is let in by hand", user, None)
        if len(await self._users()) != STOCK + 2:
            raise StepError("sluice data list does not show the two that were added")
        self._done("sluice data apply", "adds two more, in force at once")

    async def _emptied(self) -> None:
        await self._ground.sluice("data", "delete", SALE, "--all", "--yes")
        if await self._users():
            raise StepError("sluice data list is not empty after a delete")
        await self._until("there is room again", "sixth", None)
        self._done("sluice data delete", "empties the list; there is room again")

    # ------------------------------------------------------------------------------------- inside

    def _write(self, start: datetime) -> None:
        write_sale(self._ground.manifests, Terms(start, STOCK, RATIO, "PerRequest"))

    def _done(self, what: str, how: str) -> None:
        self._say(f"[green]ok[/green]  {what:<20} {how}")

    async def _ask(self, user: str) -> httpx.Response:
        try:
            return await self._client.get(self._ground.url, headers={"authorization": user})
        except httpx.HTTPError as error:
            raise StepError(f"no answer to {user}: {error!r}") from error

    async def _insist(self, user: str) -> int:
        """Ask until let in; how many tries it took."""
        for tries in range(1, 200):
            if (await self._ask(user)).status_code == _OK:
                return tries
        raise StepError(f"{user} never got in, with a block ratio of {RATIO}")

    async def _until(self, what: str, user: str, words: str | None) -> None:
        """Ask until the answer holds these words; without words, until the user is let in."""
        end = time.monotonic() + _DEADLINE
        while True:
            answer = await self._ask(user)
            good = words in answer.text if words else answer.status_code == _OK
            if good:
                return
            if time.monotonic() > end:
                seen = f"{answer.status_code} {answer.text.strip()!r}"
                raise StepError(f"{what}: not so after {_DEADLINE:g} s; the last answer was {seen}")
            await asyncio.sleep(0.05)

    async def _users(self) -> list[str]:
        listed = await self._ground.sluice_json("data", "list", SALE)
        return [entry["user"] for entry in listed["users"]]
