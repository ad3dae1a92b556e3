"""Names that resources of different types agree on, and where Envoy gets each of them from."""

from __future__ import annotations

from envoy_data_plane.envoy.config.core.v3 import (
    AggregatedConfigSource,
    ApiVersion,
    ConfigSource,
)

FLASH_SALE = "sluice.flash-sale"
QUOTA = "sluice.quota"
REDIS_BRIDGE = "sluice.redis-bridge"
REDIS_LISTENER = "sluice-redis"
REDIS_POOL_LISTENER = "sluice-redis-pool"
REDIS_CLUSTER = "sluice-redis"
REDIS_UPSTREAM = "sluice-redis-upstream"
REDIS_POOL_CLUSTER = "sluice-redis-pool"
XDS_CLUSTER = "sluice-xds"
WEB_CLUSTER = "sluice-web"
SALE_HEADER = "x-sluice-sale"
"""Tells the origin which sale a request has passed."""
NOWHERE = "sluice-nowhere"
"""No cluster has this name: what is sent there is answered 500."""


def edge_listener(port: int) -> str:
    """The listener of one port of a gateway."""
    return f"edge-{port}"


def route_table(port: int) -> str:
    """The route configuration of one port of a gateway."""
    return f"routes-{port}"


def backend(namespace: str, name: str, port: int) -> str:
    """The cluster of one port of a Service."""
    return f"svc/{namespace}/{name}/{port}"


def secret(namespace: str, name: str) -> str:
    """The certificate of a Secret."""
    return f"secret/{namespace}/{name}"


def ads() -> ConfigSource:
    """From the one stream that the bootstrap opened to the control plane."""
    return ConfigSource(ads=AggregatedConfigSource(), resource_api_version=ApiVersion.V3)
