"""What walks through samples are made of: asking, waiting for an answer, and telling each step."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import httpx

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from controlplane.local.demo.ground import Ground
    from controlplane.local.demo.staging import Sample

OK: Final = 200
_OPENS_IN: Final = timedelta(seconds=3)
_DEADLINE: Final = 30.0
_PAUSE: Final = 0.05
_TRIES: Final = 200


class StepError(Exception):
    """A step of a walk did not go as it should; says what was seen instead."""


class Steps:
    """Asks the edge, and says how each step went."""

    def __init__(
        self,
        ground: Ground,
        sample: Sample,
        client: httpx.AsyncClient,
        say: Callable[[str], None],
    ) -> None:
        self._ground = ground
        self._sample = sample
        self._client = client
        self._say = say

    @property
    def served(self) -> int:
        """How many requests reached the shop so far."""
        return self._ground.shop.requests

    def open_soon(self) -> datetime:
        """Move the sales to a few seconds from now; when that is."""
        start = datetime.now(UTC) + _OPENS_IN
        self._sample.start(self._ground, start)
        return start

    def done(self, what: str, how: str) -> None:
        """Tell of a step that went as it should."""
        self._say(f"[green]ok[/green]  {what:<20} {how}")

    async def ask(self, path: str, *, body: bytes | None = None, **headers: str) -> httpx.Response:
        """Ask once; in the names of headers `_` stands for `-`. StepError without an answer.

        All is asked on one connection, so one worker answers, unless `connection` is "close".
        """
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        method = "GET" if body is None else "POST"
        try:
            return await self._client.request(
                method, self._ground.edge + path, headers=named, content=body
            )
        except httpx.HTTPError as error:
            raise StepError(f"no answer to {method} {path} of {named}: {error!r}") from error

    async def until(
        self,
        what: str,
        ask: Callable[[], Awaitable[httpx.Response]],
        good: Callable[[httpx.Response], bool],
        *,
        in_a_row: int = 1,
    ) -> httpx.Response:
        """Ask until so many answers in a row are as they should be; the last of them."""
        end = time.monotonic() + _DEADLINE
        seen = 0
        while True:
            answer = await ask()
            seen = seen + 1 if good(answer) else 0
            if seen == in_a_row:
                return answer
            if time.monotonic() > end:
                last = shown(answer)
                raise StepError(f"{what}: not so after {_DEADLINE:g} s; the last answer was {last}")
            await asyncio.sleep(0 if seen else _PAUSE)

    async def insist(self, ask: Callable[[], Awaitable[httpx.Response]]) -> int:
        """Ask until let in; how many tries it took. StepError when it takes too many."""
        for tries in range(1, _TRIES):
            if (await ask()).status_code == OK:
                return tries
        raise StepError(f"not let in by {_TRIES} tries")

    async def sluice(self, *arguments: str, stdin: str = "") -> str:
        """Run a command as a user would; what it printed. LocalError when it failed."""
        return await self._ground.sluice(*arguments, stdin=stdin)

    async def sluice_json(self, *arguments: str) -> Any:
        """Run a command with `--output json`, and read it."""
        return await self._ground.sluice_json(*arguments)

    async def users(self, sale: str) -> list[str]:
        """List who was let into a sale, as `sluice data list` does."""
        listed = await self.sluice_json("data", "list", sale)
        return [entry["user"] for entry in listed["users"]]


def says(words: str) -> Callable[[httpx.Response], bool]:
    """Make a check of an answer: it says this."""
    return lambda answer: words in answer.text


def let_in(answer: httpx.Response) -> bool:
    """Whether it is the shop's answer."""
    return answer.status_code == OK


def expect(answer: httpx.Response, good: object, what: str) -> None:
    """StepError when an answer is not as it should be."""
    if not good:
        raise StepError(f"{what}; the answer was {shown(answer)}")


def shown(answer: httpx.Response) -> str:
    """An answer in a line."""
    return f"{answer.status_code} {answer.text.strip()!r}"
