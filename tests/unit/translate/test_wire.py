from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from envoy_data_plane.envoy.config.core.v3 import (
    Address,
    HeaderValue,
    HeaderValueOption,
    SocketAddress,
)
from envoy_data_plane.envoy.config.route.v3 import (
    HeaderMatcher,
    Route,
    RouteAction,
    RouteConfiguration,
    RouteMatch,
    VirtualHost,
)
from envoy_data_plane.envoy.type.v3 import DoubleRange, Int64Range
from envoy_data_plane.google.protobuf import Any, StringValue, Struct, Value
from hypothesis import given, strategies as st

from controlplane.translate.wire import encode, field_number, message_class, pack, varint
from tests.contract.envoy.golden import CASES, translated
from tests.contract.envoy.proxy import GATEWAY

if TYPE_CHECKING:
    from pathlib import Path

    from betterproto2 import Message


@pytest.mark.parametrize(
    "message",
    [
        VirtualHost(),
        VirtualHost(routes=[Route()]),
        RouteMatch(prefix=""),
        RouteMatch(prefix="/", headers=[HeaderMatcher(name="ä", present_match=False)]),
        RouteAction(cluster="c", timeout=timedelta(0), weighted_clusters=None),
        RouteAction(timeout=timedelta(seconds=1, microseconds=5)),
        RouteConfiguration(name="x", validate_clusters=False, ignore_port_in_host_matching=True),
        Address(socket_address=SocketAddress(address="::1", port_value=65535)),
        HeaderValueOption(header=HeaderValue(key="k", value=""), keep_empty_value=True),
        Int64Range(start=-1, end=1 << 62),
        DoubleRange(start=-0.5, end=1e300),
        Struct(fields={"a": Value(string_value="")}),
        Any(type_url="t", value=b"\x00\xff"),
    ],
    ids=repr,
)
def test_the_bytes_are_those_of_the_library(message: Message) -> None:
    assert encode(message) == bytes(message)


@pytest.mark.parametrize("case", sorted(CASES.glob("*.yaml")), ids=lambda path: path.stem)
def test_resources_mean_the_same_to_the_library(case: Path) -> None:
    for url, named in translated(case).snapshots[GATEWAY].resources.items():
        kind = message_class(url)
        assert kind is not None
        for resource in named.values():
            message = kind.parse(resource.body)
            assert kind.parse(encode(message)) == message
            assert kind.parse(bytes(message)) == message
            assert not message._unknown_fields


def test_a_map_is_written_in_the_order_of_its_keys() -> None:
    fields = {"b": Value(number_value=1), "a": Value(number_value=2)}
    turned = dict(reversed(fields.items()))
    assert encode(Struct(fields=fields)) == encode(Struct(fields=turned))
    assert Struct.parse(encode(Struct(fields=fields))).fields == fields


@given(st.integers(min_value=0, max_value=(1 << 64) - 1))
def test_a_number_is_read_back(number: int) -> None:
    encoded = varint(number)
    assert sum((byte & 0x7F) << (7 * place) for place, byte in enumerate(encoded)) == number
    assert all(byte & 0x80 for byte in encoded[:-1])
    assert not encoded[-1] & 0x80


def test_pieces_are_joined_as_if_they_had_been_encoded_in_place() -> None:
    routes = [Route(name="a", match=RouteMatch(prefix="/")), Route()]
    host = VirtualHost(name="h", domains=["*"])
    joined = encode(host, routes=map(encode, routes))
    assert VirtualHost.parse(joined) == VirtualHost(name="h", domains=["*"], routes=routes)


def test_a_packed_message_keeps_its_type() -> None:
    packed = pack(StringValue(value="x"))
    assert packed.type_url == "type.googleapis.com/google.protobuf.StringValue"
    assert packed.unpack() == StringValue(value="x")


def test_an_unknown_field_is_an_error() -> None:
    with pytest.raises(KeyError, match="route"):
        field_number(VirtualHost, "route")
