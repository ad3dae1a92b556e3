"""Made-up resources. A body says what it is, and whether a client is to refuse it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from controlplane.xds import discovery_pb2, kinds, wire
from controlplane.xds.requests import DeltaRequest, Node, SotwRequest
from controlplane.xds.resource import Resource
from controlplane.xds.snapshot import Snapshot, View

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

GATEWAY = "shop/edge"
NODE = Node(id="edge-1", cluster=GATEWAY, workers=2, agent="envoy 1.36.0")

_EDS = 3
_NOTE = 100  # a field number that no message has: a place for our own text


def cluster(name: str, text: str = "v1", *, endpoints: str | None = None) -> Resource:
    """A cluster that asks for its endpoints, under its own name or another."""
    message = discovery_pb2.Cluster(name=name, type=_EDS)
    if endpoints:
        message.eds_cluster_config.service_name = endpoints
    return _cluster(message, text)


def static_cluster(name: str, text: str = "v1") -> Resource:
    """A cluster that brings its endpoints along."""
    return _cluster(discovery_pb2.Cluster(name=name), text)


def _cluster(message: discovery_pb2.Cluster, text: str) -> Resource:
    body = message.SerializeToString() + wire.text(_NOTE, text)
    return Resource.of(kinds.CLUSTER, message.name, body)


def endpoints(name: str, text: str = "v1") -> Resource:
    return _plain(kinds.ENDPOINTS, name, text)


def secret(name: str, text: str = "v1") -> Resource:
    return _plain(kinds.SECRET, name, text)


def extension(name: str, text: str = "v1") -> Resource:
    return _plain(kinds.EXTENSION, name, text)


def listener(name: str, text: str = "v1") -> Resource:
    return _plain(kinds.LISTENER, name, text)


def routes(name: str, text: str = "v1") -> Resource:
    return _plain(kinds.ROUTES, name, text)


def _plain(url: str, name: str, text: str) -> Resource:
    return Resource.of(url, name, f"{name}|{text}".encode())


def name_of(url: str, body: bytes) -> str:
    """State-of-the-world responses name nothing: the name is in the resource."""
    if url == kinds.CLUSTER:
        return discovery_pb2.Cluster.FromString(body).name
    return body.decode().partition("|")[0]


def snapshot(*resources: Resource) -> Snapshot:
    return Snapshot.of(resources)


def view(*resources: Resource, serial: int = 1) -> View:
    return View(Snapshot.of(resources), serial=serial)


def sotw(
    url: str,
    names: Iterable[str] = (),
    *,
    nonce: str = "",
    version: str = "",
    error: str | None = None,
    node: Node | None = None,
) -> SotwRequest:
    return SotwRequest(url, nonce, error, node, tuple(names), version)


def delta(
    url: str,
    subscribe: Iterable[str] = (),
    unsubscribe: Iterable[str] = (),
    *,
    initial: Mapping[str, str] | None = None,
    nonce: str = "",
    error: str | None = None,
    node: Node | None = None,
) -> DeltaRequest:
    return DeltaRequest(
        url, nonce, error, node, tuple(subscribe), tuple(unsubscribe), initial or {}
    )
