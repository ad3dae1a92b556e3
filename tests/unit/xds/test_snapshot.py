"""Content, its versions, and its differences."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from controlplane.xds import kinds
from controlplane.xds.resource import Resource
from controlplane.xds.snapshot import EMPTY, EMPTY_VERSION, Snapshot
from tests.unit.xds.samples import cluster, listener, routes, snapshot, static_cluster

contents = st.dictionaries(
    st.tuples(st.sampled_from([kinds.ROUTES, kinds.LISTENER]), st.sampled_from("abc")),
    st.sampled_from([b"1", b"2"]),
)


def of(content: dict[tuple[str, str], bytes]) -> Snapshot:
    return Snapshot.of(Resource.of(url, name, body) for (url, name), body in content.items())


def test_versions_depend_on_content_only() -> None:
    """W12: not on order, time or process: replicas and restarts agree."""
    one = snapshot(routes("a"), routes("b"), listener("l"))
    other = snapshot(listener("l"), routes("b"), routes("a"))
    assert one.version == other.version
    assert one.versions == other.versions
    assert Resource.of(kinds.ROUTES, "a", b"x").version == "2d711642b726b044"


@given(contents, contents)
def test_versions_tell_contents_apart(
    one: dict[tuple[str, str], bytes], other: dict[tuple[str, str], bytes]
) -> None:
    assert (of(one).version == of(other).version) == (one == other)


@given(contents, contents)
def test_changes(one: dict[tuple[str, str], bytes], other: dict[tuple[str, str], bytes]) -> None:
    expected: dict[str, set[str]] = {}
    for key in {*one, *other}:
        if one.get(key) != other.get(key):
            expected.setdefault(key[0], set()).add(key[1])
    assert of(one).changes_since(of(other)) == expected


def test_changes_are_found_once() -> None:
    """All streams of a gateway ask for the same."""
    old, new = snapshot(routes("a", "1")), snapshot(routes("a", "2"))
    assert new.changes_since(old) is new.changes_since(snapshot(routes("a", "1")))


def test_remembered_changes_are_bounded() -> None:
    new = snapshot(routes("a", "new"))
    for number in range(100):
        new.changes_since(snapshot(routes("a", str(number))))
    assert len(new._changes) <= 16


def test_an_empty_type_has_a_version() -> None:
    assert EMPTY.version_of(kinds.ROUTES) == EMPTY_VERSION
    assert snapshot(routes("a")).version_of(kinds.LISTENER) == EMPTY_VERSION


def test_sharing_keeps_old_objects() -> None:
    first = routes("a")
    shared = snapshot(routes("a"), routes("b")).sharing(snapshot(first))
    assert shared.get(kinds.ROUTES, "a") is first
    assert shared.get(kinds.ROUTES, "b") == routes("b")


def test_it_cannot_be_changed() -> None:
    content = snapshot(routes("a"))
    with pytest.raises(TypeError):
        content.resources[kinds.ROUTES]["b"] = routes("b")  # type: ignore[index]


def test_which_endpoints_a_cluster_asks_for() -> None:
    assert cluster("a").endpoints == "a"
    assert cluster("a", endpoints="b").endpoints == "b"
    assert static_cluster("a").endpoints is None
    assert routes("a").endpoints is None
    assert Resource.of(kinds.CLUSTER, "a", b"\xff").endpoints is None
