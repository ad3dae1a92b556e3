"""Responses joined from pieces are what protobuf itself would write, or read."""

from __future__ import annotations

from envoy_data_plane.envoy.service.discovery.v3 import (
    DeltaDiscoveryResponse,
    DiscoveryResponse,
)
from hypothesis import given, strategies as st

from controlplane.xds import discovery_pb2, kinds
from controlplane.xds.events import Reply
from controlplane.xds.resource import Resource

bodies = st.dictionaries(
    st.text(max_size=200),
    st.one_of(st.binary(min_size=1, max_size=300), st.just(b"x" * 20_000)),
    max_size=5,
)
words = st.text(max_size=20)


def reply(contents: dict[str, bytes], *, delta: bool, **options: object) -> Reply:
    resources = tuple(Resource.of(kinds.ROUTES, name, body) for name, body in contents.items())
    return Reply(kinds.RDS, delta=delta, resources=resources, **options)  # type: ignore[arg-type]


@given(bodies, words, words)
def test_state_of_the_world(contents: dict[str, bytes], version: str, nonce: str) -> None:
    data = reply(contents, delta=False, version=version, nonce=nonce).encode()
    message = discovery_pb2.DiscoveryResponse.FromString(data)
    assert [one.value for one in message.resources] == list(contents.values())
    assert {one.type_url for one in message.resources} <= {kinds.ROUTES}
    assert (message.version_info, message.nonce, message.type_url) == (
        version,
        nonce,
        kinds.ROUTES,
    )
    assert message.SerializeToString() != b""
    assert len(message.SerializeToString()) == len(data)


@given(bodies, st.lists(words, max_size=3), words)
def test_delta(contents: dict[str, bytes], removed: list[str], nonce: str) -> None:
    removed = [name for name in removed if name]
    one = reply(contents, delta=True, version="v", nonce=nonce, removed=tuple(removed))
    message = discovery_pb2.DeltaDiscoveryResponse.FromString(one.encode())
    assert {item.name: item.resource.value for item in message.resources} == contents
    assert [item.version for item in message.resources] == [item.version for item in one.resources]
    assert list(message.removed_resources) == removed
    assert message.system_version_info == "v"
    assert len(message.SerializeToString()) == len(one.encode())


def test_as_others_read_it() -> None:
    """The field numbers are Envoy's."""
    contents = {"a": b"\x0a\x01a"}
    sotw = DiscoveryResponse.parse(reply(contents, delta=False, version="v", nonce="n").encode())
    assert (sotw.version_info, sotw.nonce, sotw.type_url) == ("v", "n", kinds.ROUTES)
    assert sotw.resources[0].value == b"\x0a\x01a"
    delta = DeltaDiscoveryResponse.parse(
        reply(contents, delta=True, version="v", nonce="n", removed=("b",)).encode()
    )
    assert (delta.system_version_info, delta.nonce, delta.type_url) == ("v", "n", kinds.ROUTES)
    assert delta.resources[0].name == "a"
    assert delta.resources[0].version == Resource.of(kinds.ROUTES, "a", b"\x0a\x01a").version
    assert delta.resources[0].resource is not None
    assert delta.resources[0].resource.type_url == kinds.ROUTES
    assert delta.removed_resources == ["b"]
