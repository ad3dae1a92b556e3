"""Where a demo's parts are on this machine: all that its manifests have to be told."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

GATEWAY: Final = "shop/edge"
TIMEOUT: Final = "2s"
"""For Redis. One machine runs everything, the crowd included: 100 ms may be too little for it."""


@dataclass(frozen=True, slots=True)
class Place:
    """The Redis as HOST:PORT, the ports of the gateway and of the shop, and Envoy's workers."""

    redis: str
    port: int
    shop: int
    workers: int


@dataclass(frozen=True, slots=True)
class Scene:
    """What a demo is about.

    Args:
        manifests: their texts by file name, for a place; written before the control plane starts.
        path: where the sale is; empty when there is none.
        replica: whether the Redis has one, as `durability: Replicated` asks for.
    """

    manifests: Callable[[Place], Mapping[str, str]]
    path: str = ""
    replica: bool = False


def moment(when: datetime) -> str:
    """Give a time as manifests have it."""
    return when.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
