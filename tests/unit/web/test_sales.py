"""Sales and their users over the API, on real books."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from controlplane.ledger import hash_user
from tests.testkit.waiting import eventually

if TYPE_CHECKING:
    from tests.unit.web.conftest import Desk

pytestmark = pytest.mark.redis

SALE = "/sales/shop/laptop"
HEX = "0123456789abcdef" * 2


async def shows(desk: Desk, **expected: Any) -> None:
    """Wait until the sale is shown like this."""

    async def reached() -> bool:
        found = await desk.get(SALE)
        assert {name: found[name] for name in expected} == expected
        return True

    await eventually(reached, what="the sale is shown")


async def test_a_sale_is_listed_and_shown(desk: Desk) -> None:
    listed = (await desk.get("/sales"))["sales"]
    assert [(one["namespace"], one["name"]) for one in listed] == [("shop", "laptop")]
    await shows(desk, admitted=0, remaining=3, limit=3, state="Scheduled")


async def test_users_let_in_by_hand_are_listed_and_accepted_again(desk: Desk) -> None:
    ring = await desk.ledger.accounts[0].keyring.ensure()
    alice = hash_user(ring.identity, "Bearer alice")
    given = {"users": [{"id": "Bearer alice"}, {"user": HEX}, {"id": "Bearer alice"}]}
    done = await desk.post(f"{SALE}/data/apply", given)
    assert done["users"] == [{"user": alice, "number": 1}, {"user": HEX, "number": 2}]
    listed = await desk.users()
    assert listed == [
        {"user": alice, "number": 1, "how": "granted"},
        {"user": HEX, "number": 2, "how": "granted"},
    ]
    again = await desk.post(f"{SALE}/data/apply", {"users": listed})
    assert [one["number"] for one in again["users"]] == [1, 2]
    await shows(desk, admitted=2, remaining=1)


async def test_pages_of_users(desk: Desk) -> None:
    users = [{"user": f"{n:032x}"} for n in range(10)]
    await desk.post(f"{SALE}/data/apply", {"users": users})
    await desk.post(f"{SALE}/data/delete", {"users": users[3:5]})
    found: list[str] = []
    first: int | None = 0
    while first is not None:
        page = await desk.get(f"{SALE}/data?first={first}&count=4")
        found += [one["user"] for one in page["users"]]
        first = page["next"]
    assert found == [user["user"] for user in users[:3] + users[5:]]


async def test_forgetting_some_and_all(desk: Desk) -> None:
    await desk.post(f"{SALE}/data/apply", {"users": [{"id": name} for name in "abc"]})
    assert (await desk.post(f"{SALE}/data/delete", {"users": [{"id": "b"}]}))["removed"] == 1
    assert (await desk.post(f"{SALE}/data/delete", {"users": [{"id": "z"}]}))["removed"] == 0
    assert [one["number"] for one in await desk.users()] == [1, 3]
    assert (await desk.post(f"{SALE}/data/delete", {"all": True}))["removed"] == 2
    assert await desk.users() == []


async def test_steering_a_sale(desk: Desk) -> None:
    await desk.post(f"{SALE}/limit", {"limit": 9})
    await shows(desk, limit=9, limitByHand=9)
    await desk.post(f"{SALE}/limit", {"limit": 0})
    await shows(desk, limit=0, remaining=0)
    await desk.post(f"{SALE}/limit", {"limit": None})
    await shows(desk, limit=3, limitByHand=None)
    await desk.post(f"{SALE}/suspend")
    await shows(desk, state="Suspended", suspendedByHand=True)
    await desk.post(f"{SALE}/resume")
    await shows(desk, state="Scheduled", suspendedByHand=False)


async def test_reset_empties_the_books(desk: Desk) -> None:
    await desk.post(f"{SALE}/data/apply", {"users": [{"id": "a"}]})
    await desk.post(f"{SALE}/limit", {"limit": 9})
    await desk.post(f"{SALE}/reset")
    assert await desk.users() == []
    await shows(desk, limit=3, admitted=0, limitByHand=None)


async def test_restore_opens_closed_books(desk: Desk) -> None:
    await desk.ledger.accounts[0].books.adjust(closed="Inventory")
    await shows(desk, closed="Inventory")
    await desk.post(f"{SALE}/restore")
    await shows(desk, closed="")


@pytest.mark.parametrize("plain", [True])
async def test_a_plain_sale_keeps_ids(desk: Desk) -> None:
    await desk.post(f"{SALE}/data/apply", {"users": [{"id": "alice"}, {"user": "b\u00f6b"}]})
    assert [one["user"] for one in await desk.users()] == ["alice", "b\u00f6b"]
    message = await desk.error(f"{SALE}/data/apply", {"users": [{"id": "a\nb"}]}, status=400)
    assert "no control characters" in message
    message = await desk.error(f"{SALE}/data/apply", {"users": [{"id": "x" * 257}]}, status=400)
    assert "at most 256 bytes" in message


@pytest.mark.parametrize(
    ("users", "problem"),
    [
        ([], "at least one entry"),
        ("alice", "must be a list"),
        (["alice"], "users[0] must be {user: ...} or {id: ...}"),
        ([{"id": "a"}, {"user": "alice"}], "users[1].user must be 32 hexadecimal digits"),
        ([{"user": HEX.upper()}], "users[0].user must be 32 hexadecimal digits"),
        ([{"id": "a", "user": HEX}], "users[0] needs either user or id"),
        ([{"name": "a"}], "users[0]: unknown field 'name'"),
        ([{"id": 7}], "users[0].id must be a text (in quotes if it is a number)"),
        ([{"id": ""}], "users[0].id must be a text"),
        ([{"id": "x" * 9000}], "users[0].id has more than 8192 bytes"),
        ([{"id": str(n)} for n in range(10_001)], "at most 10000 users"),
    ],
)
async def test_wrong_users_are_refused(desk: Desk, users: Any, problem: str) -> None:
    assert problem in await desk.error(f"{SALE}/data/apply", {"users": users}, status=400)
    assert await desk.users() == []


@pytest.mark.parametrize(
    ("path", "body", "problem"),
    [
        ("/limit", {"limit": -1}, "limit must be a number"),
        ("/limit", {"limit": True}, "limit must be a number"),
        ("/limit", {}, "limit must be a number"),
        ("/limit", {"Limit": 3}, "unknown field 'Limit' (there are: limit)"),
        ("/suspend", {"x": 1}, "unknown field 'x' (there are: none)"),
        ("/data/delete", {"all": True, "users": []}, "either users, or all: true"),
        ("/data/delete", {"all": False}, "either users, or all: true"),
    ],
)
async def test_wrong_calls_are_refused(desk: Desk, path: str, body: Any, problem: str) -> None:
    assert problem in await desk.error(SALE + path, body, status=400)


async def test_an_unknown_sale_is_told_with_the_known_ones(desk: Desk) -> None:
    found = await desk.get("/sales/shop/phone", 404)
    assert found["error"]["message"] == "there is no sale 'shop/phone'; known: shop/laptop"
    assert "known: shop/laptop" in await desk.error("/sales/a/b/suspend", status=404)


async def test_a_sale_in_force_nowhere(desk: Desk) -> None:
    desk.ledger.keep([])
    await eventually(lambda: not desk.ledger.accounts)
    assert "in force on no gateway" in await desk.error(f"{SALE}/suspend", status=409)


async def test_books_that_were_lost_come_back(desk: Desk) -> None:
    await desk.post(f"{SALE}/data/apply", {"users": [{"user": HEX}]})
    await shows(desk, admitted=1)
    before = (await desk.get(SALE))["incarnation"]
    await desk.ledger.accounts[0].books.client.command("FLUSHALL")

    async def reopened() -> bool:
        return bool((await desk.get(SALE))["incarnation"] > before)

    await eventually(reopened, what="the books are open again")
    await shows(desk, admitted=1, healing=False, redisError="")


async def test_redis_away_is_told(desk: Desk, redis_server: Any) -> None:
    redis_server.kill()
    message = await desk.error(f"{SALE}/suspend", status=503)
    assert f"Redis at {redis_server.address} cannot be reached" in message
