"""The books of one sale: typed operations over the scripts.

Each method is one script call, atomic in Redis. What the status codes mean, and the order of reply
fields, is the contract with filters/scripts; a reply of another shape is an error here, not a
guess.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, Any

from controlplane.ledger import scripts
from controlplane.ledger.errors import BooksMissingError
from controlplane.ledger.keys import BookKeys

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from controlplane.ledger.client import RedisClient

CHUNK = 256
PAGE = 2048


class Status(IntEnum):
    """How the books stand, as every script says it first in its reply."""

    OK = 0
    HEALING = 1
    MISSING = 2
    CLOSED = 3
    STALE = 4
    SUSPENDED = 5


class How(StrEnum):
    """How a user came to be in the log; the value is the letter used there."""

    ADMITTED = "a"
    GRANTED = "g"
    HEALED = "h"
    FORGOTTEN = "d"

    @property
    def word(self) -> str:
        """The word shown to users."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the permit log."""

    how: How
    number: int
    user: str

    def __str__(self) -> str:
        """Give the line as it stands in Redis and in the copy on disk."""
        return f"{self.how}:{self.number}:{self.user}"

    @classmethod
    def parse(cls, line: str) -> Entry:
        """Read a line of the log; ValueError when it is not one."""
        how, number, user = line.split(":", 2)
        return cls(How(how), int(number), user)


@dataclass(frozen=True, slots=True)
class Opening:
    """What the control plane knows when it opens books; its copy's part counts for new ones."""

    limit: int
    heal_ms: int
    expire_at_ms: int = 0
    ring: int = 1
    copy_incarnation: int = 0
    copy_generation: int = 0
    copy_seq: int = 0
    override: int | None = None
    suspended: bool = False
    closed: str = ""


@dataclass(frozen=True, slots=True)
class Opened:
    """The reply to open: `created` tells that there were no books."""

    status: Status
    created: bool
    incarnation: int
    generation: int
    heal_left_ms: int


@dataclass(frozen=True, slots=True)
class Page:
    """The reply to poll: how the books stand, and the log from index `first` on."""

    status: Status
    time_us: int
    incarnation: int
    generation: int
    limit: int
    count: int
    suspended: bool
    ring: int
    heal_left_ms: int
    log_length: int
    first: int
    entries: tuple[Entry, ...]

    @property
    def complete(self) -> bool:
        """Whether this page reaches the end of the log."""
        return self.first + len(self.entries) >= self.log_length


@dataclass(frozen=True, slots=True)
class Marks:
    """Fields of the books that poll does not tell: set by hand, or about the server."""

    override: int | None
    closed: str
    seq: int
    run: str
    heal_until: int


class Books:
    """Operations on the books of the sale with this tag."""

    def __init__(self, client: RedisClient, tag: str) -> None:
        self.client = client
        self.tag = tag
        self.keys = BookKeys(tag)

    async def open(self, opening: Opening) -> Opened:
        """Open the books, or bring limit, expiry and key ring of open ones up to date."""
        reply = await self._run(
            "open",
            opening.limit,
            opening.heal_ms,
            opening.expire_at_ms,
            opening.ring,
            opening.copy_incarnation,
            opening.copy_generation,
            opening.copy_seq,
            "" if opening.override is None else opening.override,
            int(opening.suspended),
            opening.closed,
        )
        status, created, incarnation, generation, left = map(int, reply)
        return Opened(Status(status), bool(created), incarnation, generation, left)

    async def follow(
        self,
        incarnation: int,
        generation: int,
        cursor: int,
        *,
        limit: int = PAGE,
    ) -> tuple[Page, Marks]:
        """Read the log from `cursor` on, and all that is known about the books, as one step."""
        reply, fields = await self.client.run_with(
            scripts.load("poll"),
            self.keys.all,
            (incarnation, generation, cursor, limit, 0),
            ("HMGET", self.keys.meta, "override", "closed", "seq", "run", "heal_until"),
        )
        override, closed, seq, run, heal_until = map(text, fields)
        marks = Marks(
            override=int(override) if override else None,
            closed=closed,
            seq=int(seq or 0),
            run=run,
            heal_until=int(heal_until or 0),
        )
        return page(reply), marks

    async def heal(self, generation: int, permits: Sequence[tuple[int, str]]) -> tuple[Status, int]:
        """Teach the books permits that are known here; gives how many of them were new."""
        args = itertools.chain.from_iterable((number, raw(user)) for number, user in permits)
        status, added = await self._run("heal", generation, *args)
        return Status(status), int(added)

    async def grant(self, users: Sequence[str]) -> list[int]:
        """Let users in by hand; gives their permit numbers, in order."""
        numbers: list[int] = []
        for chunk in chunks(users):
            reply = await self._run("grant", *map(raw, chunk))
            self._present(reply)
            numbers += map(int, reply[1:])
        return numbers

    async def forget(self, users: Sequence[str]) -> int:
        """Take these users off the books; gives how many were on them."""
        removed = 0
        for chunk in chunks(users):
            reply = await self._run("forget", *map(raw, chunk))
            self._present(reply)
            removed += int(reply[1])
        return removed

    async def forget_all(self) -> int:
        """Take everybody off the books; gives how many were on them."""
        reply = await self._run("forget")
        self._present(reply)
        return int(reply[1])

    async def reset(self) -> None:
        """Empty the books for the same sale: all permits, the limit set by hand, a closure."""
        self._present(await self._run("reset"))

    async def adjust(self, **fields: str) -> None:
        """Set what an operator sets by hand: override, suspended, closed; '' removes."""
        pairs = itertools.chain.from_iterable(fields.items())
        self._present(await self._run("adjust", *pairs))

    async def users(self, first: int, count: int) -> tuple[list[Entry], int | None, int]:
        """Give the users let in, by place in the log.

        Returns the entries at index `first` and on that still stand, the index to go on from (None
        at the end), and the generation. An entry stands when the user still holds that very number:
        a forgotten user does not, and one let in again stands at the later entry only.
        """
        found, _ = await self.follow(0, 0, 0, limit=1)
        self._present([found.status])
        lines = await self.client.command("LRANGE", self.keys.log, first, first + count - 1)
        entries = [Entry.parse(text(line)) for line in lines]
        held: list[Any] = []
        if entries:
            users = [raw(entry.user) for entry in entries]
            held = await self.client.command("HMGET", self.keys.permits, *users)
        standing = [
            entry
            for entry, number in zip(entries, held, strict=True)
            if entry.how is not How.FORGOTTEN and text(number) == str(entry.number)
        ]
        following = first + len(entries)
        return standing, following if len(entries) == count else None, found.generation

    async def all_users(self) -> AsyncIterator[Entry]:
        """Give every user let in, in order of the log."""
        first: int | None = 0
        while first is not None:
            entries, first, _ = await self.users(first, PAGE)
            for entry in entries:
                yield entry

    async def _run(self, name: str, *args: Any) -> list[Any]:
        return await self.client.run(scripts.load(name), self.keys.all, args)

    def _present(self, reply: Sequence[Any]) -> None:
        if int(reply[0]) == Status.MISSING:
            raise BooksMissingError(self.tag)


def page(reply: Sequence[Any]) -> Page:
    """Read the reply of the script poll."""
    status, time_us, incarnation, generation, limit, count, suspended, ring, left, length, first = (
        int(field) for field in reply[:11]
    )
    return Page(
        status=Status(status),
        time_us=time_us,
        incarnation=incarnation,
        generation=generation,
        limit=limit,
        count=count,
        suspended=bool(suspended),
        ring=ring,
        heal_left_ms=left,
        log_length=length,
        first=first,
        entries=tuple(Entry.parse(text(line)) for line in reply[11:]),
    )


def text(value: bytes | str | None) -> str:
    """Give a reply as text. Ids of plain sales are the users' own bytes, so any byte survives."""
    if value is None:
        return ""
    return value if isinstance(value, str) else value.decode("utf-8", "surrogateescape")


def raw(user: str) -> bytes:
    """Give a user as Redis has it; the inverse of `text`."""
    return user.encode("utf-8", "surrogateescape")


def chunks(users: Sequence[str]) -> Iterable[Sequence[str]]:
    """Cut a long list so that no single script blocks Redis for long."""
    return (users[start : start + CHUNK] for start in range(0, len(users), CHUNK))
