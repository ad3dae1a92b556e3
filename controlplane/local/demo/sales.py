"""Walks through the other sales: the least that one needs, every field of one, and two at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from controlplane.local.demo.classic import PATH, by, not_started, opened
from controlplane.local.demo.steps import OK, StepError, expect, let_in, says

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import httpx

    from controlplane.local.demo.steps import Steps

LAPTOP: Final = "shop/laptop"
PHONE: Final = "shop/phone"
LAPTOP_PATH: Final = "/flashsale/laptop"
PHONE_PATH: Final = "/flashsale/phone"
MINIMAL_STOCK: Final = 100
FULL_PERMITS: Final = 1500
LAPTOPS: Final = 10
PHONE_PERMITS: Final = 750
_PHONES: Final = 5
_MANY: Final = 40
_CROWD: Final = 3000
"""With 99 of 100 blocked, that none of so many gets in happens once in 10^13 walks."""
_DENIED: Final = "Bearer bot-1"
_DENIED_ADDRESS: Final = "203.0.113.9"


# ---------------------------------------------------------------------------------------- minimal


async def minimal(steps: Steps) -> None:
    """All who come get in, until everything is sold; browsing is never stopped."""
    await not_started(steps)
    await _browsing(steps)
    await _all_sold(steps)
    await _one_too_late(steps)
    steps.done("sluice data list", f"shows the {await _listed(steps, LAPTOP, MINIMAL_STOCK)}")


async def _browsing(steps: Steps) -> None:
    answer = await steps.ask("/")
    expect(answer, let_in(answer), "the other rule of the route is not guarded")
    steps.done("browsing", "is free meanwhile")


async def _all_sold(steps: Steps) -> None:
    await opened(steps, by(steps, "user-0"))
    for number in range(1, MINIMAL_STOCK):
        answer = await steps.ask(PATH, authorization=f"user-{number}")
        expect(answer, let_in(answer), f"{number} of {MINIMAL_STOCK} got in, then one did not")
    steps.done("after the start", f"{MINIMAL_STOCK} different users come, and all get in")


async def _one_too_late(steps: Steps) -> None:
    before = steps.served
    for _ in range(_MANY):
        answer = await steps.ask(PATH, authorization="too-late")
        expect(answer, not let_in(answer), f"one more got in, with {MINIMAL_STOCK} units")
    await steps.until("who comes then is told why", by(steps, "too-late"), says("Sold out"))
    if steps.served != before:
        raise StepError(f"the shop saw {steps.served - before} requests of who was refused")
    steps.done("one more", f"refused {_MANY} times out of {_MANY}; the shop sees none of it")
    answer = await steps.ask(PATH, authorization="user-0")
    expect(answer, let_in(answer), "user-0 was let in once and now is not")
    steps.done("let in once", "let in always")


async def _listed(steps: Steps, sale: str, count: int) -> int:
    users = await steps.users(sale)
    if len(users) != count:
        raise StepError(f"sluice data list {sale} shows {len(users)} users, not {count}")
    return count


# ------------------------------------------------------------------------------------------- full


async def full(steps: Steps) -> None:
    """See what each field does that a single user can see."""
    await steps.until("who is early is sent to a page", by(steps, "early"), _sent_to("soon.html"))
    steps.done("notStarted", "redirects to the page that says so")
    steps.open_soon()
    await steps.until("the sale opens", by(steps, "early"), lambda answer: not answer.is_redirect)
    winner = await _one_of_many(steps)
    await _keeps_the_pass(steps, winner)
    await _throttled(steps)
    await _kept_out(steps)


async def _one_of_many(steps: Steps) -> httpx.Response:
    """Have many users come until one wins; his answer."""
    for number in range(_CROWD):
        answer = await steps.ask(PATH, authorization=f"user-{number}")
        if let_in(answer):
            steps.done("blockRatio 0.99", f"{number} lose the draw, then one gets in")
            return answer
        expect(answer, "Not this time" in answer.text, "who loses is not told so")
    raise StepError(f"none of {_CROWD} users got in")


async def _keeps_the_pass(steps: Steps, winner: httpx.Response) -> None:
    cookie = winner.headers.get("set-cookie", "").partition(";")[0]
    expect(winner, cookie.startswith("laptop-pass="), "no pass was handed out")
    user = winner.request.headers["authorization"]
    answer = await steps.ask(PATH, authorization=user, cookie=cookie)
    expect(answer, let_in(answer), "the pass does not let its user in")
    steps.done("pass", "a signed cookie, in which its user is let in again")


async def _throttled(steps: Steps) -> None:
    number = 0
    while let_in(await steps.ask(PATH, authorization=f"quick-{number}")):
        number += 1  # who is in once is never held up
    loser = by(steps, f"quick-{number}")
    answer = await steps.until("who is too quick waits", loser, _status(429))
    after = answer.headers.get("retry-after")
    expect(answer, after == "10", f"Retry-After is {after}")
    steps.done("minInterval", "a second try at once is answered 429, Retry-After 10")


async def _kept_out(steps: Steps) -> None:
    bot = await steps.ask(PATH, authorization=_DENIED)
    expect(bot, _status(403)(bot), f"{_DENIED} is not denied")
    network = await steps.ask(PATH, authorization="a", x_forwarded_for=_DENIED_ADDRESS)
    expect(network, _status(403)(network), f"{_DENIED_ADDRESS} is not denied")
    nobody = await steps.ask(PATH)
    expect(nobody, _sent_to("/login")(nobody), "who does not say who he is must log in")
    steps.done("access", "a user and a network are denied; who is unknown is sent to log in")


def _sent_to(words: str) -> Callable[[httpx.Response], bool]:
    return lambda answer: answer.is_redirect and words in answer.headers.get("location", "")


def _status(status: int) -> Callable[[httpx.Response], bool]:
    return lambda answer: answer.status_code == status


# -------------------------------------------------------------------------------------- two sales


async def two(steps: Steps) -> None:
    """Each has its own books, its own permits, its own pass."""
    await steps.until("the laptop is not sold yet", _laptop(steps, "early"), says("not started"))
    await steps.until("nor is the phone", _phone(steps, "early"), says("not started"))
    steps.done("before the start", "everyone is told so, at both")
    await opened(steps, _phone(steps, "phone-0"))
    phone = await steps.ask(PHONE_PATH, cookie="uid=phone-0")
    laptop = await _laptops_sold(steps)
    await _phones_go_on(steps)
    for answer, name in ((laptop, "laptop"), (phone, "phone")):
        own = f"sluice-pass-shop-{name}="
        expect(answer, answer.headers.get("set-cookie", "").startswith(own), f"no pass {own}")
    steps.done("passes", "sluice-pass-shop-laptop and sluice-pass-shop-phone")
    laptops = await _listed(steps, LAPTOP, LAPTOPS)
    phones = await _listed(steps, PHONE, _PHONES)
    steps.done("sluice data list", f"shows {laptops} at the one, {phones} at the other")


def _laptop(steps: Steps, user: str) -> Callable[[], Awaitable[httpx.Response]]:
    return by(steps, user, LAPTOP_PATH)


def _phone(steps: Steps, user: str) -> Callable[[], Awaitable[httpx.Response]]:
    return lambda: steps.ask(PHONE_PATH, cookie=f"uid={user}")


async def _laptops_sold(steps: Steps) -> httpx.Response:
    """Have users come until the laptops are gone; the answer to the first who got one."""
    winners: list[httpx.Response] = []
    for number in range(_CROWD):
        answer = await steps.ask(LAPTOP_PATH, authorization=f"user-{number}")
        if let_in(answer):
            winners.append(answer)
        elif "Sold out" in answer.text:
            break
    if len(winners) != LAPTOPS:
        raise StepError(f"{len(winners)} users got one of {LAPTOPS} laptops")
    steps.done("the laptop", f"{LAPTOPS} of {number} get in, one of ten; then it is sold out")
    return winners[0]


async def _phones_go_on(steps: Steps) -> None:
    for number in range(1, _PHONES):
        answer = await steps.ask(PHONE_PATH, cookie=f"uid=phone-{number}")
        expect(answer, answer.status_code == OK, "the phone is sold out with the laptop")
    steps.done("the phone", "is sold to everyone who comes, all the same")
