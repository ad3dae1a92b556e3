"""A whole control plane in the test's own event loop, on manifests that the test writes."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx

from controlplane.app import App
from controlplane.settings import Settings
from tests.testkit.waiting import eventually
from tests.unit.web.modules import built

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

EDGE = """\
apiVersion: sluice.dev/v1alpha1
kind: EdgeConfig
metadata: {{name: edge, namespace: shop}}
spec:
  redis: {{address: "{redis}"}}
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
  listeners: [{{name: http, protocol: HTTP, port: 8080}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: shop, namespace: shop}}
spec:
  parentRefs: [{{name: edge}}]
  rules: [{{name: buy, backendRefs: [{{name: shop, port: 80}}]}}]
---
apiVersion: v1
kind: Service
metadata: {{name: shop, namespace: shop}}
spec: {{ports: [{{name: http, port: 80}}]}}
"""
SALE = """\
apiVersion: sluice.dev/v1alpha1
kind: FlashSale
metadata: {{name: {name}, namespace: shop}}
spec:
  targetRefs: [{{name: shop}}]
  schedule: {{startTime: "2026-01-01T00:00:00Z"}}
  stock: {stock}
  identity: {{header: Authorization}}
"""


def write_manifests(folder: Path, redis: str, *, stock: int = 3, name: str = "laptop") -> Path:
    """Write an edge and a sale."""
    folder.mkdir(exist_ok=True)
    (folder / "edge.yaml").write_text(EDGE.format(redis=redis))
    (folder / "sale.yaml").write_text(SALE.format(stock=stock, name=name))
    return folder


class Running:
    """A control plane that runs, and how to ask it."""

    def __init__(self, app: App, about: Mapping[str, Any]) -> None:
        self.app = app
        self.about = about
        self.server = f"http://{about['web']}"
        self.stop = asyncio.Event()

    async def get(self, path: str) -> Any:
        async with httpx.AsyncClient(trust_env=False) as client:
            return (await client.get(f"{self.server}{path}")).json()

    async def sale(self, name: str = "shop/laptop", **expected: Any) -> dict[str, Any]:
        """Wait until the sale is shown like this."""

        async def reached() -> dict[str, Any]:
            found = await self.get(f"/api/v1/sales/{name}")
            assert {field: found.get(field) for field in expected} == expected, found
            # Books that are not open yet do not heal either.
            assert found.get("incarnation") or "healing" not in expected, found
            return dict(found)

        return dict(await eventually(reached, what=f"{name} as expected"))


def settings(manifests: Path | None, folder: Path, **options: Any) -> Settings:
    """Settings with free ports, and filters that look like some."""
    known = {"built": built(folder / "built"), "state_dir": folder / "state", "grace": 1.0}
    return Settings(manifests=manifests, **{"xds_port": 0, "web_port": 0, **known, **options})


@asynccontextmanager
async def control_plane(
    manifests: Path | None, folder: Path, environ: Mapping[str, str] | None = None, **options: Any
) -> AsyncIterator[Running]:
    """Run one; it has ended in order when the context has."""
    loop = asyncio.get_running_loop()
    started: asyncio.Future[Mapping[str, Any]] = loop.create_future()
    stop = asyncio.Event()
    app = App(settings(manifests, folder, **options), environ or {})
    task = asyncio.create_task(app.run(stop, ready=started.set_result))
    try:
        await asyncio.wait((task, started), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            await task
        running = Running(app, started.result())
        yield running
    finally:
        stop.set()
        if not task.done():
            async with asyncio.timeout(20):
                await task
