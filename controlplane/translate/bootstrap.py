"""The bootstrap that starts an Envoy against the control plane.

The template lies in the package, so that an installed `sluice` can write one; the file
`envoy/bootstrap.yaml` of the repository is what it gives without options, ready to be used.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import resources
from string import Template
from typing import TYPE_CHECKING, Final, Self

from controlplane.model.edge_config import ProxySettings
from controlplane.translate import gateways
from controlplane.translate.clusters import is_address
from controlplane.translate.proxy_tls import transport_socket
from controlplane.translate.report import Findings

if TYPE_CHECKING:
    from controlplane.model import Inventory
    from controlplane.translate.proxy_tls import ProxyTls

TEMPLATE: Final = "bootstrap.yaml.template"
_DEFAULTS: Final = ProxySettings()


@dataclass(frozen=True, slots=True, kw_only=True)
class BootstrapOptions:
    """What one proxy needs to know about itself and its control plane."""

    gateway: str = "default/edge"
    """The gateway it serves: ``namespace/name``."""
    node_id: str = "edge-1"
    """Its own name, unique among the proxies of the gateway."""
    workers: int = 1
    """Its worker threads; must be what Envoy's ``--concurrency`` says."""
    xds: tuple[str, int] = ("127.0.0.1", 18000)
    """Host and port of the control plane's configuration service."""
    web: tuple[str, int] = ("127.0.0.1", 18080)
    """Host and port from which remote Wasm code comes: its web service, or with TLS its service of
    filter code alone."""
    tls: ProxyTls | None = None
    """Mutual TLS for both; without it they are reached in plain text."""
    admin: tuple[str, int] = ("127.0.0.1", 9901)
    """Address and port of the proxy's own admin page."""
    max_connections: int = _DEFAULTS.max_connections
    """Client connections at most."""
    max_heap_bytes: int = _DEFAULTS.max_heap_bytes
    """Memory at which it begins to refuse."""

    @classmethod
    def of(cls, settings: ProxySettings, **options: object) -> Self:
        """Options with the limits that an EdgeConfig gives, and `options` over them."""
        limits: dict[str, object] = {
            "max_connections": settings.max_connections,
            "max_heap_bytes": settings.max_heap_bytes,
        }
        if settings.workers is not None:
            limits["workers"] = settings.workers
        return cls(**{**limits, **options})  # type: ignore[arg-type]


def bootstrap(options: BootstrapOptions | None = None) -> str:
    """The bootstrap as YAML."""
    wanted = options or BootstrapOptions()
    values: dict[str, object] = {
        "node_id": wanted.node_id,
        "gateway": wanted.gateway,
        "workers": wanted.workers,
        "admin_address": wanted.admin[0],
        "admin_port": wanted.admin[1],
        "xds_type": _discovery(wanted.xds[0]),
        "xds_host": wanted.xds[0],
        "xds_port": wanted.xds[1],
        "web_type": _discovery(wanted.web[0]),
        "web_host": wanted.web[0],
        "web_port": wanted.web[1],
        "max_connections": wanted.max_connections,
        "max_heap_bytes": wanted.max_heap_bytes,
    }
    text = resources.files(__package__).joinpath(TEMPLATE).read_text(encoding="utf-8")
    # JSON is YAML, and quotes whatever YAML would take for something else.
    quoted = {key: json.dumps(value) for key, value in values.items()}
    tls = wanted.tls
    quoted["xds_tls"] = transport_socket(tls, "h2") if tls else ""
    quoted["web_tls"] = transport_socket(tls, "http/1.1") if tls else ""
    return Template(text).substitute(quoted)


def proxy_settings(inventory: Inventory, gateway: str) -> ProxySettings | None:
    """The limits of a gateway's proxies; None when there is no such gateway of ours."""
    edges = gateways.find(inventory, Findings())
    return next((edge.settings.proxy for edge in edges.ready if edge.key == gateway), None)


def _discovery(host: str) -> str:
    return "STATIC" if is_address(host) else "STRICT_DNS"
