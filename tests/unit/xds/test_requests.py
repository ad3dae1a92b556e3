"""Reading requests, and who the client is."""

from __future__ import annotations

import math

import pytest
from envoy_data_plane.envoy.config.core.v3 import Node as EnvoyNode
from envoy_data_plane.envoy.service.discovery.v3 import (
    DeltaDiscoveryRequest,
    DiscoveryRequest,
)
from envoy_data_plane.google.rpc import Status
from google.protobuf.message import DecodeError
from google.protobuf.struct_pb2 import Struct

from controlplane.xds import discovery_pb2, kinds
from controlplane.xds.requests import Node, parse_delta, parse_sotw


def node_of(**fields: object) -> Node:
    message = discovery_pb2.DiscoveryRequest(node=discovery_pb2.Node(**fields))  # type: ignore[arg-type]
    node = parse_sotw(message.SerializeToString()).node
    assert node is not None
    return node


def test_a_state_of_the_world_request_as_others_write_it() -> None:
    data = bytes(
        DiscoveryRequest(
            version_info="7",
            node=EnvoyNode(id="edge-1", cluster="shop/edge", user_agent_name="envoy"),
            resource_names=["a", "b"],
            type_url=kinds.ROUTES,
            response_nonce="n",
            error_detail=Status(code=3, message="not liked"),
        )
    )
    request = parse_sotw(data)
    assert request.version == "7"
    assert request.node == Node(id="edge-1", cluster="shop/edge", agent="envoy")
    assert request.names == ("a", "b")
    assert request.type_url == kinds.ROUTES
    assert request.nonce == "n"
    assert request.error == "not liked"


def test_a_delta_request_as_others_write_it() -> None:
    data = bytes(
        DeltaDiscoveryRequest(
            type_url=kinds.ROUTES,
            resource_names_subscribe=["a"],
            resource_names_unsubscribe=["b"],
            initial_resource_versions={"a": "1"},
            response_nonce="n",
        )
    )
    request = parse_delta(data)
    assert request.subscribe == ("a",)
    assert request.unsubscribe == ("b",)
    assert request.initial == {"a": "1"}
    assert request.nonce == "n"
    assert request.node is None
    assert request.error is None


def test_an_error_without_words_is_an_error() -> None:
    """S6: presence counts."""
    message = discovery_pb2.DiscoveryRequest(error_detail=discovery_pb2.Status(code=13))
    assert parse_sotw(message.SerializeToString()).error == "refused with code 13"


def test_a_long_error_is_cut() -> None:
    message = discovery_pb2.DiscoveryRequest(error_detail=discovery_pb2.Status(message="x" * 9999))
    assert len(parse_sotw(message.SerializeToString()).error or "") == 2000


@pytest.mark.parametrize(
    ("value", "workers"),
    [(2, 2), (2.9, 2), (0, 0), (-1, 0), (math.nan, 0), (math.inf, 0), (1e9, 0), ("2", 0)],
)
def test_workers(value: float | str, workers: int) -> None:
    metadata = Struct()
    metadata.update({"workers": value})
    assert node_of(id="x", metadata=metadata).workers == workers


def test_an_agent_with_a_build_version() -> None:
    build = discovery_pb2.BuildVersion(
        version=discovery_pb2.SemanticVersion(major_number=1, minor_number=36, patch=2)
    )
    node = node_of(id="x", user_agent_name="envoy", user_agent_build_version=build)
    assert node.agent == "envoy 1.36.2"


@pytest.mark.parametrize("data", [b"\xff\xff\xff", b"\x22\x02\xff\xfe"])
def test_what_is_no_request(data: bytes) -> None:
    with pytest.raises(DecodeError):
        parse_sotw(data)
    with pytest.raises(DecodeError):
        parse_delta(data)
