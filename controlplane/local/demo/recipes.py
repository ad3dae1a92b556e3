"""For each sample: how it is walked through, and the crowd that shows what it is about."""

from __future__ import annotations

import itertools
import json
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from controlplane.local.demo import quotas, sales
from controlplane.local.demo.classic import PATH, STOCK, classic
from controlplane.local.demo.crowd import Ask, Visitors

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from controlplane.local.demo.steps import Steps

_PEOPLE: Final = 20_000
_RATE: Final = 100.0


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is done with a sample.

    Args:
        walk: checks it, step by step.
        visitors: who comes while it is watched.
        tries: what could be tried beside it; `{edge}` is the address of the gateway.
        path: where its sale is; empty when there is none.
        words: kinds of refusals of its own, by what they say or where they redirect to.
    """

    walk: Callable[[Steps], Awaitable[None]]
    visitors: tuple[Visitors, ...]
    tries: tuple[str, ...]
    path: str = ""
    words: Mapping[str, str] = field(default_factory=dict)


def _buyers(name: str, most: int, *, path: str = PATH, people: int = _PEOPLE) -> Visitors:
    """Users who want something of a sale, known by their header Authorization."""

    def ask() -> Ask:
        user = f"user-{random.randrange(people)}"  # noqa: S311 only a crowd
        return Ask(user, path, {"authorization": user})

    return Visitors(name, _RATE, ask, sale=f"shop/{name}", most=most)


def _with_cookie(name: str, most: int, *, path: str) -> Visitors:
    """Users known by their cookie `uid`."""

    def ask() -> Ask:
        user = f"user-{random.randrange(_PEOPLE)}"  # noqa: S311 only a crowd
        return Ask(user, path, {"cookie": f"uid={user}"})

    return Visitors(name, _RATE, ask, sale=f"shop/{name}", most=most)


def _caller(key: str, rate: float) -> Visitors:
    """Somebody with an API key; without one for an empty key."""
    headers = {"x-api-key": key} if key else {}
    return Visitors(key or "no key", rate, lambda: Ask(key, "/", headers))


def _chatter(key: str, rate: float, *, stream: bool = False) -> Visitors:
    """Somebody who asks a model, for answers of different lengths."""
    headers = {"content-type": "application/json", **({"x-api-key": key} if key else {})}
    lengths = itertools.cycle((22, 80, 44))

    def ask() -> Ask:
        body = {"messages": [], "max_tokens": next(lengths), "stream": stream}
        return Ask(key, quotas.CHAT, headers, "POST", json.dumps(body).encode())

    name = f"{key or 'no key'}{' (stream)' if stream else ''}"
    return Visitors(name, rate, ask)


def _sale_tries(sale: str, path: str = PATH) -> tuple[str, ...]:
    return (
        f"curl -i -H 'Authorization: me' {{edge}}{path}",
        f"sluice sale watch {sale}",
        f"sluice data list {sale}",
    )


RECIPES: Final[Mapping[str, Recipe]] = {
    "classic-recipe": Recipe(
        classic,
        (_buyers("laptop", STOCK, people=100),),
        _sale_tries("shop/laptop"),
        path=PATH,
    ),
    "flash-sale-full": Recipe(
        sales.full,
        (_buyers("laptop", sales.FULL_PERMITS),),
        _sale_tries("shop/laptop"),
        path=PATH,
        words={"soon.html": "not started", "/login": "unidentified", "sold out": "sold out"},
    ),
    "flash-sale-minimal": Recipe(
        sales.minimal,
        (_buyers("laptop", sales.MINIMAL_STOCK),),
        _sale_tries("shop/laptop"),
        path=PATH,
    ),
    "quota-requests": Recipe(
        quotas.requests,
        (_caller("alice", 1.0), _caller("gold-bob", 2.5), _caller("", 1.0)),
        (
            "curl -i -H 'x-api-key: me' {edge}/",
            f"sluice quota top {quotas.QPM}",
            f"sluice quota get {quotas.QPM} --key alice",
            f"sluice quota reset {quotas.QPM} --key alice",
        ),
    ),
    "quota-tokens": Recipe(
        quotas.tokens,
        (_chatter("alice", 1.0), _chatter("bob", 1.0, stream=True), _chatter("", 0.3)),
        (
            f"curl -i -H 'x-api-key: me' -d '{{{{}}}}' {{edge}}{quotas.CHAT}",
            f"sluice quota top {quotas.MODEL_API}",
            f"sluice quota get {quotas.MODEL_API} --key alice",
            f"sluice quota reset {quotas.MODEL_API} --key alice",
        ),
    ),
    "two-sales": Recipe(
        sales.two,
        (
            _buyers("laptop", sales.LAPTOPS, path=sales.LAPTOP_PATH),
            _with_cookie("phone", sales.PHONE_PERMITS, path=sales.PHONE_PATH),
        ),
        _sale_tries(sales.LAPTOP, sales.LAPTOP_PATH),
        path=sales.LAPTOP_PATH,
    ),
}
"""By the name of the sample."""
