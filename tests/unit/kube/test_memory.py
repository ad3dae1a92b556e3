from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from controlplane.kube import (
    Bookmark,
    Deleted,
    GoneError,
    KubeError,
    Listed,
    Object,
    Put,
    ResourceType,
    TooManyRequestsError,
    UnavailableError,
)
from controlplane.kube.memory import Memory

WIDGETS = ResourceType("test.sluice.dev", "v1", "widgets", "Widget")


def _widget(name: str, version: int) -> Object:
    metadata = {"namespace": "shop", "name": name, "resourceVersion": str(version)}
    return {"metadata": {**metadata, "managedFields": [{}]}}


def _line(kind: str, obj: Any) -> bytes:
    return json.dumps({"type": kind, "object": obj}).encode()


def _bookmark(version: int) -> bytes:
    return _line("BOOKMARK", {"metadata": {"resourceVersion": str(version)}})


def _listed(*objects: Object, version: int = 10) -> Memory:
    memory = Memory(WIDGETS)
    memory.listed(objects, str(version))
    return memory


def test_a_list_tells_what_changed_since_it_was_told_before() -> None:
    memory = Memory(WIDGETS)
    first = memory.listed([_widget("a", 1), _widget("b", 2), _widget("c", 3)], "5")
    assert first.changed == first.objects.keys()
    assert first.deleted == frozenset()
    memory.take(_line("MODIFIED", _widget("a", 6)))
    again = memory.listed([_widget("a", 6), _widget("b", 8), _widget("d", 7)], "9")
    assert again.changed == {("shop", "b"), ("shop", "d")}
    assert again.deleted == {("shop", "c")}
    assert memory.position == "9"


def test_events_move_the_position_and_bookmarks_too() -> None:
    memory = _listed()
    assert memory.take(_line("ADDED", _widget("a", 11))) == Put(
        ("shop", "a"),
        {
            "apiVersion": "test.sluice.dev/v1",
            "kind": "Widget",
            "metadata": {"namespace": "shop", "name": "a", "resourceVersion": "11"},
        },
    )
    assert memory.position == "11"
    assert memory.take(_bookmark(20)) == Bookmark("20")
    assert memory.take(_line("DELETED", _widget("a", 21))) == Deleted(("shop", "a"))
    assert memory.position == "21"


def test_what_was_told_already_is_not_told_again() -> None:
    memory = _listed(_widget("a", 10))
    assert memory.take(_line("ADDED", _widget("a", 10))) == Bookmark("10")


def test_a_version_that_lies_back_means_another_store() -> None:
    memory = _listed(version=100)
    with pytest.raises(GoneError, match="went back"):
        memory.take(_line("MODIFIED", _widget("a", 99)))
    assert not memory.position


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ({"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}, GoneError),
        (
            {"kind": "Status", "code": 429, "details": {"retryAfterSeconds": 3}},
            TooManyRequestsError,
        ),
        ({"kind": "Status", "code": 500, "message": "no leader"}, UnavailableError),
        ({}, UnavailableError),
    ],
)
def test_an_error_in_a_watch_means_a_new_list(status: Object, kind: type[KubeError]) -> None:
    memory = _listed()
    with pytest.raises(kind, match=r"^cannot watch widgets\.test\.sluice\.dev: "):
        memory.take(_line("ERROR", status))
    assert not memory.position


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"[]",
        b'{"type":"ADDED"}',
        b'{"type":"ADDED","object":[]}',
        b"\xff",
        _line("ADDED", {}),
        _line("ADDED", {"metadata": None}),
        _line("ODD", _widget("a", 11)),
    ],
)
def test_a_line_that_makes_no_sense_means_a_new_list(line: bytes) -> None:
    memory = _listed()
    with pytest.raises(UnavailableError):
        memory.take(line)
    assert not memory.position


Step = tuple[str, str]
STEPS = st.lists(
    st.tuples(st.sampled_from(["put", "delete", "miss", "list"]), st.sampled_from("abc"))
)


@given(STEPS)
def test_whoever_applies_all_that_is_told_has_what_the_server_has(steps: list[Step]) -> None:
    """Through any changes, seen or missed, with a new list after those that were missed."""
    memory = Memory(WIDGETS)
    server: dict[str, int] = {}
    told: dict[str, str] = {}
    version = 1

    def relist() -> None:
        listed = memory.listed([_widget(*item) for item in server.items()], str(version))
        before = dict(told)
        _apply(told, listed)
        assert {key[1] for key in listed.changed} == {
            name for name in told if told[name] != before.get(name)
        }
        assert {key[1] for key in listed.deleted} == before.keys() - told.keys()

    relist()
    missed = False
    for what, name in steps:
        version += 1
        if what == "list" or missed:
            relist()
            missed = False
        if what == "delete" and name in server:
            del server[name]
            _apply(told, memory.take(_line("DELETED", _widget(name, version))))
        elif what == "put":
            kind = "MODIFIED" if name in server else "ADDED"
            server[name] = version
            _apply(told, memory.take(_line(kind, _widget(name, version))))
        elif what == "miss":
            server[name] = version
            server.pop(chr(ord("a") + version % 3), None)
            missed = True
    if missed:
        relist()
    assert told == {name: str(number) for name, number in server.items()}


def _apply(told: dict[str, str], change: object) -> None:
    match change:
        case Listed(objects):
            told.clear()
            told.update(
                {key[1]: obj["metadata"]["resourceVersion"] for key, obj in objects.items()}
            )
        case Put((_, name), obj):
            told[name] = obj["metadata"]["resourceVersion"]
        case Deleted((_, name)):
            del told[name]
