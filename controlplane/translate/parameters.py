"""The flash-sale filter's parameters: every sale of one gateway, and the routes they guard.

The filter knows no defaults. What an operator left out is worked out here, so that Python and Rust
cannot disagree about it; `tests/contract/flash-sale` pins the form for both. Order is part of it:
equal sales give equal bytes, and an edit of one sale moves nothing else.
"""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from controlplane.model.durations import milliseconds
from controlplane.model.responses import OUTCOMES, Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from controlplane.model import FlashSale
    from controlplane.model.edge_config import RedisSettings

from controlplane.translate import names

VERSION: Final = 1
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_USER_BYTES: Final = 16
# No string has a line break in it as such, so this is never part of one.
_NUMBERS: Final = re.compile(r"\[\n([0-9,\s]+)\]")


def document(
    gateway: str, redis: RedisSettings, poll_ms: int, guards: Mapping[str, FlashSale]
) -> dict[str, Any]:
    """The parameters of one gateway; `guards` tells which sale guards each Envoy route."""
    by_name = {sale.sale: sale for sale in guards.values()}
    places = {name: place for place, name in enumerate(sorted(by_name))}
    return {
        "version": VERSION,
        "gateway": gateway,
        "redis": redis_parameters(redis),
        "pollMs": poll_ms,
        "sales": [sale_parameters(by_name[name]) for name in places],
        "routes": {route: places[guards[route].sale] for route in sorted(guards)},
    }


def to_json(parameters: Mapping[str, Any]) -> str:
    """Compact, in the order of the document, so that equal parameters are equal bytes."""
    return json.dumps(parameters, ensure_ascii=False, separators=(",", ":"))


def to_text(parameters: Mapping[str, Any]) -> str:
    """Laid out for people. Lists of numbers stay on one line: the borders of days are hundreds."""
    text = json.dumps(parameters, indent=2, ensure_ascii=False)
    return _NUMBERS.sub(lambda found: f"[{' '.join(found[1].split())}]", text) + "\n"


def sale_parameters(sale: FlashSale) -> dict[str, Any]:
    """One sale, everything resolved."""
    spec, admission = sale.spec, sale.spec.admission
    return {
        "sale": sale.sale,
        "books": sale.books,
        "startMs": instant_ms(spec.schedule.start_time),
        "endMs": None if spec.schedule.end_time is None else instant_ms(spec.schedule.end_time),
        "blockRatio": admission.block_ratio,
        "draw": admission.draw,
        "redrawMs": milliseconds(admission.redraw),
        "minIntervalMs": milliseconds(admission.min_interval),
        "identity": _identity(sale),
        "pass": _pass(sale),
        "deny": {
            "users": [denied_user(sale.books, user) for user in spec.access.deny],
            "networks": list(spec.access.deny_cidrs),
        },
        "responses": {outcome: _response(sale, outcome) for outcome in OUTCOMES},
        "onRedisFailure": spec.on_redis_failure,
        "durability": spec.durability,
        "suspended": spec.suspend,
    }


def denied_user(books: str, user: str) -> str:
    """How a deny list names a user: raw ids may be secrets and must not stand in a config dump.

    Bound to the books, so that the same id looks different in every sale.
    """
    return hashlib.sha256(books.encode() + b"\0" + user.encode()).digest()[:_USER_BYTES].hex()


def instant_ms(instant: datetime) -> int:
    """Milliseconds since 1970; what is below a millisecond is cut off."""
    return milliseconds(instant - _EPOCH)


def redis_parameters(redis: RedisSettings) -> dict[str, Any]:
    """How a filter reaches Redis; the password is a variable of the proxy's environment."""
    # Behind Envoy's Redis proxy it is the proxy that logs in, once for all its connections.
    direct = redis.via == "Direct"
    return {
        "cluster": names.REDIS_CLUSTER,
        "deadlineMs": milliseconds(redis.timeout),
        "username": redis.username if direct else "",
        "passwordEnv": redis.password_env if direct else "",
        "database": redis.database,
        "via": redis.via,
    }


def _identity(sale: FlashSale) -> dict[str, Any]:
    identity = sale.spec.identity
    if identity.header is not None:
        return {"header": identity.header.lower(), "plain": identity.plain}
    if identity.cookie is not None:
        return {"cookie": identity.cookie, "plain": identity.plain}
    return {"clientAddress": True, "plain": identity.plain}


def _pass(sale: FlashSale) -> dict[str, Any] | None:
    if sale.spec.pass_ is None:
        return None
    return {"cookie": sale.pass_cookie, "ttlMs": milliseconds(sale.spec.pass_.ttl)}


def _response(sale: FlashSale, outcome: Outcome) -> dict[str, Any]:
    answer = sale.response(outcome)
    return {
        "status": answer.status,
        "headers": [list(header) for header in answer.headers],
        "body": answer.body,
        "retryAfter": answer.retry_after,
    }
