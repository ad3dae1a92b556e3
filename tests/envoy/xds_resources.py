"""Real Envoy resources for the tests of delivery: one listener, one route table, and backends."""

from __future__ import annotations

from datetime import timedelta
from typing import Any as Anything

from envoy_data_plane.envoy.config.cluster.v3 import (
    Cluster,
    ClusterDiscoveryType,
    ClusterEdsClusterConfig,
)
from envoy_data_plane.envoy.config.common.mutation_rules.v3 import HeaderMutation as Mutation
from envoy_data_plane.envoy.config.core.v3 import (
    Address,
    AggregatedConfigSource,
    ApiVersion,
    ConfigSource,
    ExtensionConfigSource,
    HeaderValue,
    HeaderValueOption,
    SocketAddress,
    TypedExtensionConfig,
)
from envoy_data_plane.envoy.config.endpoint.v3 import (
    ClusterLoadAssignment,
    Endpoint,
    LbEndpoint,
    LocalityLbEndpoints,
)
from envoy_data_plane.envoy.config.listener.v3 import Filter, FilterChain, Listener
from envoy_data_plane.envoy.config.route.v3 import (
    Route,
    RouteAction,
    RouteConfiguration,
    RouteMatch,
    VirtualHost,
)
from envoy_data_plane.envoy.extensions.filters.http.header_mutation.v3 import (
    HeaderMutation,
    Mutations,
)
from envoy_data_plane.envoy.extensions.filters.http.router.v3 import Router
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (
    HttpConnectionManager,
    HttpFilter,
    Rds,
)
from envoy_data_plane.envoy.type.matcher.v3 import RegexMatcher

from controlplane.translate.wire import encode, pack
from controlplane.xds import Resource, kinds

ROUTES = "routes"
EXTENSION = "stamp"


def source(api: dict[str, Anything] | None = None) -> ConfigSource:
    """The aggregated stream, or what `api` says (an ApiConfigSource as a mapping)."""
    if api is None:
        return ConfigSource(ads=AggregatedConfigSource(), resource_api_version=ApiVersion.V3)
    return ConfigSource.from_dict({"api_config_source": api, "resource_api_version": "V3"})


def cluster(name: str, *, timeout: float = 1.0, api: dict[str, Anything] | None = None) -> Resource:
    """A cluster that asks for its endpoints; `timeout` is something to change."""
    return _resource(
        kinds.CLUSTER,
        Cluster(
            name=name,
            type=ClusterDiscoveryType.EDS,
            eds_cluster_config=ClusterEdsClusterConfig(eds_config=source(api)),
            connect_timeout=timedelta(seconds=timeout),
        ),
    )


def endpoints(cluster_name: str, *ports: int) -> Resource:
    """Where a cluster's requests go, on loopback."""
    address = [
        LbEndpoint(
            endpoint=Endpoint(
                address=Address(socket_address=SocketAddress(address="127.0.0.1", port_value=port))
            )
        )
        for port in ports
    ]
    assignment = ClusterLoadAssignment(
        cluster_name=cluster_name, endpoints=[LocalityLbEndpoints(lb_endpoints=address)]
    )
    return _resource(kinds.ENDPOINTS, assignment, cluster_name)


def routes(cluster_name: str, *, regex: str = "") -> Resource:
    """All requests to one cluster; with a regular expression that Envoy can be made to refuse."""
    match = RouteMatch(safe_regex=RegexMatcher(regex=regex)) if regex else RouteMatch(prefix="/")
    host = VirtualHost(
        name="all",
        domains=["*"],
        routes=[Route(match=match, route=RouteAction(cluster=cluster_name))],
    )
    return _resource(kinds.ROUTES, RouteConfiguration(name=ROUTES, virtual_hosts=[host]))


def listener(
    port: int,
    *,
    stat_prefix: str = "edge",
    extension: bool = False,
    api: dict[str, Anything] | None = None,
) -> Resource:
    """The edge: routes by RDS and, on wish, a filter by ECDS."""
    filters = [HttpFilter(name="envoy.filters.http.router", typed_config=pack(Router()))]
    if extension:
        discovery = ExtensionConfigSource(
            config_source=source(api),
            type_urls=[pack(HeaderMutation()).type_url],
        )
        filters.insert(0, HttpFilter(name=EXTENSION, config_discovery=discovery))
    manager = HttpConnectionManager(
        stat_prefix=stat_prefix,
        rds=Rds(config_source=source(api), route_config_name=ROUTES),
        http_filters=filters,
    )
    chain = FilterChain(
        filters=[
            Filter(name="envoy.filters.network.http_connection_manager", typed_config=pack(manager))
        ]
    )
    address = Address(socket_address=SocketAddress(address="127.0.0.1", port_value=port))
    return _resource(
        kinds.LISTENER, Listener(name=f"edge-{port}", address=address, filter_chains=[chain])
    )


def extension(stamp: str) -> Resource:
    """A filter that stamps responses with a header `x-stamp`."""
    header = HeaderValueOption(header=HeaderValue(key="x-stamp", value=stamp))
    mutation = HeaderMutation(mutations=Mutations(response_mutations=[Mutation(append=header)]))
    return _resource(
        kinds.EXTENSION, TypedExtensionConfig(name=EXTENSION, typed_config=pack(mutation))
    )


def _resource(url: str, message: Anything, name: str = "") -> Resource:
    return Resource.of(url, name or message.name, encode(message))
