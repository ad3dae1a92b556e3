"""The stack on one machine: an embedded Redis, a real Envoy, and a toy shop behind it.

Made for `sluice demo` and for the tests, which both want the real parts without root, containers,
or anything set up by hand. Nothing in here is needed to run a control plane in production.
Everything listens on loopback only, and what is started here ends with the process that started it.
"""

from __future__ import annotations

from controlplane.local.envoy_process import EnvoyProcess, find_envoy
from controlplane.local.errors import LocalError, MissingBinaryError, PortTakenError, StartError
from controlplane.local.ports import free_port
from controlplane.local.redis_server import RedisBinary, RedisServer, find_redis
from controlplane.local.shop import Shop

__all__ = [
    "EnvoyProcess",
    "LocalError",
    "MissingBinaryError",
    "PortTakenError",
    "RedisBinary",
    "RedisServer",
    "Shop",
    "StartError",
    "find_envoy",
    "find_redis",
    "free_port",
]
