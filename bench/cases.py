"""What is measured: one request a case, and the answer that each of them must get."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

PLAIN: Final = "plain"
IN: Final = 302
"""The status of the redirect that every route answers with: the request got through."""


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of request.

    Attributes:
        name: what it is called in the results; also the name of its sale, if it has one.
        what: one line for the reader of the table.
        status: the only right answer.
        outcome: the filter's own counter that must have counted every request; empty: none.
        bar: the ratio to plain that must be reached.
        own_listener: it goes to a listener of its own.
        users: it names another user in each request.
        asks_redis: each request must cost Redis one look at the books.
        beside: other sales on the gateway.
        settle: seconds after which a proxy that has learned how things stand relies on it.
    """

    name: str
    what: str
    status: int
    outcome: str = ""
    bar: float | None = None
    own_listener: bool = False
    users: bool = True
    asks_redis: bool = False
    beside: tuple[str, ...] = ()
    settle: float = 0.0

    @property
    def path(self) -> str:
        """Where the request goes."""
        return "/sale" if self.sales else f"/{PLAIN}"

    @property
    def sales(self) -> frozenset[str]:
        """The sales that the gateway has meanwhile; none: whatever it has."""
        return frozenset((self.name, *self.beside)) if self.outcome else frozenset()


CASES: Final = (
    Case(PLAIN, "no filter on the route", IN),
    Case("noop", "a Wasm filter that does nothing", IN, own_listener=True),
    Case("not-started", "refused: before the start", 503, "not_started", bar=0.75),
    Case("lottery-lost", "refused: lost the draw", 403, "blocked", bar=0.70),
    Case("pass", "through: a signed cookie, verified", IN, "pass", bar=0.65),
    Case(
        "redis-decision",
        "a decision of Redis for every request",
        409,
        "blocked",
        bar=0.52,
        asks_redis=True,
    ),
)
MORE_CASES: Final = (
    Case("known", "through: the permit is known", IN, "known"),
    Case("sold-out", "refused: nothing left", 410, "sold_out", settle=1.5),
    Case("redis-admit", "a new permit for every request", IN, "admitted", asks_redis=True),
    Case("among-two", "not-started, one of two sales", 503, "not_started", beside=("beside",)),
)


def header(case: Case) -> tuple[str, ...]:
    """The request headers of a case, as the load generator takes them.

    Every case sends the same ones, so that reading them costs every case the same; only the pass
    is longer, which is part of what a pass costs.
    """
    user = "authorization: {user}" if case.name in FROM_FILE else "authorization: user-{n}"
    if case.name == "pass":
        return (user, "cookie: sluice-pass={pass}")
    return (user,)


FROM_FILE: Final = frozenset({"known", "pass"})
"""Cases whose users come from a file: they must have been let in before."""
