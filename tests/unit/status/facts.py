"""Facts for the tracker: a translated edge with one sale, and deliveries to order."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import yaml

from controlplane.ledger import SaleState
from controlplane.model import Inventory
from controlplane.model.parsing import parse
from controlplane.status.tracker import Facts, Tracker
from controlplane.translate import CodeRef, FilterCode, Options, translate
from controlplane.xds.status import Delivery, Nack

if TYPE_CHECKING:
    from collections.abc import Iterable

    from controlplane.model import Resource

START = datetime(2027, 1, 10, 12, 0, tzinfo=UTC)
CODE = FilterCode(
    flash_sale=CodeRef("a" * 64, "/code/flash-sale-aaaaaaaaaaaa.wasm"),
    quota=CodeRef("c" * 64, "/code/quota-cccccccccccc.wasm"),
    redis_bridge=CodeRef("b" * 64, "/code/redis-bridge-bbbbbbbbbbbb.wasm"),
)
EDGE = """
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: sluice}
spec: {controllerName: sluice.dev/controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: shop}
spec:
  gatewayClassName: sluice
  listeners: [{name: http, protocol: HTTP, port: 8080}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: shop, namespace: shop}
spec:
  parentRefs: [{name: edge}]
  rules:
    - {name: buy, backendRefs: [{name: shop, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: shop, namespace: shop}
spec: {ports: [{name: http, port: 80}]}
"""
SALE = """
apiVersion: sluice.dev/v1alpha1
kind: FlashSale
metadata: {name: laptop, namespace: shop}
spec:
  targetRefs: [{name: shop}]
  schedule: {startTime: "2027-01-10T12:00:00Z", endTime: "2027-01-10T13:00:00Z"}
  stock: 3
  identity: {header: Authorization}
"""
QUOTA = """
apiVersion: sluice.dev/v1alpha1
kind: QuotaPolicy
metadata: {name: model-api, namespace: shop}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: shop}]
  limits:
  - name: per-key
    key: [{header: x-api-key}]
    windows: [{requests: 10, per: 8000h}, {requests: 1000, per: 8760h}]
    overrides:
    - {consumer: [alice], windows: [{requests: 20}, {requests: 2000}]}
    - {consumer: [root], unlimited: true}
    - {consumer: ["gold-*"], windows: [{requests: 100}, {requests: 5000}]}
  - name: per-path
    key: [{clientAddress: {ipv4Prefix: 24}}, {path: {}}, {literal: free}]
    plain: true
    algorithm: TokenBucket
    tokens: 60
    per: 8760h
    burst: 100
    enforcePercent: 0
    overrides: [{consumer: ["203.0.113.0/24", "*", free], unlimited: true}]
  - name: everybody
    algorithm: Calendar
    requests: 1000000
    unit: Month
    timeZone: Europe/Berlin
    mode: Shadow
"""


def objects(text: str) -> list[Resource]:
    return [parse(document) for document in yaml.safe_load_all(text)]


class Proxies:
    """So many proxies, of which some have what they should, and some refuse."""

    def __init__(self, total: int, current: int, refused: dict[str, str] | None = None) -> None:
        self.total, self.current = total, current
        self.refused = {node: Nack("v", message) for node, message in (refused or {}).items()}

    def __call__(self, gateway: str, type_url: str, name: str) -> Delivery:
        assert gateway == "shop/edge"
        assert type_url
        assert name
        lacking = frozenset(f"late-{number}" for number in range(self.total - self.current))
        return Delivery("v", self.total, lacking, self.refused)


class Scene:
    """A tracker with a clock that the test moves."""

    def __init__(self, text: str = EDGE + "---" + SALE) -> None:
        self.now = START - timedelta(hours=1)
        self.tracker = Tracker(lambda: self.now)
        inventory = Inventory.build(objects(text))
        translation = translate(inventory, Options(filters=CODE, today=START.date()))
        self.facts = Facts(
            inventory=inventory,
            problems=(),
            report=translation.report,
            plans=translation.sales,
            deliver=Proxies(2, 2),
            quotas=translation.quotas,
        )

    def observe(self, *states: SaleState, **changes: Any) -> Any:
        """The sale's status after some facts changed."""
        if states:
            changes["states"] = {state.tag: state for state in states}
        self.facts = dataclasses.replace(self.facts, **changes)
        return self.tracker.observe(self.facts).sale("shop/laptop")


def books(**fields: Any) -> SaleState:
    """Open books, unless told otherwise."""
    known: dict[str, Any] = {"open": True, "limit": 3, "generation": 1, "incarnation": 7}
    return SaleState("shop/laptop", "shop/laptop/1", **{**known, **fields})


def summary(found: Iterable[Any]) -> dict[str, str]:
    """Conditions as type -> status, or status/reason where the reason tells more."""
    return {
        one.type: one.status if one.reason == one.type else f"{one.status}/{one.reason}"
        for one in found
    }
