"""Clusters of backends, and the endpoints behind them.

Nothing here may break a rush: connections are bounded by what the proxy itself accepts, not by
Envoy's defaults, which are meant for a mesh and would answer the 1,025th request with a 503.
"""

from __future__ import annotations

from datetime import timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from envoy_data_plane.envoy.config.cluster import v3 as envoy
from envoy_data_plane.envoy.config.core.v3 import (
    Address,
    Http1ProtocolOptions,
    Http2ProtocolOptions,
    SocketAddress,
    TcpKeepalive,
)
from envoy_data_plane.envoy.config.endpoint.v3 import (
    ClusterLoadAssignment,
    Endpoint,
    LbEndpoint,
    LocalityLbEndpoints,
)
from envoy_data_plane.envoy.extensions.upstreams.http import v3 as http

from controlplane.translate import names
from controlplane.translate.wire import pack

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from envoy_data_plane.google.protobuf import Any

    from controlplane.model import EndpointSlice
    from controlplane.translate.backends import Upstream

HTTP_OPTIONS: Final = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_CONNECT: Final = timedelta(seconds=2)
_BUFFER: Final = 32 * 1024
_H2C: Final = "kubernetes.io/h2c"
KEEPALIVE: Final = envoy.UpstreamConnectionOptions(
    tcp_keepalive=TcpKeepalive(keepalive_probes=3, keepalive_time=30, keepalive_interval=5)
)


def cluster(upstream: Upstream, max_connections: int) -> envoy.Cluster:
    """The cluster of one port of a Service."""
    found = envoy.Cluster(
        name=upstream.cluster,
        connect_timeout=_CONNECT,
        per_connection_buffer_limit_bytes=_BUFFER,
        lb_policy=envoy.ClusterLbPolicy.LEAST_REQUEST,
        circuit_breakers=breakers(max_connections),
        typed_extension_protocol_options={HTTP_OPTIONS: _protocol(upstream)},
        upstream_connection_options=KEEPALIVE,
    )
    if upstream.service.spec.type == "ExternalName":
        place_by_name(found, upstream.service.spec.external_name or "", _external_port(upstream))
    else:
        found.type = envoy.ClusterDiscoveryType.EDS
        found.eds_cluster_config = envoy.ClusterEdsClusterConfig(eds_config=names.ads())
    return found


def breakers(limit: int) -> envoy.CircuitBreakers:
    """Limits high enough never to be the reason for a refusal, one for each kind."""
    threshold = envoy.CircuitBreakersThresholds(
        max_connections=limit, max_pending_requests=limit, max_requests=limit, max_retries=limit
    )
    return envoy.CircuitBreakers(thresholds=[threshold])


def place_by_name(found: envoy.Cluster, host: str, port: int) -> None:
    """Let a cluster lead to a host: an address as it stands, a name by DNS, asked every 5 s."""
    found.type = envoy.ClusterDiscoveryType.STATIC
    if not is_address(host):
        found.type = envoy.ClusterDiscoveryType.STRICT_DNS
        found.dns_lookup_family = envoy.ClusterDnsLookupFamily.V4_PREFERRED
    found.load_assignment = assignment(found.name, [(host, port)])


def is_address(host: str) -> bool:
    """Whether this is an IP address and not a name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def assignment(name: str, endpoints: Iterable[tuple[str, int]]) -> ClusterLoadAssignment:
    """The endpoints of a cluster; none at all is an answer too, and gives a 503."""
    members = [
        LbEndpoint(endpoint=Endpoint(address=_address(host, port))) for host, port in endpoints
    ]
    localities = [LocalityLbEndpoints(lb_endpoints=members)] if members else []
    return ClusterLoadAssignment(cluster_name=name, endpoints=localities)


def endpoints(upstream: Upstream, slices: Iterable[EndpointSlice]) -> tuple[tuple[str, int], ...]:
    """The ready endpoints of a port, each once and in order.

    A Service of two address families has a slice for each, with the same servers in both: IPv4
    is taken where there is any.
    """
    spec = upstream.spec
    if spec is None:
        return ()
    by_family: dict[str, set[tuple[str, int]]] = {"IPv4": set(), "IPv6": set()}
    for found in slices:
        if found.address_type in by_family:
            by_family[found.address_type].update(_ready(found, spec.name))
    return tuple(sorted(by_family["IPv4"] or by_family["IPv6"]))


def _ready(found: EndpointSlice, port_name: str) -> Iterator[tuple[str, int]]:
    for port in found.ports:
        if port.name != port_name or port.port is None or port.protocol != "TCP":
            continue
        for endpoint in found.endpoints:
            # All addresses of an endpoint are the same server: the first stands for them.
            if endpoint.conditions.ready and is_address(endpoint.addresses[0]):
                yield endpoint.addresses[0], port.port


def _address(host: str, port: int) -> Address:
    return Address(socket_address=SocketAddress(address=host, port_value=port))


def _external_port(upstream: Upstream) -> int:
    target = upstream.spec.target_port if upstream.spec is not None else None
    return target if isinstance(target, int) else upstream.port


def _protocol(upstream: Upstream) -> Any:
    spec = upstream.spec
    if spec is not None and spec.app_protocol == _H2C:
        chosen = http.HttpProtocolOptionsExplicitHttpConfig(
            http2_protocol_options=Http2ProtocolOptions()
        )
    else:
        chosen = http.HttpProtocolOptionsExplicitHttpConfig(
            http_protocol_options=Http1ProtocolOptions()
        )
    return pack(http.HttpProtocolOptions(explicit_http_config=chosen))
