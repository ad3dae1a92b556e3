"""Free loopback ports for servers that are told their port and cannot choose one themselves.

The kernel hands out port 0 from its ephemeral range, the same that outgoing connections take
theirs from. A server that is stopped for a while (Redis, in the failure tests) could find its port
taken by some connection when it comes back, or by a client that, retrying on loopback, connects to
itself. So the ports here are below that range.
"""

from __future__ import annotations

import random
import socket
from collections import deque
from pathlib import Path

from controlplane.local.errors import LocalError

LOOPBACK = "127.0.0.1"
_LOWEST = 10_000
_HIGHEST = 32_767
_TRIES = 200
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_given: deque[int] = deque(maxlen=1000)
"""What was handed out lately: its server may not listen yet."""


def free_port() -> int:
    """A TCP port of the loopback address that nobody listens on now, another one each time.

    It is free, not reserved: whoever starts a server on it should be ready to try another.
    """
    ceiling = _ceiling()
    for _ in range(_TRIES):
        port = random.randint(_LOWEST, ceiling)  # noqa: S311 - spreads parallel runs, no secret
        if port not in _given and _is_free(port):
            _given.append(port)
            return port
    message = f"no free TCP port between {_LOWEST} and {ceiling} on {LOOPBACK}: end what uses them"
    raise LocalError(message)


def _ceiling() -> int:
    """The highest port below the ephemeral range, where the system tells it (Linux)."""
    try:
        lowest_ephemeral = int(_RANGE.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return _HIGHEST
    # A machine whose ephemeral range begins very low leaves no room: then any port must do.
    return lowest_ephemeral - 1 if lowest_ephemeral > _LOWEST + _TRIES else _HIGHEST


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: a port that is only in TIME_WAIT counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen(1)
        except OSError:
            return False
    return True
