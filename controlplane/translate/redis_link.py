"""The way from the filters to Redis, all of it delivered by xDS.

A filter speaks gRPC to the cluster `sluice-redis`, which leads to an internal listener of the same
proxy. There the bridge filter takes the frames off, and what remains is a raw stream to Redis:
straight to one server, or through Envoy's own Redis proxy, which knows the slots of a cluster.

The stream lives as long as the proxy, so nothing on its way may end it for being idle, old, or in
the way of clients: the internal listeners stand outside the connection limit and the overload
manager.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from envoy_data_plane.envoy.config.cluster import v3 as envoy
from envoy_data_plane.envoy.config.core.v3 import (
    Address,
    DataSource,
    EnvoyInternalAddress,
    Http2ProtocolOptions,
    HttpProtocolOptions,
    TransportSocket,
)
from envoy_data_plane.envoy.config.endpoint.v3 import (
    ClusterLoadAssignment,
    Endpoint,
    LbEndpoint,
    LocalityLbEndpoints,
)
from envoy_data_plane.envoy.config.listener.v3 import (
    Filter,
    FilterChain,
    Listener,
    ListenerInternalListenerConfig,
)
from envoy_data_plane.envoy.config.route import v3 as route
from envoy_data_plane.envoy.extensions.clusters.redis.v3 import RedisClusterConfig
from envoy_data_plane.envoy.extensions.common.dynamic_forward_proxy.v3 import DnsCacheConfig
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager import v3 as manager
from envoy_data_plane.envoy.extensions.filters.network.redis_proxy import v3 as redis_proxy
from envoy_data_plane.envoy.extensions.transport_sockets.tls import v3 as tls
from envoy_data_plane.envoy.extensions.upstreams.http import v3 as http
from envoy_data_plane.envoy.type.matcher.v3 import StringMatcher

from controlplane.translate import connection_manager, names
from controlplane.translate.clusters import (
    HTTP_OPTIONS,
    KEEPALIVE,
    breakers,
    is_address,
    place_by_name,
)
from controlplane.translate.listeners import CONNECTION_MANAGER
from controlplane.translate.wire import pack

if TYPE_CHECKING:
    from controlplane.model.edge_config import RedisSettings, RedisTls

_CONNECT: Final = timedelta(seconds=1)
_NEVER: Final = timedelta(0)
_REDIS_OPTIONS: Final = "envoy.filters.network.redis_proxy"
_LINKS: Final = 4096  # streams at most: a few for each worker and filter
_POOL_TIMEOUT: Final = timedelta(seconds=1)
_FLUSH_BYTES: Final = 1024
_FLUSH_AFTER: Final = timedelta(microseconds=500)
_SYSTEM_AUTHORITIES: Final = "/etc/ssl/certs/ca-certificates.crt"


def clusters(redis: RedisSettings, environment: frozenset[str]) -> list[envoy.Cluster]:
    """The clusters between a filter and Redis, the far end last."""
    if redis.via == "Direct":
        return [_link_cluster(), _server(redis)]
    return [_link_cluster(), _pool_cluster(), _redis_cluster(redis, environment)]


def listeners(redis: RedisSettings) -> list[Listener]:
    """The internal listeners between a filter and Redis."""
    if redis.via == "Direct":
        return [_bridge(names.REDIS_UPSTREAM)]
    return [_bridge(names.REDIS_POOL_CLUSTER), _pool()]


def _link_cluster() -> envoy.Cluster:
    found = _internal(names.REDIS_CLUSTER, names.REDIS_LISTENER)
    protocol = http.HttpProtocolOptions(
        common_http_protocol_options=HttpProtocolOptions(idle_timeout=_NEVER),
        explicit_http_config=http.HttpProtocolOptionsExplicitHttpConfig(
            http2_protocol_options=Http2ProtocolOptions()
        ),
    )
    found.typed_extension_protocol_options = {HTTP_OPTIONS: pack(protocol)}
    return found


def _pool_cluster() -> envoy.Cluster:
    return _internal(names.REDIS_POOL_CLUSTER, names.REDIS_POOL_LISTENER)


def _internal(name: str, listener: str) -> envoy.Cluster:
    address = Address(envoy_internal_address=EnvoyInternalAddress(server_listener_name=listener))
    member = LbEndpoint(endpoint=Endpoint(address=address))
    return envoy.Cluster(
        name=name,
        type=envoy.ClusterDiscoveryType.STATIC,
        connect_timeout=_CONNECT,
        circuit_breakers=breakers(_LINKS),
        load_assignment=ClusterLoadAssignment(
            cluster_name=name, endpoints=[LocalityLbEndpoints(lb_endpoints=[member])]
        ),
    )


def _server(redis: RedisSettings) -> envoy.Cluster:
    found = envoy.Cluster(
        name=names.REDIS_UPSTREAM,
        connect_timeout=_CONNECT,
        circuit_breakers=breakers(_LINKS),
        upstream_connection_options=KEEPALIVE,
        transport_socket=_encrypted(redis),
    )
    place_by_name(found, redis.host, redis.port)
    return found


def _redis_cluster(redis: RedisSettings, environment: frozenset[str]) -> envoy.Cluster:
    found = _server(redis)
    found.type = None
    found.cluster_type = envoy.ClusterCustomClusterType(
        name="envoy.clusters.redis", typed_config=pack(RedisClusterConfig())
    )
    found.lb_policy = envoy.ClusterLbPolicy.CLUSTER_PROVIDED
    if redis.password_env in environment:
        password = DataSource(environment_variable=redis.password_env)
        user = DataSource(inline_string=redis.username) if redis.username else None
        options = redis_proxy.RedisProtocolOptions(auth_password=password, auth_username=user)
        found.typed_extension_protocol_options = {_REDIS_OPTIONS: pack(options)}
    return found


def _encrypted(redis: RedisSettings) -> TransportSocket | None:
    if redis.tls is None:
        return None
    name = redis.tls.server_name or redis.host
    context = tls.UpstreamTlsContext(
        sni="" if is_address(name) else name,
        common_tls_context=_trust(redis.tls, name),
    )
    return TransportSocket(name="envoy.transport_sockets.tls", typed_config=pack(context))


def _trust(settings: RedisTls, name: str) -> tls.CommonTlsContext:
    if settings.insecure_skip_verify:
        return tls.CommonTlsContext()
    kind = tls.SubjectAltNameMatcherSanType
    match = tls.SubjectAltNameMatcher(
        san_type=kind.IP_ADDRESS if is_address(name) else kind.DNS,
        matcher=StringMatcher(exact=name),
    )
    return tls.CommonTlsContext(
        validation_context=tls.CertificateValidationContext(
            trusted_ca=DataSource(filename=settings.ca_file or _SYSTEM_AUTHORITIES),
            match_typed_subject_alt_names=[match],
        )
    )


def _bridge(destination: str) -> Listener:
    everything = route.Route(
        match=route.RouteMatch(prefix="/"),
        route=route.RouteAction(
            cluster=destination,
            timeout=_NEVER,
            idle_timeout=_NEVER,
            upgrade_configs=[
                route.RouteActionUpgradeConfig(
                    upgrade_type="CONNECT",
                    connect_config=route.RouteActionUpgradeConfigConnectConfig(allow_post=True),
                )
            ],
        ),
    )
    host = route.VirtualHost(name="redis", domains=["*"], routes=[everything])
    bridge = manager.HttpConnectionManager(
        codec_type=manager.HttpConnectionManagerCodecType.HTTP2,
        stat_prefix=names.REDIS_LISTENER,
        route_config=route.RouteConfiguration(
            name=names.REDIS_LISTENER, virtual_hosts=[host], validate_clusters=False
        ),
        http2_protocol_options=Http2ProtocolOptions(),
        common_http_protocol_options=HttpProtocolOptions(idle_timeout=_NEVER),
        stream_idle_timeout=_NEVER,
        request_timeout=_NEVER,
        upgrade_configs=[manager.HttpConnectionManagerUpgradeConfig(upgrade_type="CONNECT")],
        generate_request_id=False,
        http_filters=[
            connection_manager.discovered(names.REDIS_BRIDGE),
            connection_manager.router(),
        ],
    )
    return _listener(
        names.REDIS_LISTENER, Filter(name=CONNECTION_MANAGER, typed_config=pack(bridge))
    )


def _pool() -> Listener:
    proxy = redis_proxy.RedisProxy(
        stat_prefix=names.REDIS_POOL_LISTENER,
        settings=redis_proxy.RedisProxyConnPoolSettings(
            op_timeout=_POOL_TIMEOUT,
            enable_redirection=True,
            # A server may answer that a key moved to a host that only DNS knows.
            dns_cache_config=DnsCacheConfig(
                name=names.REDIS_UPSTREAM,
                dns_lookup_family=envoy.ClusterDnsLookupFamily.V4_PREFERRED,
            ),
            max_buffer_size_before_flush=_FLUSH_BYTES,
            buffer_flush_timeout=_FLUSH_AFTER,
        ),
        prefix_routes=redis_proxy.RedisProxyPrefixRoutes(
            catch_all_route=redis_proxy.RedisProxyPrefixRoutesRoute(cluster=names.REDIS_UPSTREAM)
        ),
    )
    return _listener(
        names.REDIS_POOL_LISTENER, Filter(name=_REDIS_OPTIONS, typed_config=pack(proxy))
    )


def _listener(name: str, filter_: Filter) -> Listener:
    return Listener(
        name=name,
        internal_listener=ListenerInternalListenerConfig(),
        filter_chains=[FilterChain(filters=[filter_])],
        ignore_global_conn_limit=True,
        bypass_overload_manager=True,
    )
