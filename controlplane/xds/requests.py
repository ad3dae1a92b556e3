"""Requests as the state machine reads them, and the proxy's identity.

The bytes are parsed by protobuf's C code; what is needed is copied out once, so that the rest of
the package depends on plain values and can be tested with them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from controlplane.xds import discovery_pb2

if TYPE_CHECKING:
    from collections.abc import Mapping

_MESSAGE_LIMIT = 2000


@dataclass(frozen=True, slots=True)
class Node:
    """Which proxy this is.

    Attributes:
        id: unique for a proxy.
        cluster: its gateway, `namespace/name`.
        workers: how many worker threads it says to have; 0 when it does not say.
        agent: program and version, e.g. `envoy 1.36.0`.
    """

    id: str
    cluster: str
    workers: int = 0
    agent: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """What both variants have.

    Attributes:
        type_url: may be empty on a single-type service.
        nonce: of the response that is answered; empty when none is.
        error: None, or why the client refuses that response.
        node: None when the client left it out, as it may after a stream's first request.
    """

    type_url: str
    nonce: str = ""
    error: str | None = None
    node: Node | None = None


@dataclass(frozen=True, slots=True)
class SotwRequest(Request):
    """A state-of-the-world request: always the full list of names.

    Attributes:
        names: all that the client subscribes to.
        version: of the last response that it accepted, on this stream or an earlier one.
    """

    names: tuple[str, ...] = ()
    version: str = ""


@dataclass(frozen=True, slots=True)
class DeltaRequest(Request):
    """A delta request: what changes in the subscription.

    Attributes:
        subscribe: names from now on, or to be sent again.
        unsubscribe: names no longer wanted.
        initial: on the first request for a type: name -> version of what the client has.
    """

    subscribe: tuple[str, ...] = ()
    unsubscribe: tuple[str, ...] = ()
    initial: Mapping[str, str] = field(default_factory=dict)


def parse_sotw(data: bytes) -> SotwRequest:
    """Reads a DiscoveryRequest. DecodeError when it is none."""
    message = discovery_pb2.DiscoveryRequest.FromString(data)
    return SotwRequest(
        type_url=message.type_url,
        nonce=message.response_nonce,
        error=_error(message),
        node=_node(message),
        names=tuple(message.resource_names),
        version=message.version_info,
    )


def parse_delta(data: bytes) -> DeltaRequest:
    """Reads a DeltaDiscoveryRequest. DecodeError when it is none."""
    message = discovery_pb2.DeltaDiscoveryRequest.FromString(data)
    return DeltaRequest(
        type_url=message.type_url,
        nonce=message.response_nonce,
        error=_error(message),
        node=_node(message),
        subscribe=tuple(message.resource_names_subscribe),
        unsubscribe=tuple(message.resource_names_unsubscribe),
        initial=dict(message.initial_resource_versions),
    )


_Envelope = discovery_pb2.DiscoveryRequest | discovery_pb2.DeltaDiscoveryRequest


def _error(message: _Envelope) -> str | None:
    # Presence refuses, not the text or a code (S6).
    if not message.HasField("error_detail"):
        return None
    detail = message.error_detail
    return detail.message[:_MESSAGE_LIMIT] or f"refused with code {detail.code}"


def _node(message: _Envelope) -> Node | None:
    if not message.HasField("node"):
        return None
    node = message.node
    return Node(id=node.id, cluster=node.cluster, workers=_workers(node), agent=_agent(node))


def _workers(node: discovery_pb2.Node) -> int:
    fields = node.metadata.fields
    if "workers" not in fields or fields["workers"].WhichOneof("kind") != "number_value":
        return 0
    value = fields["workers"].number_value
    # Not every float is a number of threads: NaN and infinity are none.
    return int(value) if 0 <= value <= _MOST_WORKERS else 0


_MOST_WORKERS = 4096


def _agent(node: discovery_pb2.Node) -> str:
    version = node.user_agent_version
    if node.HasField("user_agent_build_version"):
        number = node.user_agent_build_version.version
        version = f"{number.major_number}.{number.minor_number}.{number.patch}"
    return f"{node.user_agent_name} {version}".strip()
