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
        name: what it is called in the results; also the name of its policy, if it has one.
        what: one line for the reader of the table.
        status: the only right answer.
        outcome: the filter's own counter that must have counted every request (a regular
            expression, as a request may be counted in one of two); empty: none.
        quota: its policy is a QuotaPolicy, not a FlashSale.
        bar: the ratio to plain that must be reached.
        own_listener: it goes to a listener of its own.
        users: it names another user in each request.
        asks_redis: each request must cost Redis one look at the books, or be counted there.
        beside: other policies on the gateway.
        settle: seconds after which a proxy that has learned how things stand relies on it.
    """

    name: str
    what: str
    status: int
    outcome: str = ""
    quota: bool = False
    bar: float | None = None
    own_listener: bool = False
    users: bool = True
    asks_redis: bool = False
    beside: tuple[str, ...] = ()
    settle: float = 0.0

    @property
    def path(self) -> str:
        """Where the request goes."""
        if not self.outcome:
            return f"/{PLAIN}"
        return "/quota" if self.quota else "/sale"

    @property
    def policies(self) -> frozenset[str]:
        """The policies that the gateway has meanwhile; none: whatever it has."""
        return frozenset((self.name, *self.beside)) if self.outcome else frozenset()

    @property
    def counter(self) -> str:
        """Finds the filter's own counter among Envoy's."""
        place = rf"quota\.bench\.{self.name}\.first" if self.quota else rf"sale\.bench\.{self.name}"
        return rf"sluice_{place}\.{self.outcome}$"


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
    Case("quota-one", "allowed by one limit", IN, "allowed", quota=True, bar=0.50, asks_redis=True),
    Case(
        "quota-three",
        "allowed by three limits",
        IN,
        "allowed",
        quota=True,
        bar=0.45,
        asks_redis=True,
    ),
    Case(
        "quota-refused",
        "refused by a limit that is known to be spent",
        429,
        "limited(_known)?",
        quota=True,
        bar=0.65,
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


FROM_FILE: Final = frozenset({"known", "pass", *(case.name for case in CASES if case.quota)})
"""Cases whose users come from a file: they were let in before, or come again and again."""
