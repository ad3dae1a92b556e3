"""The quota filter's parameters: every policy of one gateway, and the routes they hold for.

As with sales, the filter knows no defaults: what an operator left out is worked out here, and
`tests/contract/quota` pins the form for Python and Rust. Consumers of overrides stand in it as
hashes, as they may be secrets; only patterns are written out.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from controlplane.model import QUOTA_OUTCOMES
from controlplane.translate import calendar
from controlplane.translate.parameters import redis_parameters

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date

    from controlplane.model import (
        KeyPart,
        Limit,
        QuotaOutcome,
        QuotaPolicy,
        ResolvedCost,
        ResolvedOverride,
        ResolvedWindow,
    )
    from controlplane.model.edge_config import RedisSettings
    from controlplane.model.quota_matchers import Matcher, QuotaHeaderMatch, QuotaPathMatch
    from controlplane.translate.quotas import EdgeQuotas

VERSION: Final = 1
_CONSUMER_BYTES: Final = 16
_PATH_FIELDS: Final = {"Exact": "exact", "PathPrefix": "prefix", "RegularExpression": "regex"}


def document(
    gateway: str, redis: RedisSettings, workers: int, today: date, quotas: EdgeQuotas
) -> dict[str, Any]:
    """The parameters of one gateway. `workers` counts only where each of them has a share."""
    places = {policy.ref: place for place, policy in enumerate(quotas.policies)}

    def listed(policies: Iterable[QuotaPolicy]) -> list[int]:
        return [places[policy.ref] for policy in policies]

    return {
        "version": VERSION,
        "gateway": gateway,
        "redis": redis_parameters(redis),
        # Where no limit is shared among workers, one that comes or goes changes nothing.
        "workers": workers if any(map(_is_shared, quotas.policies)) else 1,
        "policies": [policy_parameters(policy, today) for policy in quotas.policies],
        "routes": {route: listed(quotas.routes[route]) for route in sorted(quotas.routes)},
        "otherwise": listed(quotas.otherwise),
    }


def policy_parameters(policy: QuotaPolicy, today: date) -> dict[str, Any]:
    """One policy, everything resolved."""
    headers = policy.spec.headers
    return {
        "policy": policy.policy,
        "limits": [_limit(policy.policy, limit, today) for limit in policy.limits],
        "responses": {outcome: _response(policy, outcome) for outcome in QUOTA_OUTCOMES},
        "rateLimit": headers.rate_limit,
        "xRateLimit": headers.x_rate_limit,
    }


def borders(window: ResolvedWindow, today: date) -> tuple[int, ...]:
    """Where the windows of a calendar begin, ms since 1970; nothing for windows of one length."""
    if window.unit is None or window.unit == "Minute" or window.zone is None:
        return ()
    return _borders(window.unit, window.zone, today)


def override_consumer(policy: str, values: Iterable[str]) -> str:
    """How an override names its consumer: raw ids may be secrets and must not be in a config dump.

    Bound to the policy, so that one id looks different in each; the filter hashes likewise what a
    request carries. Each value goes in with its length, so that no two lists are the same.
    """
    parts = [value.encode() for value in values]
    message = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return hashlib.sha256(policy.encode() + b"\0" + message).digest()[:_CONSUMER_BYTES].hex()


@lru_cache(maxsize=256)
def _borders(unit: calendar.Unit, zone: str, today: date) -> tuple[int, ...]:
    return calendar.borders(unit, zone, today)


def _is_shared(policy: QuotaPolicy) -> bool:
    return any(limit.on_redis_failure == "Local" for limit in policy.limits)


def _limit(policy: str, limit: Limit, today: date) -> dict[str, Any]:
    return {
        "name": limit.name,
        "key": [{**_key_part(part), "required": part.required} for part in limit.key],
        "plain": limit.plain,
        "when": [_matcher(matcher) for matcher in limit.when],
        "counts": limit.counts,
        "windows": [_window(window, today) for window in limit.resolved],
        "cost": _cost(limit.resolved_cost),
        "shadow": limit.shadow,
        "percent": limit.enforce_percent,
        "onRedisFailure": limit.on_redis_failure,
        "overrides": [_override(policy, override) for override in limit.resolved_overrides],
    }


def _key_part(part: KeyPart) -> dict[str, Any]:
    if part.header is not None:
        return {"header": part.header.lower()}
    if part.client_address is not None:
        address = part.client_address
        return {"clientAddress": {"ipv4": address.ipv4_prefix, "ipv6": address.ipv6_prefix}}
    text = part.cookie or part.query or part.literal
    return {part.source: True if text is None else text}


def _matcher(matcher: Matcher) -> dict[str, Any]:
    return {
        "methods": list(matcher.methods),
        "path": None if matcher.path is None else _path(matcher.path),
        "headers": [_header(header) for header in matcher.headers],
    }


def _path(path: QuotaPathMatch) -> dict[str, Any]:
    return {_PATH_FIELDS[path.type]: path.value}


def _header(header: QuotaHeaderMatch) -> dict[str, Any]:
    name = {"name": header.name.lower()}
    if header.type == "Present":
        return {**name, "present": True}
    return {**name, _PATH_FIELDS[header.type]: header.value}


def _window(window: ResolvedWindow, today: date) -> dict[str, Any]:
    return {
        "id": window.id,
        "kind": window.kind,
        "amount": window.amount,
        "spanMs": window.span_ms,
        "burst": window.burst,
        "borders": list(borders(window, today)),
    }


def _cost(cost: ResolvedCost) -> dict[str, Any]:
    response = cost.response
    if response is None:
        return {"number": cost.number, "header": cost.header, "response": None}
    terms = [{"pointer": term.pointer, "milli": term.milli} for term in response.terms]
    found = {"terms": terms, "reserve": response.reserve, "ttlMs": response.ttl_ms}
    return {"number": cost.number, "header": cost.header, "response": found}


def _override(policy: str, override: ResolvedOverride) -> dict[str, Any]:
    exact = override.exact
    return {
        "consumer": override_consumer(policy, override.consumer) if exact else None,
        "patterns": None if exact else list(override.consumer),
        "unlimited": override.unlimited,
        "amounts": [window.amount for window in override.windows],
        "bursts": [window.burst for window in override.windows],
    }


def _response(policy: QuotaPolicy, outcome: QuotaOutcome) -> dict[str, Any]:
    answer = policy.response(outcome)
    return {
        "status": answer.status,
        "headers": [list(header) for header in answer.headers],
        "body": answer.body,
    }
