"""One configuration resource, encoded once and shared by every stream that sends it.

Building Envoy messages is slow (about a millisecond a route), so a resource enters this package as
bytes and is never decoded again. What stands around those bytes in a response of either variant is
made here once as well; a response is these pieces joined.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import Final, Self

from google.protobuf.message import DecodeError

from controlplane.xds import discovery_pb2, wire
from controlplane.xds.kinds import CLUSTER

WORD: Final = "n=00000000"
"""Stands in what is `fetched`, and is another word each time that it is sent."""
_VERSION_DIGITS = 16
_EDS = 3  # Cluster.DiscoveryType.EDS


@dataclass(frozen=True, slots=True)
class Resource:
    """An encoded resource.

    Attributes:
        name: unique within its type.
        type_url: its type, e.g. `kinds.LISTENER`.
        body: the serialised message (not the Any around it).
        version: hash of the body: equal content has equal versions on every replica, and after
            every restart. Use `Resource.of` to have it computed.
        opening: of content of which the client has to fetch a part, what it gets when it has just
            started; both hold `WORD` then: see `fetching`.
        endpoints: for a cluster that asks for its endpoints: under which name.
        any_head: what precedes the body as an element of `DiscoveryResponse.resources`.
        delta_head: likewise for `DeltaDiscoveryResponse.resources`.
    """

    name: str
    type_url: str
    body: bytes = field(repr=False)
    version: str
    opening: bytes | None = field(default=None, repr=False, compare=False)
    endpoints: str | None = field(init=False, repr=False, compare=False)
    any_head: bytes = field(init=False, repr=False, compare=False)
    delta_head: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        around = wire.any_head(self.type_url, len(self.body))
        set_once = object.__setattr__
        set_once(self, "any_head", wire.resources_head(len(around) + len(self.body)) + around)
        set_once(
            self, "delta_head", wire.delta_head(self.name, self.version, around, len(self.body))
        )
        endpoints = _endpoints(self.body) if self.type_url == CLUSTER else None
        set_once(self, "endpoints", endpoints)

    @classmethod
    def of(cls, type_url: str, name: str, body: bytes, opening: bytes | None = None) -> Self:
        """The resource with this content, its version computed."""
        digest = hashlib.sha256(body).hexdigest()[:_VERSION_DIGITS]
        return cls(name=name, type_url=type_url, body=body, version=digest, opening=opening)

    @property
    def fetched(self) -> bool:
        """Whether the client has to fetch a part of it before it can have it."""
        return self.opening is not None

    def worded(self, nonce: str, *, opening: bool) -> Self:
        """The same content and version, in bytes that no other nonce gives, if it is fetched."""
        if self.opening is None:
            return self
        word = f"n={hashlib.sha256(nonce.encode()).hexdigest()[:8]}"
        body = self.opening if opening else self.body
        return replace(self, body=body.replace(WORD.encode(), word.encode(), 1))


def _endpoints(body: bytes) -> str | None:
    """Under which name a cluster asks for its endpoints; None when it does not ask."""
    try:
        cluster = discovery_pb2.Cluster.FromString(body)
    except DecodeError:
        # Nobody's cluster: the proxy will say so. Nothing here depends on it.
        return None
    if cluster.type != _EDS:
        return None
    return cluster.eds_cluster_config.service_name or cluster.name
