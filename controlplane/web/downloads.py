"""Filter code for proxies, found by its hash; the one thing that they need of the web port.

It has an app of its own too, so that it can be offered to other machines without the API.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.applications import Starlette
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route

if TYPE_CHECKING:
    from starlette.requests import Request

    from controlplane.web.filters import Filters

_DIGEST_LENGTH: Final = 64


def make_downloads(filters: Filters) -> Starlette:
    """Give an app that has filter code and nothing else."""
    return Starlette(routes=[download_route(filters)])


def download_route(filters: Filters) -> Route:
    """Give the route of filter code; a proxy checks what it gets by the very hash in the path."""

    async def download(request: Request) -> Response:
        sha256 = request.path_params["sha256"]
        found = None
        if len(sha256) == _DIGEST_LENGTH and sha256.isalnum():
            found = await filters.find(sha256)
        if found is None:
            return PlainTextResponse("there is no filter with this hash\n", 404)
        headers = {"cache-control": "public, max-age=31536000, immutable"}
        return FileResponse(found, headers=headers, media_type="application/wasm")

    return Route("/filters/{sha256:str}.wasm", download)
