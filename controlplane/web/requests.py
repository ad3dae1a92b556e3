"""What every call of the API goes through: who may call, how much, and for how long.

The API has no passwords; it listens on loopback. So what must be kept out is the operator's own
browser, driven by a page from elsewhere. Such a page can send requests, but not with our header
and our content type (a browser asks first, and is never answered), nor, by pointing its own name
at our address, with a Host that is ours.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
from collections.abc import Awaitable, Callable
from typing import Any, Final

import structlog
from starlette.requests import Request
from starlette.responses import Response

from controlplane.ledger.errors import BooksMissingError, LedgerError, RedisRefusedError
from controlplane.web.errors import ApiError, bad_request, unavailable
from controlplane.web.filter_store import FilterError

log = structlog.get_logger(__name__)

HEADER: Final = "x-sluice-client"
"""Every call that changes something carries it; any value but the empty one will do."""
MAX_BODY: Final = 1024 * 1024
DEADLINE_SECONDS: Final = 10.0

Handler = Callable[[Request], Awaitable[Any]]


def endpoint(handler: Handler, hosts: frozenset[str]) -> Callable[[Request], Awaitable[Response]]:
    """Wrap a handler that gives JSON: checks before it, one kind of error after it."""

    async def answer(request: Request) -> Response:
        try:
            check_host(request, hosts)
            if request.method not in {"GET", "HEAD"}:
                check_intent(request)
            async with asyncio.timeout(DEADLINE_SECONDS):
                return reply(await handler(request))
        except ApiError as error:
            return reply(error.as_json(), status=error.status)
        except Exception as error:
            known = translate(error)
            if known.status == 500:  # noqa: PLR2004 - a fault of ours, so the log needs all of it
                log.exception("Call failed", path=request.url.path)
            return reply(known.as_json(), status=known.status)

    return answer


def translate(error: Exception) -> ApiError:
    """Say what an error means to a caller."""
    if isinstance(error, BooksMissingError):
        return unavailable(str(error))
    if isinstance(error, RedisRefusedError):
        return ApiError(502, "RedisRefused", str(error))
    if isinstance(error, LedgerError):
        return unavailable(str(error))
    if isinstance(error, FilterError):
        return ApiError(422, "BadFilter", str(error))
    if isinstance(error, TimeoutError):
        return ApiError(504, "DeadlineExceeded", f"not done within {DEADLINE_SECONDS:g} s")
    return ApiError(500, "Internal", f"internal error ({type(error).__name__}): see the log")


def reply(value: Any, *, status: int = 200) -> Response:
    """Answer with JSON; any text is fine in it, also one that is not UTF-8."""
    body = json.dumps(value, ensure_ascii=True, separators=(",", ":")) + "\n"
    headers = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
    return Response(body, status, headers, media_type="application/json")


def check_host(request: Request, hosts: frozenset[str]) -> None:
    """Refuse calls under a name that is not ours."""
    name = host_name(request.headers.get("host", ""))
    if name == "localhost" or name in hosts or is_loopback(name):
        return
    raise ApiError(
        421,
        "WrongHost",
        f"this API does not answer under the name {name!r}: use the address it listens on",
    )


def check_intent(request: Request) -> None:
    """Refuse changes that a web page could have made a browser ask for."""
    if not request.headers.get(HEADER):
        raise ApiError(403, "HeaderMissing", f"a change needs the header {HEADER}, with any value")
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media != "application/json":
        raise ApiError(415, "WrongContentType", "a change needs content-type application/json")


async def body(request: Request, *, limit: int = MAX_BODY) -> dict[str, Any]:
    """Read the JSON object in a request's body; nothing at all stands for `{}`."""
    declared = request.headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > limit:
        raise _too_large(limit)
    received = bytearray()
    async for chunk in request.stream():
        received += chunk
        if len(received) > limit:
            raise _too_large(limit)
    if not received:
        return {}
    try:
        value = json.loads(received)
    except ValueError as error:
        raise bad_request(f"the body is not JSON ({error})") from error
    if not isinstance(value, dict):
        raise bad_request("the body must be a JSON object")
    return value


def only(value: dict[str, Any], *allowed: str) -> dict[str, Any]:
    """Refuse fields that mean nothing here: a slip must not half work."""
    unknown = sorted(value.keys() - set(allowed))
    if unknown:
        known = ", ".join(allowed) or "none"
        raise bad_request(f"unknown field {unknown[0]!r} (there are: {known})")
    return value


def whole_number(request: Request, name: str, default: int, highest: int) -> int:
    """Read a number from the query."""
    given = request.query_params.get(name, "")
    if not given:
        return default
    if not given.isdigit() or int(given) > highest:
        raise bad_request(f"{name} must be a number up to {highest}")
    return int(given)


def audit(request: Request, action: str, **fields: Any) -> None:
    """Leave a line in the log for each change, with where it came from."""
    client = f"{request.client.host}:{request.client.port}" if request.client else "unknown"
    log.info("Changed by hand", action=action, client=client, **fields)


def host_name(host: str) -> str:
    """Give the name in a Host header, without the port and brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.rpartition(":")[0].lower() if host.count(":") == 1 else host.lower()


def is_loopback(name: str) -> bool:
    """Tell an address of this machine from any other, and from names."""
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _too_large(limit: int) -> ApiError:
    return ApiError(413, "TooLarge", f"the body is larger than {limit // 1024} KiB")
