"""A folder is followed as it changes, with the kernel's help and without it."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import given, settings, strategies as st

from controlplane.sources import Directory, Update, load
from controlplane.sources.folder import Folder
from tests.unit.sources.manifests import databases, edge, together, told

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence

    import pytest

PATIENCE = 20.0


class Watch:
    """The updates of a directory, waited for with a deadline."""

    def __init__(self, updates: AsyncGenerator[Update]) -> None:
        self._updates = updates
        self.seen: list[Update] = []

    async def until(self, good: Callable[[Update], bool]) -> Update:
        async with asyncio.timeout(PATIENCE):
            async for update in self._updates:
                self.seen.append(update)
                if good(update):
                    return update
        raise AssertionError

    async def knows(self, **expected: int) -> Update:
        return await self.until(lambda update: databases(update) == expected)


@asynccontextmanager
async def watch(path: Path) -> AsyncIterator[Watch]:
    async with aclosing(Directory(path, debounce=0.01).updates()) as updates:
        yield Watch(updates)


async def test_changes_are_followed(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(edge("a", 1))
    async with watch(tmp_path) as seen:
        await seen.knows(a=1)
        (tmp_path / "a.yaml").write_text(edge("a", 2))
        await seen.knows(a=2)
        (tmp_path / "deep").mkdir()
        (tmp_path / "deep" / "b.yml").write_text(edge("b", 3))
        await seen.knows(a=2, b=3)
        (tmp_path / ".new").write_text(edge("a", 4))
        (tmp_path / ".new").rename(tmp_path / "a.yaml")
        await seen.knows(a=4, b=3)
        (tmp_path / "a.yaml").unlink()
        await seen.knows(b=3)
        shutil.rmtree(tmp_path / "deep")
        await seen.knows()


async def test_broken_text_takes_nothing_down_and_is_told_until_fixed(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(together(edge("a", 1), edge("b", 1)))
    async with watch(tmp_path) as seen:
        await seen.knows(a=1, b=1)
        (tmp_path / "a.yaml").write_text(together(edge("a", -1), edge("b", 2)))
        update = await seen.knows(a=1, b=2)
        assert len(update.problems) == 1
        (tmp_path / "a.yaml").write_text("{")
        update = await seen.until(lambda update: "YAML" in told(update)[0])
        assert databases(update) == {"a": 1, "b": 2}
        (tmp_path / "a.yaml").write_text(edge("a", 3))
        update = await seen.knows(a=3)
        assert update.problems == ()


async def test_a_config_map_is_followed_through_its_links(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / f"..v{number}").mkdir()
        (tmp_path / f"..v{number}" / "a.yaml").write_text(edge("a", number))
    (tmp_path / "..data").symlink_to("..v1")
    (tmp_path / "a.yaml").symlink_to("..data/a.yaml")
    async with watch(tmp_path) as seen:
        await seen.knows(a=1)
        (tmp_path / "..data_tmp").symlink_to("..v2")
        (tmp_path / "..data_tmp").rename(tmp_path / "..data")
        shutil.rmtree(tmp_path / "..v1")
        await seen.knows(a=2)


async def test_a_folder_that_vanishes_keeps_its_state_and_may_come_back(tmp_path: Path) -> None:
    folder = tmp_path / "manifests"
    folder.mkdir()
    (folder / "a.yaml").write_text(edge("a", 1))
    async with watch(folder) as seen:
        await seen.knows(a=1)
        folder.rename(tmp_path / "away")
        update = await seen.until(lambda update: bool(update.problems))
        assert databases(update) == {"a": 1}
        assert update.synced
        assert told(update) == [
            "cannot be read: No such file or directory (what was read last stays in force)"
        ]
        folder.mkdir()
        (folder / "b.yaml").write_text(edge("b", 2))
        update = await seen.knows(b=2)
        assert update.problems == ()
        (folder / "b.yaml").write_text(edge("b", 3))
        await seen.knows(b=3)


async def test_a_folder_that_is_not_there_yet_is_not_synced(tmp_path: Path) -> None:
    async with watch(tmp_path / "later") as seen:
        update = await seen.until(lambda _: True)
        assert not update.synced
        assert told(update) == ["cannot be read: No such file or directory"]
        (tmp_path / "later").mkdir()
        (tmp_path / "later" / "a.yaml").write_text(edge("a", 1))
        assert (await seen.knows(a=1)).synced


async def test_one_file_can_be_followed_through_replacement(tmp_path: Path) -> None:
    file = tmp_path / "one.txt"
    file.write_text(edge("a", 1))
    (tmp_path / "other.yaml").write_text(edge("b", 1))
    async with watch(file) as seen:
        await seen.knows(a=1)
        (tmp_path / "new").write_text(edge("a", 2))
        (tmp_path / "new").rename(file)
        await seen.knows(a=2)
        file.unlink()
        update = await seen.until(lambda update: bool(update.problems))
        assert databases(update) == {"a": 2}
        file.write_text(edge("a", 3))
        assert (await seen.knows(a=3)).problems == ()


async def test_changes_are_found_when_the_kernel_tells_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "inotify watch limit reached")

    monkeypatch.setattr("controlplane.sources.wake_ups.RustNotify", refuse)
    monkeypatch.setattr("controlplane.sources.directory.LOOK_AGAIN", 0.05)
    (tmp_path / "a.yaml").write_text(edge("a", 1))
    async with watch(tmp_path) as seen:
        await seen.knows(a=1)
        (tmp_path / "a.yaml").write_text(edge("a", 2))
        update = await seen.until(
            lambda update: databases(update) == {"a": 2} and told(update) != []
        )
        assert "cannot be watched ([Errno 28] inotify watch limit reached)" in told(update)[0]
        assert update.problems[0].severity == "warning"


async def test_what_did_not_change_is_no_update(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(edge("a", 1))
    async with watch(tmp_path) as seen:
        first = await seen.knows(a=1)
        (tmp_path / "notes.txt").write_text("nothing")
        (tmp_path / "a.yaml").write_text("# only a comment\n" + edge("a", 1))
        (tmp_path / "b.yaml").write_text(edge("b", 1))
        await seen.knows(a=1, b=1)
    assert len(seen.seen) == 2
    assert seen.seen[1].inventory.objects[0] is first.inventory.objects[0]


def test_an_emptied_file_is_believed_at_the_second_look(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(edge("a", 1))
    folder = Folder(tmp_path)
    folder.look()

    file.write_text("")
    assert databases(folder.look()) == {"a": 1}
    assert folder.in_doubt
    file.write_text(edge("a", 2))
    assert databases(folder.look()) == {"a": 2}
    assert not folder.in_doubt

    file.unlink()
    assert databases(folder.look()) == {"a": 2}
    assert databases(folder.look()) == {}
    assert not folder.in_doubt


def test_files_of_a_folder_that_cannot_be_listed_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.yaml").write_text(edge("a", 1))
    (tmp_path / "b.yaml").write_text(edge("b", 1))
    folder = Folder(tmp_path)
    folder.look()

    scandir = os.scandir

    def refuse(path: Path) -> object:
        if path == tmp_path / "deep":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr("controlplane.sources.files.os.scandir", refuse)
    (tmp_path / "b.yaml").write_text(edge("b", 2))
    for _ in range(3):
        update = folder.look()
        assert databases(update) == {"a": 1, "b": 2}
        assert told(update) == ["cannot be read: Permission denied"]


FILES = ("a.yaml", "b.yaml", "deep/c.yaml")
DOCUMENTS = st.tuples(st.sampled_from("pqr"), st.sampled_from([0, 1, 2, -1, "no"]))
TEXTS = st.none() | st.just("{") | st.lists(DOCUMENTS, max_size=3)


def write(root: Path, name: str, text: Sequence[tuple[str, int | str]] | str | None) -> None:
    file = root / name
    file.parent.mkdir(exist_ok=True)
    if text is None:
        file.unlink(missing_ok=True)
    elif isinstance(text, str):
        file.write_text(text)
    else:
        file.write_text(together(*(edge(name, value) for name, value in text)))


@settings(max_examples=60)
@given(st.lists(st.tuples(st.sampled_from(FILES), TEXTS), max_size=12), st.data())
def test_however_it_came_about_a_good_folder_reads_as_if_read_once(
    edits: list[tuple[str, list[tuple[str, int | str]] | str | None]], data: st.DataObject
) -> None:
    good = st.lists(st.tuples(st.sampled_from("pqr"), st.sampled_from([0, 1, 2])), max_size=3)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        folder = Folder(root)
        for file, text in edits:
            write(root, file, text)
            if data.draw(st.booleans()):
                folder.look()
        for file in FILES:
            write(root, file, data.draw(st.none() | good))
        folder.look()
        update = folder.look()
        fresh = load([root])

    assert update.inventory == fresh.inventory
    assert update.problems == fresh.problems


@settings(max_examples=60)
@given(st.lists(st.tuples(st.sampled_from(FILES), TEXTS), min_size=1, max_size=12))
def test_a_route_falls_only_when_it_was_taken_out(
    edits: list[tuple[str, list[tuple[str, int | str]] | str | None]],
) -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        folder = Folder(root)
        for file, text in edits:
            before = set(databases(folder.look()))
            write(root, file, text)
            folder.look()
            after = set(databases(folder.look()))
            if isinstance(text, str):
                assert after == before
            elif text is not None:
                assert after >= before & {named for named, _ in text}
