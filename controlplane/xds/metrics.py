"""Metrics of the discovery server, on the model of Istio's: what is pushed, refused, late."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge, Histogram

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

_SECONDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
_BYTES = (1e3, 1e4, 1e5, 1e6, 4e6, 1e7, 4e7)


class Metrics:
    """All of them; registered once, where `registry` says.

    Their labels are bounded: types, variants and reasons, never a proxy or a resource.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.streams = Gauge(
            "sluice_xds_streams", "Open discovery streams.", ["variant"], registry=registry
        )
        self.pushes = Counter("sluice_xds_pushes", "Responses sent.", ["type"], registry=registry)
        self.rejects = Counter(
            "sluice_xds_rejects", "Responses that a proxy refused.", ["type"], registry=registry
        )
        self.ignored = Counter(
            "sluice_xds_ignored_requests",
            "Requests without effect: a stale nonce, a type that is not served.",
            ["reason"],
            registry=registry,
        )
        self.failures = Counter(
            "sluice_xds_stream_failures",
            "Streams ended for a fault of the client, by gRPC status.",
            ["code"],
            registry=registry,
        )
        self.send = Histogram(
            "sluice_xds_send_seconds",
            "Time to hand one response to the connection.",
            ["type"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.convergence = Histogram(
            "sluice_xds_convergence_seconds",
            "Time from new content to its confirmation by a proxy.",
            ["type"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.size = Histogram(
            "sluice_xds_response_bytes",
            "Size of responses.",
            ["type"],
            buckets=_BYTES,
            registry=registry,
        )
