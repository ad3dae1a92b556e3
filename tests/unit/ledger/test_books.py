"""The typed operations against a real Redis, one behaviour each."""

from __future__ import annotations

import dataclasses

import pytest

from controlplane.ledger import scripts
from controlplane.ledger.books import Books, Entry, How, Opening, Status
from controlplane.ledger.errors import BooksMissingError

pytestmark = pytest.mark.redis

OPENING = Opening(limit=3, heal_ms=0)


async def entries(books: Books) -> list[str]:
    return [str(entry) async for entry in books.all_users()]


async def test_opening_twice_changes_only_what_the_manifest_says(books: Books) -> None:
    first = await books.open(OPENING)
    again = await books.open(dataclasses.replace(OPENING, limit=7, copy_generation=9))
    assert first.created
    assert not again.created
    assert (again.incarnation, again.generation) == (first.incarnation, first.generation)
    page, _ = await books.follow(0, 0, 0)
    assert page.limit == 7


async def test_books_that_replace_lost_ones_have_a_later_incarnation(books: Books) -> None:
    far = 4_000_000_000_000
    opened = await books.open(
        Opening(limit=3, heal_ms=0, copy_incarnation=far, copy_generation=5, copy_seq=17)
    )
    assert opened.incarnation == far + 1
    assert opened.generation == 5
    assert await books.grant(["a"]) == [18]


async def test_grants_are_idempotent_and_may_exceed_the_limit(books: Books) -> None:
    await books.open(OPENING)
    assert await books.grant(["a", "b", "c", "d"]) == [1, 2, 3, 4]
    assert await books.grant(["d", "e", "a"]) == [4, 5, 1]
    assert await entries(books) == ["g:1:a", "g:2:b", "g:3:c", "g:4:d", "g:5:e"]


async def test_long_lists_go_in_several_scripts(books: Books) -> None:
    await books.open(OPENING)
    users = [f"user-{n}" for n in range(1000)]
    assert await books.grant(users) == list(range(1, 1001))
    assert await books.forget(users[:600]) == 600
    assert len(await entries(books)) == 400


async def test_a_user_let_in_again_is_listed_once(books: Books) -> None:
    await books.open(OPENING)
    await books.grant(["a", "b"])
    await books.forget(["a"])
    assert await entries(books) == ["g:2:b"]
    await books.grant(["a"])
    assert await entries(books) == ["g:2:b", "g:3:a"]


async def test_users_come_in_pages(books: Books) -> None:
    await books.open(OPENING)
    await books.grant([f"u{n}" for n in range(5)])
    first, following, _ = await books.users(0, 3)
    rest, end, _ = await books.users(following or 0, 3)
    assert [entry.user for entry in first] == ["u0", "u1", "u2"]
    assert [entry.user for entry in rest] == ["u3", "u4"]
    assert following == 3
    assert end is None


async def test_forgetting_everybody_starts_a_generation(books: Books) -> None:
    opened = await books.open(OPENING)
    await books.grant(["a"])
    assert await books.forget_all() == 1
    page, _ = await books.follow(opened.incarnation, opened.generation, 1)
    assert page.generation == opened.generation + 1
    assert page.first == 0
    assert page.count == 0


async def test_healing_knows_old_from_new(books: Books) -> None:
    await books.open(OPENING)
    assert await books.heal(1, [(7, "a"), (9, "b")]) == (Status.OK, 2)
    assert await books.heal(1, [(7, "a")]) == (Status.OK, 0)
    await books.forget_all()
    assert await books.heal(1, [(7, "a")]) == (Status.STALE, 0)
    assert await books.grant(["c"]) == [10]


async def test_reset_empties_and_removes_what_was_set_by_hand(books: Books) -> None:
    opened = await books.open(OPENING)
    await books.grant(["a"])
    await books.adjust(override="50", closed="BooksLost")
    page, marks = await books.follow(0, 0, 0)
    assert (page.status, page.limit) == (Status.CLOSED, 50)
    assert (marks.override, marks.closed) == (50, "BooksLost")
    await books.reset()
    page, marks = await books.follow(0, 0, 0)
    assert (page.status, page.limit, page.count) == (Status.OK, 3, 0)
    assert marks.override is None
    assert page.incarnation > opened.incarnation


async def test_suspending_by_hand(books: Books) -> None:
    await books.open(OPENING)
    await books.adjust(suspended="1")
    assert (await books.follow(0, 0, 0))[0].suspended
    await books.adjust(suspended="0")
    assert (await books.follow(0, 0, 0))[0].status is Status.OK


async def test_any_bytes_of_a_plain_id_survive(books: Books) -> None:
    await books.open(OPENING)
    user = b"caf\xc3\xa9:\xff|x".decode("utf-8", "surrogateescape")
    await books.grant([user])
    assert [entry.user async for entry in books.all_users()] == [user]
    assert await books.forget([user]) == 1


async def test_missing_books_are_told_from_empty_ones(books: Books) -> None:
    page, _ = await books.follow(0, 0, 0)
    assert page.status is Status.MISSING
    with pytest.raises(BooksMissingError, match="no books for shop/laptop"):
        await books.grant(["a"])
    with pytest.raises(BooksMissingError):
        await books.forget_all()
    with pytest.raises(BooksMissingError):
        await books.users(0, 10)


async def test_scripts_that_the_server_forgot_are_sent_again(books: Books) -> None:
    await books.open(OPENING)
    await books.client.command("SCRIPT", "FLUSH")
    page, _ = await books.follow(0, 0, 0)
    assert page.limit == 3
    await books.client.command("SCRIPT", "FLUSH")
    assert await books.grant(["a"]) == [1]


def test_entries_survive_being_written_and_read() -> None:
    entry = Entry(How.HEALED, 12, "a:b:c")
    assert Entry.parse(str(entry)) == entry
    assert entry.how.word == "healed"


def test_every_script_is_there_and_named_by_its_text() -> None:
    loaded = [scripts.load(name) for name in scripts.NAMES]
    assert len({script.sha for script in loaded}) == len(scripts.NAMES)
    assert {path.stem for path in scripts.folder().glob("*.lua")} == set(scripts.NAMES)
