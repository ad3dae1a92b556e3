"""The manifests of the sale that `sluice demo` shows, which may be edited while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from controlplane.local.demo.place import TIMEOUT, Place, Scene, moment

if TYPE_CHECKING:
    from datetime import datetime

SALE: Final = "shop/laptop"
SALE_FILE: Final = "sale.yaml"
STOCK: Final = 100
PATH: Final = "/buy"

_EDGE: Final = """\
# The edge: a gateway on this machine, the Redis that keeps the books, the shop behind it.
apiVersion: sluice.dev/v1alpha1
kind: EdgeConfig
metadata: {{name: edge, namespace: shop}}
spec:
  # One machine runs all of this, crowd included: 100 ms, as by default, may be too little for it.
  redis: {{address: "{redis}", timeout: {timeout}}}
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
        - path: {{type: PathPrefix, value: {path}}}
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

_SALE: Final = """\
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
    blockRatio: 0.7
    draw: PerUser
  identity:
    header: Authorization
"""


def edge(place: Place) -> dict[str, str]:
    """Give all but the sale, which is written when everything is up."""
    text = _EDGE.format(
        redis=place.redis,
        timeout=TIMEOUT,
        workers=place.workers,
        port=place.port,
        path=PATH,
        shop=place.shop,
    )
    return {"edge.yaml": text}


def sale(start: datetime) -> str:
    """Give the sale that starts then."""
    return _SALE.format(start=moment(start), stock=STOCK)


SCENE: Final = Scene(edge, path=PATH)
