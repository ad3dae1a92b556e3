"""The listeners of an edge: one for each port, with a filter chain for each certificate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from envoy_data_plane.envoy.config.core.v3 import Address, SocketAddress, TransportSocket
from envoy_data_plane.envoy.config.listener.v3 import (
    Filter,
    FilterChain,
    FilterChainMatch,
    Listener,
    ListenerFilter,
)
from envoy_data_plane.envoy.extensions.filters.listener.tls_inspector.v3 import TlsInspector
from envoy_data_plane.envoy.extensions.transport_sockets.tls import v3 as tls

from controlplane.translate import access_log, connection_manager, hostnames, names
from controlplane.translate.wire import pack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from controlplane.model import EdgeConfigSpec
    from controlplane.translate.gateways import EdgeListener

CONNECTION_MANAGER: Final = "envoy.filters.network.http_connection_manager"
_EVERY_ADDRESS: Final = "0.0.0.0"  # noqa: S104 - an edge is there to be reached
_BUFFER: Final = 32 * 1024  # Envoy's advice for edges: what one slow client can hold


def edge_listener(
    port: int, listeners: Sequence[EdgeListener], settings: EdgeConfigSpec
) -> Listener:
    """The listener of one port; all `listeners` are on it and speak the same protocol."""
    manager = Filter(
        name=CONNECTION_MANAGER,
        typed_config=pack(
            connection_manager.edge(
                port, settings.proxy.trusted_hops, access_log.loggers(settings.access_log)
            )
        ),
    )
    encrypted = any(item.encrypted for item in listeners)
    ordered = sorted(listeners, key=lambda item: hostnames.specificity(item.hostname))
    chains = [_encrypted_chain(item, manager) for item in ordered if item.encrypted]
    return Listener(
        name=names.edge_listener(port),
        address=Address(socket_address=SocketAddress(address=_EVERY_ADDRESS, port_value=port)),
        per_connection_buffer_limit_bytes=_BUFFER,
        listener_filters=[_tls_inspector()] if encrypted else [],
        filter_chains=chains or [FilterChain(name="plain", filters=[manager])],
    )


def _encrypted_chain(listener: EdgeListener, manager: Filter) -> FilterChain:
    any_host = listener.hostname == hostnames.ANY
    match = None if any_host else FilterChainMatch(server_names=[listener.hostname])
    return FilterChain(
        name=listener.hostname,
        filter_chain_match=match,
        filters=[manager],
        transport_socket=TransportSocket(
            name="envoy.transport_sockets.tls", typed_config=pack(_server_side(listener))
        ),
    )


def _server_side(listener: EdgeListener) -> tls.DownstreamTlsContext:
    secrets = [
        tls.SdsSecretConfig(
            name=names.secret(secret.namespace, secret.name), sds_config=names.ads()
        )
        for secret in listener.secrets
    ]
    return tls.DownstreamTlsContext(
        common_tls_context=tls.CommonTlsContext(
            tls_params=tls.TlsParameters(
                tls_minimum_protocol_version=tls.TlsParametersTlsProtocol.TLSv1_2
            ),
            tls_certificate_sds_secret_configs=secrets,
            alpn_protocols=["h2", "http/1.1"],
        )
    )


def _tls_inspector() -> ListenerFilter:
    return ListenerFilter(
        name="envoy.filters.listener.tls_inspector", typed_config=pack(TlsInspector())
    )
