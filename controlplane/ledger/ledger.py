"""All books of this control plane: one keeper per sale, one client and key ring per Redis server.

`keep` says which sales and quotas there are; `run` makes it so. A sale whose Redis address changed
keeps its copy, so the new server is taught what the old one knew.
"""

from __future__ import annotations

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import structlog

from controlplane.ledger import copy
from controlplane.ledger.books import Books
from controlplane.ledger.client import RedisClient, Server
from controlplane.ledger.counters import Counters
from controlplane.ledger.follower import Follower
from controlplane.ledger.glance import Glance
from controlplane.ledger.keeper import Clock, Keeper, name_of
from controlplane.ledger.keyring import Keyring, file_name
from controlplane.ledger.pace import POLL_MS
from controlplane.ledger.ring_watch import RingWatch
from controlplane.ledger.state import Board

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from controlplane.ledger.presence import Presence
    from controlplane.translate import QuotaPlan, SalePlan

log = structlog.get_logger(__name__)

DISK_THREADS = 4
PRUNE_SECONDS = 3600.0
#: How long copies stay whose sales are gone; as long as translations say of their books.
RETENTION_MS = 30 * 24 * 3600 * 1000


@dataclass(frozen=True, slots=True)
class Account:
    """One sale as commands need it."""

    plan: SalePlan
    books: Books
    keyring: Keyring
    keeper: Keeper


@dataclass(frozen=True, slots=True)
class Link:
    """One Redis server."""

    client: RedisClient
    keyring: Keyring
    glance: Glance


@dataclass(frozen=True, slots=True)
class Tally:
    """A quota policy in one Redis, as commands need it; several each count for themselves."""

    plan: QuotaPlan
    counters: Counters
    keyring: Keyring


class Ledger:
    """Owns every keeper, client and copy."""

    def __init__(
        self,
        folder: Path,
        environ: Mapping[str, str],
        presence: Presence,
        *,
        clock: Clock | None = None,
        retention_ms: int = RETENTION_MS,
    ) -> None:
        self.board = Board()
        self._folder = folder
        self._environ = environ
        self._presence = presence
        self._clock = clock or Clock()
        self._retention_ms = retention_ms
        self._pruned_at: float | None = None
        self._links: dict[Server, Link] = {}
        self._accounts: dict[str, Account] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._quotas: tuple[QuotaPlan, ...] = ()
        self._watches: dict[Server, asyncio.Task[None]] = {}
        self._glances: dict[Server, asyncio.Task[None]] = {}
        self._wanted: dict[str, SalePlan] | None = None  # until it was said once
        self._poll_ms = POLL_MS
        self._changed = asyncio.Event()
        self._disks = [ThreadPoolExecutor(1, f"books-{n}") for n in range(DISK_THREADS)]

    def keep(
        self,
        plans: Iterable[SalePlan],
        quotas: Iterable[QuotaPlan] = (),
        *,
        poll_ms: int = POLL_MS,
    ) -> None:
        """Say which sales and quotas there are; takes effect at once while `run` runs."""
        self._wanted = {plan.tag: plan for plan in plans}
        self._quotas = tuple(quotas)
        self._poll_ms = poll_ms
        self._changed.set()

    def account(self, sale: str) -> Account | None:
        """Find a sale by namespace/name."""
        for account in self._accounts.values():
            if name_of(account.plan) == sale:
                return account
        return None

    @property
    def accounts(self) -> tuple[Account, ...]:
        """All sales, by name."""
        return tuple(sorted(self._accounts.values(), key=lambda one: name_of(one.plan)))

    def tallies(self, policy: str) -> tuple[Tally, ...]:
        """Give every Redis in which a policy (namespace/name) counts, and how to ask it."""
        found = []
        for plan in self._quotas:
            link = self._links.get(Server.of(plan.redis))
            if plan.policy.policy == policy and link is not None:
                found.append(Tally(plan, Counters(link.client), link.keyring))
        return tuple(found)

    @property
    def links(self) -> Mapping[str, Link]:
        """The Redis servers in use, by address."""
        return {str(server): link for server, link in self._links.items()}

    async def run(self) -> None:
        """Keep the books until cancelled."""
        await asyncio.to_thread(copy.tidy, self._books_folder)
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    self._changed.clear()
                    if self._wanted is not None:
                        await self._prune(self._wanted)
                        await self._reconcile(group, self._wanted)
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(PRUNE_SECONDS):
                            await self._changed.wait()
        finally:
            await self._close()

    async def _prune(self, wanted: Mapping[str, SalePlan]) -> None:
        """Remove old copies, now and then; before keepers start, so that none loses its own."""
        now = self._clock.monotonic()
        if self._pruned_at is not None and now - self._pruned_at < PRUNE_SECONDS:
            return
        self._pruned_at = now
        kept = wanted.keys() | self._accounts.keys()
        now_ms = int(self._clock.wall() * 1000)
        try:
            await asyncio.to_thread(
                copy.prune, self._books_folder, now_ms, kept, self._retention_ms
            )
        except OSError as error:
            problem = error.strerror
            log.warning("Old copies of books stay", file=error.filename, problem=problem)

    async def _reconcile(self, group: asyncio.TaskGroup, wanted: Mapping[str, SalePlan]) -> None:
        for tag, account in list(self._accounts.items()):
            plan = wanted.get(tag)
            if plan is None or Server.of(plan.redis) != account.books.client.server:
                await self._stop(tag)
        for tag, plan in wanted.items():
            known = self._accounts.get(tag)
            if known is None:
                self._accounts[tag] = account = self._account(plan)
                self._tasks[tag] = group.create_task(account.keeper.run(), name=f"keeper {tag}")
            else:
                self._accounts[tag] = Account(plan, known.books, known.keyring, known.keeper)
            self._accounts[tag].keeper.update(plan, poll_ms=self._poll_ms)
        await self._glance(group)
        await self._watch(group)
        await self._drop_links()

    async def _stop(self, tag: str) -> None:
        task = self._tasks.pop(tag)
        task.cancel()
        await asyncio.wait((task,))
        del self._accounts[tag]
        self.board.drop(tag)

    def _account(self, plan: SalePlan) -> Account:
        link = self._link(Server.of(plan.redis))
        books = Books(link.client, plan.tag)
        held = copy.BooksCopy(copy.path_for(self._books_folder, plan.tag), plan.tag)
        disk = self._disks[hash(plan.tag) % DISK_THREADS]
        follower = Follower(books, held, disk)
        keeper = Keeper(
            *(plan, follower, link.keyring, self._presence, self.board, link.glance),
            clock=self._clock,
        )
        return Account(plan, books, link.keyring, keeper)

    def _link(self, server: Server) -> Link:
        if server not in self._links:
            client = RedisClient(server, self._environ)
            path = self._folder / file_name(str(server))
            keyring = Keyring(client, path, warn=log.warning)
            glance = Glance(client, self._clock.monotonic)
            self._links[server] = Link(client, keyring, glance)
        return self._links[server]

    async def _glance(self, group: asyncio.TaskGroup) -> None:
        """Glance at each Redis that has books."""
        wanted = {account.books.client.server for account in self._accounts.values()}
        await self._end(self._glances, self._glances.keys() - wanted)
        for server in wanted - self._glances.keys():
            run = self._link(server).glance.run()
            self._glances[server] = group.create_task(run, name=f"glance at {server}")

    @staticmethod
    async def _end(tasks: dict[Server, asyncio.Task[None]], which: set[Server]) -> None:
        for server in which:
            task = tasks.pop(server)
            task.cancel()
            await asyncio.wait((task,))

    async def _watch(self, group: asyncio.TaskGroup) -> None:
        """Watch over the key ring of each Redis in which quotas count, and of no other."""
        wanted = {Server.of(plan.redis) for plan in self._quotas}
        gone = self._watches.keys() - wanted
        await self._end(self._watches, gone)
        for server in gone:
            self.board.trouble(str(server), "")
        for server in wanted - self._watches.keys():
            link = self._link(server)
            watch = RingWatch(link.client, link.keyring, partial(self.board.trouble, str(server)))
            self._watches[server] = group.create_task(watch.run(), name=f"key ring {server}")

    async def _drop_links(self) -> None:
        used = {account.books.client.server for account in self._accounts.values()}
        used |= self._watches.keys()
        for server in self._links.keys() - used:
            await self._links.pop(server).client.close()

    async def _close(self) -> None:
        for link in self._links.values():
            await link.client.close()
        for disk in self._disks:
            # Every keeper has ended: what is left is a write that is on its way to the disk.
            await asyncio.to_thread(disk.shutdown)

    @property
    def _books_folder(self) -> Path:
        return self._folder / "books"
