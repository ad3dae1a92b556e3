"""Random sequences of everything that happens to books, against a model in a few lines of Python.

The model is what the pages about the books promise; the scripts in a real Redis must agree after
every step, and above all: what is admitted stays admitted, and nothing goes above the limit unless
a hand or healing put it there.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from controlplane.ledger import scripts
from controlplane.ledger.books import Books, Opening, Status, text
from controlplane.ledger.client import RedisClient, Server

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    from controlplane.local import RedisServer

pytestmark = pytest.mark.redis

USERS = st.sampled_from([f"u{n}" for n in range(8)])
BATCH = st.lists(st.tuples(st.booleans(), USERS), min_size=1, max_size=6)
_tags = itertools.count()
_port = 0


class BooksMachine(RuleBasedStateMachine):
    """The books in Redis beside a model of them."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.client = RedisClient(Server("127.0.0.1", _port), {}, deadline=10)
        self.books = Books(self.client, f"model/{next(_tags)}/1")
        self.limit, self.override = 4, 0
        self.permits: dict[str, int] = {}
        self.seq, self.by_hand = 0, 0
        opened = self.run(self.books.open(Opening(limit=self.limit, heal_ms=0)))
        self.incarnation, self.generation = opened.incarnation, opened.generation

    def run(self, task: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(task)

    def teardown(self) -> None:
        self.run(self.books.forget_all())
        self.run(self.client.command("DEL", *self.books.keys.all))
        self.run(self.client.close())
        self.loop.close()

    @property
    def effective(self) -> int:
        return self.override or self.limit

    @rule(batch=BATCH)
    def admit(self, batch: list[tuple[bool, str]]) -> None:
        run = text(self.run(self.client.command("HGET", self.books.keys.meta, "run")))
        args: list[object] = [self.incarnation, run, 0]
        for won, user in batch:
            args += [int(won), user]
        reply = self.run(self.client.run(scripts.load("admit"), self.books.keys.all, args))
        assert reply[0] == Status.OK
        codes = list(zip(reply[5::2], reply[6::2], strict=True))
        assert codes == [self._admit_one(won=won, user=user) for won, user in batch]

    def _admit_one(self, *, won: bool, user: str) -> tuple[int, int]:
        if user in self.permits:
            return 2, self.permits[user]
        if len(self.permits) >= self.effective:
            return 0, 0
        if not won:
            return 3, 0
        self.seq += 1
        self.permits[user] = self.seq
        return 1, self.seq

    @rule(users=st.lists(USERS, min_size=1, max_size=3, unique=True))
    def grant(self, users: list[str]) -> None:
        for user in users:
            if user not in self.permits:
                self.seq += 1
                self.permits[user] = self.seq
                self.by_hand += 1
        assert self.run(self.books.grant(users)) == [self.permits[user] for user in users]

    @rule(users=st.lists(USERS, min_size=1, max_size=3, unique=True))
    def forget(self, users: list[str]) -> None:
        gone = [user for user in users if self.permits.pop(user, None) is not None]
        assert self.run(self.books.forget(users)) == len(gone)
        self.generation += bool(gone)

    @rule()
    def forget_all(self) -> None:
        assert self.run(self.books.forget_all()) == len(self.permits)
        self.generation += bool(self.permits)
        self.permits.clear()

    @rule(user=USERS, number=st.integers(1, 50), older=st.booleans())
    def heal(self, user: str, number: int, *, older: bool) -> None:
        generation = self.generation - older
        status, added = self.run(self.books.heal(generation, [(number, user)]))
        if older:
            assert (status, added) == (Status.STALE, 0)
            return
        assert (status, added) == (Status.OK, int(user not in self.permits))
        self.by_hand += user not in self.permits
        self.permits.setdefault(user, number)
        self.seq = max(self.seq, number)

    @rule(limit=st.integers(1, 8))
    def change_the_manifest(self, limit: int) -> None:
        self.limit = limit
        assert not self.run(self.books.open(Opening(limit=limit, heal_ms=0))).created

    @rule(limit=st.integers(0, 8))
    def set_the_limit_by_hand(self, limit: int) -> None:
        self.override = limit
        self.run(self.books.adjust(override=str(limit) if limit else ""))

    @precondition(lambda self: self.permits)
    @rule()
    def reset(self) -> None:
        self.run(self.books.reset())
        self.permits.clear()
        self.seq, self.override = 0, 0
        self.generation += 1
        self.incarnation = self.run(self.books.follow(0, 0, 0))[0].incarnation

    @invariant()
    def the_books_agree(self) -> None:
        page, marks = self.run(self.books.follow(self.incarnation, self.generation, 0))
        assert (page.incarnation, page.generation) == (self.incarnation, self.generation)
        assert (page.count, page.limit) == (len(self.permits), self.effective)
        assert marks.seq == self.seq
        replayed: dict[str, int] = {}
        for entry in page.entries:
            if entry.number:
                replayed[entry.user] = entry.number
            else:
                replayed.pop(entry.user, None)
        assert replayed == self.permits

    @invariant()
    def the_list_agrees(self) -> None:
        entries, following, generation = self.run(self.books.users(0, 10_000))
        assert {entry.user: entry.number for entry in entries} == self.permits
        assert len(entries) == len(self.permits)
        assert (following, generation) == (None, self.generation)


BooksMachine.TestCase.settings = settings(
    max_examples=40,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


def test_books_agree_with_the_model(shared_redis_server: RedisServer) -> None:
    global _port  # noqa: PLW0603 - hypothesis makes the machines itself, without arguments
    _port = shared_redis_server.port
    BooksMachine.TestCase("runTest").runTest()
