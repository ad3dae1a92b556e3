"""The part of the API that is not about sales or quotas: status, proxies, keys, code; the app."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Mount, Route

from controlplane.status.objects import problem_json
from controlplane.web import wasm
from controlplane.web.downloads import download_route
from controlplane.web.errors import ApiError, bad_request, not_found
from controlplane.web.filter_store import FLASH_SALE, STEMS
from controlplane.web.health import health_routes
from controlplane.web.proxies import elsewhere_json, proxy_json
from controlplane.web.quotas import QuotasApi
from controlplane.web.requests import audit, body, endpoint, only, reply
from controlplane.web.sales import SalesApi

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.requests import Request
    from starlette.responses import Response

    from controlplane.ledger.ledger import Link
    from controlplane.web.control import Control

#: A filter comes in base64, which is a third larger.
MAX_CODE_BODY: Final = wasm.MAX_BYTES * 4 // 3 + 4096


def make_app(control: Control, hosts: Iterable[str]) -> Starlette:
    """Put the whole of it together; `hosts` are the names it answers under besides loopback."""
    allowed = frozenset(name.lower() for name in hosts)
    api = Api(control)
    parts = (api, SalesApi(control), QuotasApi(control))
    routes = [route for part in parts for route in part.routes(allowed)]
    return Starlette(
        routes=[
            *health_routes(control),
            download_route(control.filters),
            Mount("/api/v1", routes=routes),
        ],
        exception_handlers={HTTPException: no_such_call},
    )


async def no_such_call(request: Request, error: Exception) -> Response:
    """Answer calls to what does not exist, or not with that method."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    what = f"{request.method} {request.url.path}"
    message = f"there is no {what} here" if status == 404 else f"{what} is not possible"  # noqa: PLR2004
    return reply(ApiError(status, "NoSuchCall", message).as_json(), status=status)


class Api:
    """Handlers; those below /api/v1 give what is answered as JSON."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def routes(self, hosts: frozenset[str]) -> list[Route]:
        """Give the routes, below /api/v1."""
        table = [
            ("GET", "/status", self.status),
            ("GET", "/gateways", self.gateways),
            ("POST", "/gateways/{namespace}/{name}/retry", self.retry),
            ("GET", "/proxies", self.proxies),
            ("GET", "/keys", self.keys),
            ("POST", "/keys/rotate", self.rotate),
            ("GET", "/filters", self.filters),
            ("POST", "/filters/reload", self.reload),
        ]
        return [
            Route(path, endpoint(handler, hosts), methods=[method])
            for method, path, handler in table
        ]

    # ------------------------------------------------------------------------------ for commands

    async def status(self, _: Request) -> dict[str, Any]:
        """Give everything at once."""
        status = self._control.status()
        return {
            **self._control.about,
            "ready": status.ready and self._control.store.opened,
            "problems": [problem_json(problem) for problem in status.problems],
            "objects": [one.as_json() for one in status.objects],
            "filters": self._control.filters.in_force(),
            "proxies": self._everywhere(),
        }

    async def gateways(self, _: Request) -> dict[str, Any]:
        """List the gateways."""
        return {"gateways": [one.as_json() for one in self._control.status().of_kind("Gateway")]}

    async def retry(self, request: Request) -> dict[str, Any]:
        """Send refused configuration once more, after its cause was mended outside of it."""
        only(await body(request))
        name = f"{request.path_params['namespace']}/{request.path_params['name']}"
        if not self._control.store.retry(name):
            known = ", ".join(self._control.store.gateways()) or "there are none"
            raise not_found(f"there is no gateway {name!r}; known: {known}")
        audit(request, "retry", gateway=name)
        return {"gateway": name, "done": "retry"}

    async def proxies(self, _: Request) -> dict[str, Any]:
        """List the connected proxies, ours and then those of other replicas."""
        return {"proxies": self._everywhere()}

    def _everywhere(self) -> list[dict[str, Any]]:
        return [*self._proxies(), *elsewhere_json(self._control.fleet())]

    def _proxies(self) -> list[dict[str, Any]]:
        control = self._control
        return [proxy_json(proxy, control.rollouts) for proxy in control.store.proxies()]

    async def keys(self, _: Request) -> dict[str, Any]:
        """List the signing keys of each Redis by their numbers; the keys are never shown."""
        links = self._control.ledger.links
        return {"rings": [await ring_json(address, link) for address, link in links.items()]}

    async def rotate(self, request: Request) -> dict[str, Any]:
        """Make a new signing key, on each Redis or on the one that is named."""
        wanted = only(await body(request), "redis").get("redis")
        links = self._control.ledger.links
        if not links:
            raise not_found("no sale or quota is in force, so there is no key ring yet")
        if wanted is not None and wanted not in links:
            raise not_found(
                f"no sale or quota uses a Redis at {wanted!r}; known: {', '.join(links)}"
            )
        rings = []
        for address, link in links.items():
            if wanted in {None, address}:
                await link.keyring.rotate()
                audit(request, "keys rotate", redis=address)
                rings.append(await ring_json(address, link))
        for account in self._control.ledger.accounts:
            account.keeper.poke()  # the books tell the edges of the new version
        return {"rings": rings}

    async def filters(self, _: Request) -> dict[str, Any]:
        """List the code in the store, and which of it each proxy runs."""
        return {
            "filters": await self._control.filters.listed(),
            "inForce": self._control.filters.in_force(),
            "proxies": self._proxies(),
        }

    async def reload(self, request: Request) -> dict[str, Any]:
        """Bring code to the proxies: the built files, `code` (base64), or older code (`to`)."""
        given = only(await body(request, limit=MAX_CODE_BODY), "filter", "to", "code")
        stem, to, code = given.get("filter"), given.get("to"), given.get("code")
        if any(value is not None and not isinstance(value, str) for value in given.values()):
            raise bad_request("filter, to and code are texts")
        if to is not None and code is not None:
            raise bad_request("give either to or code")
        stems = [stem] if stem else [FLASH_SALE] if to or code else list(STEMS)
        store = self._control.filters
        if to is not None:
            refs = await store.go_back(stems, to.lower())
        else:
            refs = await store.reload(stems, None if code is None else decode(code))
        self._control.roll_out()
        audit(request, "filters reload", **dict(refs))
        return {"filters": [{"filter": name, "sha256": sha256} for name, sha256 in refs]}


async def ring_json(address: str, link: Link) -> dict[str, Any]:
    """Describe a key ring without any key."""
    ring = await link.keyring.ensure()
    return {"redis": address, "signing": ring.version, "verifying": list(ring.numbers)}


def decode(code: str) -> bytes:
    """Read code sent as base64."""
    try:
        return base64.b64decode(code, validate=True)
    except (binascii.Error, ValueError) as error:
        raise bad_request("code is not base64") from error
