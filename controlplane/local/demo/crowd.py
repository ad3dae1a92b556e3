"""Toy users who want to buy: each comes now and then, and remembers what it was told."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter, deque
from typing import TYPE_CHECKING, Final

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable

_TIMEOUT: Final = 15.0
_LANES: Final = 16
_RATE_WINDOW: Final = 2.0

IN: Final = "let in"
NO_ANSWER: Final = "no answer"


class Crowd:
    """Sends requests at a steady rate and counts the answers.

    Args:
        url: what they ask for.
        people: how many different users there are.
        rate: requests a second, all together.
        name_of: the kind of an answer, from its text, e.g. "sold out".
    """

    def __init__(
        self, url: str, *, people: int, rate: float, name_of: Callable[[str], str]
    ) -> None:
        self.answers: Counter[str] = Counter()
        self.winners: set[str] = set()
        self._url = url
        self._people = people
        self._pause = _LANES / rate
        self._name_of = name_of
        self._recent: deque[float] = deque(maxlen=round(rate * _RATE_WINDOW * 2))

    @property
    def rate(self) -> float:
        """Answers a second, over the last two."""
        since = time.monotonic() - _RATE_WINDOW
        return sum(moment > since for moment in self._recent) / _RATE_WINDOW

    async def run(self) -> None:
        """Go on until cancelled."""
        async with httpx.AsyncClient(timeout=_TIMEOUT) as client, asyncio.TaskGroup() as lanes:
            for number in range(_LANES):
                lanes.create_task(self._lane(client), name=f"crowd {number}")

    async def _lane(self, client: httpx.AsyncClient) -> None:
        await asyncio.sleep(random.uniform(0, self._pause))  # noqa: S311 spreads them
        due = time.monotonic()
        while True:
            await self._ask(client, f"user-{random.randrange(self._people)}")  # noqa: S311
            # A lane that fell behind does not catch up by a burst.
            due = max(due + self._pause, time.monotonic())
            await asyncio.sleep(due - time.monotonic())

    async def _ask(self, client: httpx.AsyncClient, user: str) -> None:
        try:
            answer = await client.get(self._url, headers={"authorization": user})
        except httpx.HTTPError:
            self.answers[NO_ANSWER] += 1
            return
        self._recent.append(time.monotonic())
        if answer.is_success:
            self.winners.add(user)
            self.answers[IN] += 1
        else:
            self.answers[self._name_of(answer.text)] += 1
