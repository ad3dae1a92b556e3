"""The demo's manifests, written to its folder, where they may be edited while it runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

SALE = "shop/laptop"
GATEWAY = "shop/edge"

_EDGE = """\
# The edge: a gateway on this machine, the Redis that keeps the books, the shop behind it.
apiVersion: sluice.dev/v1alpha1
kind: EdgeConfig
metadata: {{name: edge, namespace: shop}}
spec:
  # One machine runs all of this, crowd included: 100 ms, as by default, may be too little for it.
  redis: {{address: "{redis}", timeout: 2s}}
  proxy: {{workers: {workers}}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {{name: sluice}}
spec:
  controllerName: sluice.dev/controller
  parametersRef: {{group: sluice.dev, kind: EdgeConfig, name: edge, namespace: shop}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: edge, namespace: shop}}
spec:
  gatewayClassName: sluice
  listeners:
    - {{name: http, protocol: HTTP, port: {port}}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: shop, namespace: shop}}
spec:
  parentRefs:
    - {{name: edge}}
  rules:
    - name: buy
      matches:
        - path: {{type: PathPrefix, value: /buy}}
      backendRefs:
        - {{name: shop, port: 80}}
    - name: browse
      backendRefs:
        - {{name: shop, port: 80}}
---
apiVersion: v1
kind: Service
metadata: {{name: shop, namespace: shop}}
spec:
  ports:
    - {{name: http, port: 80}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: shop-1
  namespace: shop
  labels: {{kubernetes.io/service-name: shop}}
addressType: IPv4
ports:
  - {{name: http, port: {shop}}}
endpoints:
  - addresses: [127.0.0.1]
"""

_SALE = """\
# The sale. Edit it while the demo runs: each change is in force a moment after it is saved.
apiVersion: sluice.dev/v1alpha1
kind: FlashSale
metadata: {{name: laptop, namespace: shop}}
spec:
  targetRefs:
    - {{name: shop, sectionName: buy}}
  schedule:
    startTime: "{start}"
  stock: {stock}
  admission:
    blockRatio: {ratio}
    draw: {draw}
  identity:
    header: Authorization
"""


@dataclass(frozen=True, slots=True)
class Terms:
    """What differs between the demo's sales."""

    start: datetime
    stock: int
    ratio: float
    draw: str


def write_edge(folder: Path, *, redis: str, port: int, shop: int, workers: int) -> None:
    """Write all but the sale. `redis` is host:port, `port` the gateway's, `shop` the shop's."""
    text = _EDGE.format(redis=redis, port=port, shop=shop, workers=workers)
    _replace(folder / "edge.yaml", text)


def write_sale(folder: Path, terms: Terms) -> None:
    """Write the sale, or change it."""
    start = terms.start.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    text = _SALE.format(start=start, stock=terms.stock, ratio=terms.ratio, draw=terms.draw)
    _replace(folder / "sale.yaml", text)


def _replace(path: Path, text: str) -> None:
    """At once, so that the control plane never reads half a file."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text(text)
    temporary.replace(path)
