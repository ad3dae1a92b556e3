"""What files give, what stays when they go bad, and which of two counts."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from controlplane.model import Service
from controlplane.sources import load
from controlplane.sources.loading import STAYS, FileState, assemble, digest_file
from tests.unit.sources.manifests import databases, edge, together, told

if TYPE_CHECKING:
    from pathlib import Path


def history(*texts: str) -> FileState:
    """What a file gives after it held each text in turn."""
    state: FileState | None = None
    for text in texts:
        state = digest_file("a.yaml", text.encode(), state)
    assert state is not None
    return state


def test_a_broken_object_keeps_its_last_good_version() -> None:
    update = assemble(
        [history(together(edge("a", 1), edge("b", 1)), together(edge("a", 2), edge("b", -1)))]
    )

    assert databases(update) == {"a": 2, "b": 1}
    (problem,) = update.problems
    assert (problem.line, problem.message.endswith(STAYS)) == (9, True)


def test_an_object_that_was_never_good_is_not_there() -> None:
    update = assemble([history(together(edge("a", 1), edge("b", -1)))])

    assert databases(update) == {"a": 1}
    assert not told(update)[0].endswith(STAYS)


def test_a_broken_file_keeps_all_that_it_gave() -> None:
    update = assemble([history(together(edge("a", 1), edge("b", 1)), edge("a", 2) + "{")])

    assert databases(update) == {"a": 1, "b": 1}
    assert told(update)[0].endswith(STAYS)


def test_what_stays_stays_through_several_bad_texts() -> None:
    update = assemble([history(edge("a", 1), "{", "}", edge("a", -1), "- x", edge("a", -2))])

    assert databases(update) == {"a": 1}


def test_a_good_text_ends_it() -> None:
    update = assemble([history(edge("a", 1), "{", edge("b", 2))])

    assert databases(update) == {"b": 2}
    assert update.problems == ()


def test_a_removed_document_is_gone_though_another_is_broken() -> None:
    both = together(edge("a", 1), edge("b", 1))

    assert databases(assemble([history(both, edge("b", -1))])) == {"b": 1}


@pytest.mark.parametrize(
    "broken",
    [
        edge("a", 2).replace("EdgeConfig", "EdgeConfg"),
        edge("a", 2).replace("v1alpha1", "v1"),
        edge("a", 2).replace("name: a", "nme: a"),
        edge("A", 2),
        edge("renamed", -1),
        "just: something\n",
    ],
)
def test_a_document_that_cannot_be_told_apart_takes_nothing_down(broken: str) -> None:
    update = assemble(
        [history(together(edge("a", 1), edge("b", 1)), together(broken, edge("b", 2)))]
    )

    assert databases(update) == {"a": 1, "b": 2}
    assert any(message.endswith(STAYS) for message in told(update))


def test_an_unchanged_object_is_the_very_same_object() -> None:
    state = digest_file("a.yaml", together(edge("a", 1), edge("b", 1)).encode())
    again = digest_file(
        "a.yaml", together(edge("b", 2), "# moved\n" + edge("a", 1)).encode(), state
    )

    before = {entry.resource.name: entry.resource for entry in state.entries}
    after = {entry.resource.name: entry.resource for entry in again.entries}
    assert after["a"] is before["a"]
    assert after["b"] != before["b"]
    assert digest_file("a.yaml", together(edge("a", 1), edge("b", 1)).encode(), state) is state


def test_of_two_files_with_one_object_the_first_counts() -> None:
    states = [
        digest_file(name, edge("a", n).encode()) for n, name in enumerate(["z.yaml", "b.yaml"])
    ]
    update = assemble(states)

    assert databases(update) == {"a": 1}
    (problem,) = update.problems
    assert problem.reason == "Duplicate"
    assert str(problem) == (
        "z.yaml:1: EdgeConfig default/a: stands in b.yaml:1 already, which counts: "
        "remove one of them"
    )


def test_other_kinds_are_warnings() -> None:
    update = assemble([digest_file("a.yaml", b"{apiVersion: apps/v1, kind: Deployment, on: no}")])

    assert [problem.severity for problem in update.problems] == ["warning"]


def test_errors_inside_a_list_stay_inside_their_item() -> None:
    def listed(*items: str) -> str:
        return "apiVersion: v1\nkind: List\nitems:\n" + "".join(f"- {item}\n" for item in items)

    def item(name: str, more: str = "") -> str:
        return (
            "{apiVersion: v1, kind: Service, "
            f"metadata: {{name: {name}}}, spec: {{ports: [{{port: 80}}]{more}}}}}"
        )

    good = listed(item("a"), item("b"))
    bad = listed(item("a", ", ports: []"), item("c"))
    update = assemble([history(good, bad)])

    assert {service.name for service in update.inventory.all(Service)} == {"a", "c"}
    doubled = assemble([history(good, good + "items: []\n")])
    assert len(doubled.inventory) == 2
    assert "is given twice" in told(doubled)[0]


def test_a_folder_is_read_with_what_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "folder.yaml").mkdir()
    good = {"a": "a.yaml", "b": "deep/b.yml", "c": "deep/er/c.yaml", "d": "folder.yaml/d.yaml"}
    for name, file in good.items():
        (tmp_path / file).write_text(edge(name))
    for name in (".x.yaml", "x.yaml~", "x.yaml.swp", "#x.yaml#", "x.txt", ".hidden/x.yaml"):
        (tmp_path / name).write_text("{")

    update = load([tmp_path])

    assert set(databases(update)) == {"a", "b", "c", "d"}
    assert update.problems == ()


def test_files_are_read_whatever_their_name_when_they_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(edge("a"))
    (tmp_path / "b.yaml").write_text(edge("b"))

    update = load([tmp_path / "a.txt", tmp_path, str(tmp_path / "b.yaml")])

    assert set(databases(update)) == {"a", "b"}
    assert update.problems == ()


def test_a_mounted_config_map_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "..2026_01" / "sub").mkdir(parents=True)
    (tmp_path / "..2026_01" / "a.yaml").write_text(edge("a"))
    (tmp_path / "..2026_01" / "sub" / "b.yaml").write_text(edge("b"))
    (tmp_path / "..data").symlink_to("..2026_01")
    (tmp_path / "a.yaml").symlink_to("..data/a.yaml")
    (tmp_path / "sub").symlink_to("..data/sub")

    update = load([tmp_path])

    assert set(databases(update)) == {"a", "b"}
    assert update.problems == ()


def test_links_in_a_ring_end(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.yaml").write_text(edge("x"))
    (tmp_path / "a" / "b").symlink_to(tmp_path)

    assert set(databases(load([tmp_path]))) == {"x"}


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text(edge("a"))
    (tmp_path / "gone.yaml").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe.yaml")

    update = load([tmp_path, tmp_path / "missing"])

    assert set(databases(update)) == {"a"}
    assert sorted(str(problem).removeprefix(f"{tmp_path}/") for problem in update.problems) == [
        "gone.yaml: cannot be read: No such file or directory",
        "missing: cannot be read: No such file or directory",
        "pipe.yaml: cannot be read: not a regular file",
    ]


def test_a_folder_without_manifests_is_worth_a_word(tmp_path: Path) -> None:
    update = load([tmp_path])

    assert [(problem.severity, problem.message) for problem in update.problems] == [
        ("warning", "holds no manifests (.yaml, .yml)")
    ]
