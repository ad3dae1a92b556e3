"""The copy on disk: what was appended is there after any crash, and damage is told."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings, strategies as st

from controlplane.ledger.books import Entry, How
from controlplane.ledger.copy import BooksCopy, CopyState, path_for, prune, tidy
from controlplane.ledger.errors import CopyDamagedError

TAG = "shop/laptop/1"
STATE = CopyState(incarnation=5, generation=2, limit=10, run="abc", proxies=("a", "b"))


def entry(number: int, user: str, how: How = How.ADMITTED) -> Entry:
    return Entry(how, number, user)


def fresh(folder: Path, *entries: Entry, state: CopyState = STATE) -> BooksCopy:
    made = BooksCopy(path_for(folder, TAG), TAG)
    rewrite = made.begin()
    rewrite.add(entries)
    rewrite.commit(state)
    return made


def reloaded(copy: BooksCopy) -> BooksCopy:
    copy.close()
    made = BooksCopy(copy.path, copy.tag)
    made.load()
    return made


def test_no_file_is_no_record(tmp_path: Path) -> None:
    copy = BooksCopy(path_for(tmp_path, TAG), TAG)
    copy.load()
    assert not copy.exists
    assert not copy.damaged


def test_what_was_appended_is_read_again(tmp_path: Path) -> None:
    copy = fresh(tmp_path, entry(1, "a"))
    copy.append([entry(2, "b"), entry(7, "c", How.HEALED)], replace(STATE, limit=20))
    copy.append([entry(8, "d")])
    again = reloaded(copy)
    assert again.exists
    assert not again.damaged
    assert again.state == replace(STATE, limit=20, seq=8)
    assert (again.entries, again.healed) == (4, 1)
    assert list(again.permits()) == [(1, "a"), (2, "b"), (7, "c"), (8, "d")]


def test_the_forgotten_are_not_taught(tmp_path: Path) -> None:
    copy = fresh(tmp_path, entry(1, "a"), entry(2, "b"), entry(0, "a", How.FORGOTTEN))
    assert list(copy.permits()) == [(2, "b")]
    copy.append([entry(3, "a", How.GRANTED)])
    assert list(reloaded(copy).permits()) == [(2, "b"), (3, "a")]


def test_a_torn_end_is_cut_off(tmp_path: Path) -> None:
    copy = fresh(tmp_path, entry(1, "a"))
    copy.append([entry(2, "b")])
    copy.close()
    whole = copy.path.read_bytes()
    copy.path.write_bytes(whole[:-3])
    torn = reloaded(copy)
    assert not torn.damaged
    assert list(torn.permits()) == [(1, "a")]
    torn.append([entry(2, "b")])
    assert reloaded(torn).path.read_bytes() == whole


def test_damage_in_the_middle_is_told(tmp_path: Path) -> None:
    copy = fresh(tmp_path, *(entry(n, f"user-{n}") for n in range(1, 20)))
    copy.close()
    content = bytearray(copy.path.read_bytes())
    content[content.index(b"user-9")] ^= 1
    copy.path.write_bytes(content)
    hurt = reloaded(copy)
    assert hurt.damaged
    assert hurt.entries == 8


@given(cut=st.integers(0, 400))
@settings(max_examples=60, deadline=None)
def test_any_cut_leaves_a_readable_beginning(cut: int) -> None:
    users = [entry(n, f"user-{n}") for n in range(1, 9)]
    with TemporaryDirectory() as folder:
        copy = fresh(Path(folder), *users)
        copy.append([], STATE)
        copy.close()
        content = copy.path.read_bytes()
        copy.path.write_bytes(content[: max(0, len(content) - cut)])
        rest = reloaded(copy)
        assert list(rest.permits()) == [(n, f"user-{n}") for n in range(1, rest.entries + 1)]
        assert rest.damaged == (not rest.state.incarnation)
        if not rest.damaged:
            rest.append([entry(9, "later")])
            assert list(reloaded(rest).permits())[-1] == (9, "later")


def test_a_rewrite_that_is_given_up_changes_nothing(tmp_path: Path) -> None:
    copy = fresh(tmp_path, entry(1, "a"))
    rewrite = copy.begin()
    rewrite.add([entry(2, "b")])
    rewrite.abandon()
    assert list(reloaded(copy).permits()) == [(1, "a")]
    assert [path.name for path in tmp_path.iterdir()] == [copy.path.name]


def test_another_sales_file_is_refused(tmp_path: Path) -> None:
    copy = fresh(tmp_path)
    copy.close()
    other = BooksCopy(copy.path, "shop/phone/1")
    with pytest.raises(CopyDamagedError, match="not a copy of the books of shop/phone/1"):
        other.load()
    other.set_aside()
    assert other.damaged
    assert copy.path.with_name(copy.path.name + ".bad").exists()


def test_file_names_are_safe_and_tell_sales_apart(tmp_path: Path) -> None:
    names = {path_for(tmp_path, tag).name for tag in ("a/b/c", "a/b.c/", "a/../..", "a/b/\udcff")}
    assert len(names) == 4
    assert all("/" not in name for name in names)


def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    copy = fresh(tmp_path / "books", entry(1, "a"))
    assert copy.path.stat().st_mode & 0o777 == 0o600
    assert copy.path.parent.stat().st_mode & 0o777 == 0o700


def copy_of(folder: Path, tag: str, *, touched_ms: int, expire_at_ms: int = 0) -> Path:
    made = BooksCopy(path_for(folder, tag), tag)
    rewrite = made.begin()
    rewrite.commit(replace(STATE, expire_at_ms=expire_at_ms))
    os.utime(made.path, (touched_ms / 1000, touched_ms / 1000))
    return made.path


def test_copies_whose_time_is_over_are_removed(tmp_path: Path) -> None:
    copy_of(tmp_path, "shop/over/1", touched_ms=1999, expire_at_ms=1000)
    copy_of(tmp_path, "shop/endless/1", touched_ms=1000)
    left = {
        copy_of(tmp_path, "shop/endless/2", touched_ms=1600),
        copy_of(tmp_path, "shop/endless/3", touched_ms=1000),
        copy_of(tmp_path, "shop/later/1", touched_ms=1000, expire_at_ms=3000),
    }

    prune(tmp_path, now_ms=2000, kept=["shop/endless/3", "shop/new/1"], retention_ms=500)

    assert set(tmp_path.iterdir()) == left
    # From now on nobody names the third epoch either: it has as long as the others had.
    prune(tmp_path, now_ms=2400, kept=[], retention_ms=500)
    assert path_for(tmp_path, "shop/endless/3").exists()
    prune(tmp_path, now_ms=2600, kept=[], retention_ms=500)
    assert [path.name for path in tmp_path.iterdir()] == [path_for(tmp_path, "shop/later/1").name]
    prune(tmp_path / "nowhere", now_ms=2000, kept=[], retention_ms=500)


def test_what_a_crash_left_unfinished_is_removed(tmp_path: Path) -> None:
    kept = fresh(tmp_path)
    (tmp_path / "half.books.new").touch()
    tidy(tmp_path)
    assert list(tmp_path.iterdir()) == [kept.path]
    tidy(tmp_path / "nowhere")
