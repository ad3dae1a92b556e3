"""The HTTP connection manager of an edge port.

An edge faces clients that nobody vouches for, in a rush of them. So addresses come from the
connection (or from the hops that the operator trusts), paths are made canonical before anything
matches them, a slow client costs little, and headers that only Sluice may set are removed before
the first filter runs. Header names with underscores are dropped as well: many origins cannot tell
``x_sluice_user`` from ``x-sluice-user``.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from envoy_data_plane.envoy.config.common.mutation_rules.v3 import (
    HeaderMutation,
    HeaderMutationRemoveOnMatch,
)
from envoy_data_plane.envoy.config.core.v3 import (
    CidrRange,
    ExtensionConfigSource,
    Http2ProtocolOptions,
    HttpProtocolOptions,
    HttpProtocolOptionsHeadersWithUnderscoresAction,
    TypedExtensionConfig,
)
from envoy_data_plane.envoy.extensions.filters.http.router.v3 import Router
from envoy_data_plane.envoy.extensions.filters.http.wasm.v3 import Wasm
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (
    HttpConnectionManager,
    HttpConnectionManagerCodecType,
    HttpConnectionManagerInternalAddressConfig,
    HttpConnectionManagerPathWithEscapedSlashesAction,
    HttpConnectionManagerServerHeaderTransformation,
    HttpConnectionManagerUpgradeConfig,
    HttpFilter,
    Rds,
)
from envoy_data_plane.envoy.extensions.http.early_header_mutation.header_mutation import (
    v3 as early_header_mutation,
)
from envoy_data_plane.envoy.type.matcher.v3 import StringMatcher

from controlplane.translate import names
from controlplane.translate.wire import pack, type_url

if TYPE_CHECKING:
    from collections.abc import Sequence

    from envoy_data_plane.envoy.config.accesslog.v3 import AccessLog

OWN_HEADERS = "x-sluice-"

_CLIENT_IDLE = timedelta(seconds=75)  # a little more than the 60 s of common load balancers
_STREAM_IDLE = timedelta(minutes=5)
_REQUEST = timedelta(minutes=5)
_REQUEST_HEADERS = timedelta(seconds=10)
_MAX_STREAMS = 100  # these three: Envoy's advice for edges
_STREAM_WINDOW = 64 * 1024
_CONNECTION_WINDOW = 1024 * 1024


def edge(port: int, trusted_hops: int, access_log: Sequence[AccessLog]) -> HttpConnectionManager:
    """The connection manager of one edge port."""
    return HttpConnectionManager(
        codec_type=HttpConnectionManagerCodecType.AUTO,
        stat_prefix=names.edge_listener(port),
        rds=Rds(route_config_name=names.route_table(port), config_source=names.ads()),
        use_remote_address=True,
        xff_num_trusted_hops=trusted_hops,
        internal_address_config=_nobody_internal(),
        early_header_mutation_extensions=[_remove_own_headers()],
        common_http_protocol_options=HttpProtocolOptions(
            idle_timeout=_CLIENT_IDLE,
            headers_with_underscores_action=HttpProtocolOptionsHeadersWithUnderscoresAction.DROP_HEADER,
        ),
        http2_protocol_options=Http2ProtocolOptions(
            max_concurrent_streams=_MAX_STREAMS,
            initial_stream_window_size=_STREAM_WINDOW,
            initial_connection_window_size=_CONNECTION_WINDOW,
        ),
        stream_idle_timeout=_STREAM_IDLE,
        request_timeout=_REQUEST,
        request_headers_timeout=_REQUEST_HEADERS,
        normalize_path=True,
        merge_slashes=True,
        path_with_escaped_slashes_action=(
            HttpConnectionManagerPathWithEscapedSlashesAction.UNESCAPE_AND_REDIRECT
        ),
        strip_trailing_host_dot=True,
        # What the origin says of itself, and nothing of ours.
        server_header_transformation=HttpConnectionManagerServerHeaderTransformation.PASS_THROUGH,
        upgrade_configs=[HttpConnectionManagerUpgradeConfig(upgrade_type="websocket")],
        access_log=list(access_log),
        # Off unless a route switches them on, so that routes without a policy pay nothing. The
        # quota first: whoever is beyond it shall not take part in a sale either.
        http_filters=[
            discovered(names.QUOTA, disabled=True),
            discovered(names.FLASH_SALE, disabled=True),
            router(),
        ],
    )


def discovered(name: str, *, disabled: bool = False) -> HttpFilter:
    """A Wasm filter whose code and parameters come by extension discovery."""
    source = ExtensionConfigSource(config_source=names.ads(), type_urls=[type_url(Wasm)])
    return HttpFilter(name=name, config_discovery=source, disabled=disabled)


def router() -> HttpFilter:
    """The last filter of every chain; it keeps Envoy's own headers to itself."""
    return HttpFilter(
        name="envoy.filters.http.router", typed_config=pack(Router(suppress_envoy_headers=True))
    )


def _nobody_internal() -> HttpConnectionManagerInternalAddressConfig:
    """No client may steer Envoy by x-envoy-* headers, wherever it is.

    An empty list would mean the default, private networks; so it names an address nobody has.
    """
    nobody = CidrRange(address_prefix="255.255.255.255", prefix_len=32)
    return HttpConnectionManagerInternalAddressConfig(cidr_ranges=[nobody])


def _remove_own_headers() -> TypedExtensionConfig:
    match = StringMatcher(prefix=OWN_HEADERS, ignore_case=True)
    mutation = HeaderMutation(remove_on_match=HeaderMutationRemoveOnMatch(key_matcher=match))
    return TypedExtensionConfig(
        name="envoy.http.early_header_mutation.header_mutation",
        typed_config=pack(early_header_mutation.HeaderMutation(mutations=[mutation])),
    )
