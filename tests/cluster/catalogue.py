"""Very many objects on one API server: gateways, and for each sale a route and a backend.

The backends stand at addresses that nobody ever connects to.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

import httpx
import yaml

from controlplane.sources.api_types import TYPES, WITH_STATUS
from tests.cluster.cluster import by_type
from tests.testkit.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType

    from tests.cluster.api_server import ApiServer

_AT_ONCE: Final = 8
_DEADLINE: Final = 60.0
_COME_AGAIN: Final = 429
_SALE: Final = """\
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  parentRefs: [{{name: {gateway}}}]
  hostnames: [{name}.example.com]
  rules:
  - name: buy
    matches: [{{path: {{type: PathPrefix, value: /buy}}}}]
    backendRefs: [{{name: {name}, port: 80}}]
---
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: {namespace}}}
spec: {{clusterIP: None, ports: [{{name: http, port: 80, targetPort: 8080}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: {name}
  namespace: {namespace}
  labels: {{kubernetes.io/service-name: {name}}}
addressType: IPv4
ports: [{{name: http, port: 8080, protocol: TCP}}]
endpoints: [{{addresses: ["{address}"], conditions: {{ready: true}}}}]
---
apiVersion: sluice.dev/v1alpha1
kind: FlashSale
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  targetRefs: [{{name: {name}}}]
  schedule: {{startTime: "2026-01-01T00:00:00Z"}}
  stock: 100
  identity: {{header: Authorization}}
"""
_GATEWAY: Final = """\
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: {gateway}, namespace: {namespace}}}
spec:
  gatewayClassName: sluice
  listeners: [{{name: http, protocol: HTTP, port: 8080}}]
"""
_CLASS: Final = """\
apiVersion: sluice.dev/v1alpha1
kind: EdgeConfig
metadata: {{name: edge, namespace: {namespace}}}
spec:
  redis: {{address: "{redis}"}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {{name: sluice}}
spec:
  controllerName: sluice.dev/controller
  parametersRef: {{group: sluice.dev, kind: EdgeConfig, name: edge, namespace: {namespace}}}
"""
_REQUESTS: Final = re.compile(r"^apiserver_request_total\{([^}]*)\} (\S+)$", re.MULTILINE)
_LABEL: Final = re.compile(r'(\w+)="([^"]*)"')
_NO_WRITES: Final = frozenset({"GET", "LIST", "WATCH", "CONNECT"})


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Which objects there are: each gateway has equally many sales; no name is part of another."""

    gateways: int
    sales: int
    namespace: str = "shop"

    @property
    def sale_names(self) -> list[str]:
        """Names of the sales, which are those of their routes and Services too."""
        return [f"item-{number:04}" for number in range(self.sales)]

    @property
    def gateway_names(self) -> list[str]:
        """Names of the gateways."""
        return [f"edge-{number}" for number in range(self.gateways)]

    def gateway_of(self, sale: int) -> str:
        """Which gateway has a sale."""
        return f"edge-{sale % self.gateways}"

    def objects(self, redis: str) -> Iterator[dict[str, Any]]:
        """Every object; those first that others name."""
        place = {"namespace": self.namespace}
        yield from yaml.safe_load_all(_CLASS.format(redis=redis, **place))
        for name in self.gateway_names:
            yield yaml.safe_load(_GATEWAY.format(gateway=name, **place))
        for number, name in enumerate(self.sale_names):
            yield from self.sale(number, name)

    def sale(self, number: int, name: str) -> Iterator[dict[str, Any]]:
        """A sale and all that it needs, on the gateway of that number."""
        address = f"10.1.{number // 250}.{number % 250 + 1}"
        text = _SALE.format(
            name=name, namespace=self.namespace, address=address, gateway=self.gateway_of(number)
        )
        yield from yaml.safe_load_all(text)


class Admin:
    """Many requests to an API server, as the admin, over connections that are kept."""

    def __init__(self, server: ApiServer, namespace: str = "shop") -> None:
        self._namespace = namespace
        self._free = asyncio.Semaphore(_AT_ONCE)
        self._client = httpx.AsyncClient(
            base_url=server.url,
            verify=ssl.create_default_context(cafile=str(server.ca)),
            timeout=_DEADLINE,
            trust_env=False,
            headers={"Authorization": f"Bearer {server.token()}"},
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._client.aclose()

    async def make(self, objects: Iterable[dict[str, Any]]) -> None:
        """Makes objects, several at a time."""
        async with asyncio.TaskGroup() as group:
            for obj in objects:
                path = TYPES[obj["kind"]].path(obj["metadata"].get("namespace"))
                group.create_task(self.call("POST", path, obj))

    async def edit(self, kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
        """Sets fields of a spec, by a merge patch."""
        path = TYPES[kind].path(self._namespace, name)
        return await self.call("PATCH", path, {"spec": spec})

    async def delete(self, kind: str, name: str) -> None:
        """Deletes one object."""
        await self.call("DELETE", TYPES[kind].path(self._namespace, name))

    async def get(self, kind: str, name: str) -> dict[str, Any]:
        """Reads one object."""
        return await self.call("GET", TYPES[kind].path(self._namespace, name))

    async def all(self, kind: str) -> dict[str, dict[str, Any]]:
        """Every object of a kind, by name."""
        found = await self.call("GET", TYPES[kind].path())
        return {one["metadata"]["name"]: one for one in found["items"]}

    async def call(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """One request; a server that has just started may ask to come again in a moment."""
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        headers = {"Content-Type": kind}

        async def answered() -> httpx.Response | None:
            response = await self._client.request(method, path, json=body, headers=headers)
            return None if response.status_code == _COME_AGAIN else response

        async with self._free:
            response = await eventually(answered, every=0.5, what=f"{method} {path} is answered")
        assert response is not None
        assert response.is_success, f"{method} {path}: {response.status_code} {response.text[:500]}"
        return dict(response.json())

    async def written(self) -> Counter[str]:
        """Writes that the server has taken part in since it started, by resource.

        By its own count, whoever wrote: `flashsales/status`, `leases`, `events`.
        """
        text = (await self._client.get("/metrics")).text
        found: Counter[str] = Counter()
        for labels, value in _REQUESTS.findall(text):
            known = dict(_LABEL.findall(labels))
            if known["verb"] not in _NO_WRITES:
                parts = (known["resource"], known["subresource"])
                found["/".join(part for part in parts if part)] += int(float(value))
        return found


def statuses(written: Counter[str]) -> int:
    """How many of these writes were of a status of ours; the server has some of its own."""
    return sum(written[f"{TYPES[kind].plural}/status"] for kind in WITH_STATUS)


def complete(obj: dict[str, Any], condition: str, expected: str = "") -> bool:
    """Whether an object's status has a condition of its newest generation, which is as expected."""
    status = obj.get("status") or {}
    said = status.get("parents") or () if obj["kind"] == "HTTPRoute" else (status,)
    found = [by_type(one).get(condition, {}) for one in said]
    return bool(found) and all(
        one.get("observedGeneration") == obj["metadata"]["generation"]
        and (not expected or one["status"] == expected)
        for one in found
    )
