"""Toy users: each kind comes as often as it does, and it is remembered what they were told."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_TIMEOUT: Final = 15.0
_LANES: Final = 16
_RATE_WINDOW: Final = 2.0

IN: Final = "let in"
NO_ANSWER: Final = "no answer"
LIMITED: Final = "over the limit"
KINDS: Final = {
    "not started": "not started",
    "Not this time": "lottery lost",
    "Sold out": "sold out",
    "cannot answer": "unavailable",
    "suspended": "suspended",
    "is over": "ended",
}
"""What refusals say, and what they are called here."""
_BY_STATUS: Final = {400: "unidentified", 403: "denied", 429: LIMITED}
OTHER: Final = "other"


@dataclass(frozen=True, slots=True)
class Ask:
    """A request: by whom, and how."""

    user: str
    path: str
    headers: Mapping[str, str]
    method: str = "GET"
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Visitors:
    """One kind of toy users.

    Args:
        name: what they are called on the screen.
        rate: requests a second, all together.
        ask: makes the next request.
        sale: what they come for, NAMESPACE/NAME; empty when it is no sale.
        most: how many different users may get in; 0 for any number.
    """

    name: str
    rate: float
    ask: Callable[[], Ask]
    sale: str = ""
    most: int = 0


@dataclass(slots=True)
class Tally:
    """What one kind of users was told so far."""

    answers: Counter[str] = field(default_factory=Counter)
    winners: set[str] = field(default_factory=set)
    limit: str = ""
    """The header RateLimit of the last answer."""


class Crowd:
    """Sends requests at a steady rate and counts the answers.

    Args:
        edge: the address of the gateway.
        visitors: who comes.
        words: more kinds of refusals than KINDS, by what they say or redirect to.
    """

    def __init__(
        self, edge: str, visitors: Sequence[Visitors], words: Mapping[str, str] | None = None
    ) -> None:
        self.visitors = visitors
        self.tallies = {kind.name: Tally() for kind in visitors}
        rate = sum(kind.rate for kind in visitors)
        self._edge = edge
        self._words = {**(words or {}), **KINDS}
        self._weights = [kind.rate for kind in visitors]
        self._pause = _LANES / rate
        self._recent: deque[float] = deque(maxlen=max(1, round(rate * _RATE_WINDOW * 2)))

    @property
    def rate(self) -> float:
        """Answers a second, over the last two."""
        since = time.monotonic() - _RATE_WINDOW
        return sum(moment > since for moment in self._recent) / _RATE_WINDOW

    @property
    def oversold(self) -> bool:
        """Whether more users got in anywhere than may."""
        return any(0 < kind.most < len(self.tallies[kind.name].winners) for kind in self.visitors)

    async def run(self) -> None:
        """Go on until cancelled."""
        async with httpx.AsyncClient(timeout=_TIMEOUT) as client, asyncio.TaskGroup() as lanes:
            for number in range(_LANES):
                lanes.create_task(self._lane(client), name=f"crowd {number}")

    async def _lane(self, client: httpx.AsyncClient) -> None:
        await asyncio.sleep(random.uniform(0, self._pause))  # noqa: S311 spreads them
        due = time.monotonic()
        while True:
            (kind,) = random.choices(self.visitors, self._weights)  # noqa: S311 only a crowd
            await self._ask(client, kind)
            # A lane that fell behind does not catch up by a burst.
            due = max(due + self._pause, time.monotonic())
            await asyncio.sleep(due - time.monotonic())

    async def _ask(self, client: httpx.AsyncClient, kind: Visitors) -> None:
        tally, ask = self.tallies[kind.name], kind.ask()
        try:
            answer = await client.request(
                ask.method, self._edge + ask.path, headers=ask.headers, content=ask.body
            )
        except httpx.HTTPError:
            tally.answers[NO_ANSWER] += 1
            return
        self._recent.append(time.monotonic())
        tally.limit = answer.headers.get("ratelimit", "")
        if answer.is_success:
            tally.winners.add(ask.user)
            tally.answers[IN] += 1
        else:
            tally.answers[kind_of(answer, self._words)] += 1


def kind_of(answer: httpx.Response, words: Mapping[str, str]) -> str:
    """Name the kind of a refusal: by what it says or where it sends, else by its status."""
    said = f"{answer.headers.get('location', '')} {answer.text}"
    found = (kind for word, kind in words.items() if word in said)
    return next(found, _BY_STATUS.get(answer.status_code, OTHER))
