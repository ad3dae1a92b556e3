"""Health and metrics: what kubelets and scrapers ask for, and nobody can do harm with.

It has an app of its own too, so that it can be offered to other machines without the API.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from controlplane.web import metrics

if TYPE_CHECKING:
    from starlette.requests import Request

    from controlplane.web.control import Control


def make_health(control: Control) -> Starlette:
    """Give an app that has health and metrics and nothing else."""
    return Starlette(routes=health_routes(control))


def health_routes(control: Control) -> list[Route]:
    """Give the routes `/healthz`, `/readyz` and `/metrics`."""

    async def healthz(_: Request) -> Response:
        """Tell that the event loop turns."""
        return PlainTextResponse("ok\n")

    async def readyz(_: Request) -> Response:
        """Tell whether proxies are served: the manifests were read once. Redis is not asked."""
        if control.store.opened:
            return PlainTextResponse("ready\n")
        return PlainTextResponse("waiting for the manifests to be read\n", 503)

    async def exposition(_: Request) -> Response:
        """Give the metrics in Prometheus's text format."""
        return Response(metrics.exposition(control.registry), media_type=metrics.CONTENT_TYPE)

    return [
        Route("/healthz", healthz),
        Route("/readyz", readyz),
        Route("/metrics", exposition),
    ]
