"""One rule of an HTTPRoute as Envoy routes, one for each of its matches.

A rule depends on nothing but itself, its backends, which policies guard it, and the port it is
served on; so its routes are encoded once and kept until one of those changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from envoy_data_plane.envoy.config.core.v3 import (
    HeaderValue,
    HeaderValueOption,
    HeaderValueOptionHeaderAppendAction,
)
from envoy_data_plane.envoy.config.route import v3 as envoy
from envoy_data_plane.google.protobuf import Any as Packed

from controlplane.translate import changes, names
from controlplane.translate.backends import Backend, Fault
from controlplane.translate.matches import Rank, UnusableError, envoy_match, rank
from controlplane.translate.wire import encode, pack

if TYPE_CHECKING:
    from collections.abc import Iterable

    from controlplane.model import FlashSale, HTTPRoute, QuotaPolicy
    from controlplane.model.route import RouteMatch, RouteRule, RouteTimeouts

COOKIE_STATE: Final = "wasm.sluice.cookie"
"""Where the filter leaves a whole Set-Cookie value for the response; nothing there, no header."""
ACCEPT_ENCODING: Final = "accept-encoding"
_NO_LIMIT: Final = timedelta(0)
_FAILED: Final = 500


@dataclass(frozen=True, slots=True)
class Site:
    """Where routes are served, as far as their form depends on it."""

    scheme: str
    port: int


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule with what it needs from other objects."""

    name: str
    spec: RouteRule
    backends: tuple[Backend, ...]
    sale: str
    """The sale that guards it, as `namespace/name`; empty when none does."""
    quota: bool
    """Whether any quota policy holds for it."""
    reads_responses: bool
    """Whether one of them counts by what stands in responses, which must not be compressed."""

    @property
    def inputs(self) -> tuple[Any, ...]:
        """All that its routes depend on: of a backend not the Service, but where it leads."""
        policies = (self.sale, self.quota, self.reads_responses)
        return self.name, self.spec, *policies, tuple(item.cluster for item in self.backends)

    @classmethod
    def of(
        cls,
        route: HTTPRoute,
        index: int,
        backends: tuple[Backend, ...],
        *,
        sale: FlashSale | None = None,
        quotas: Iterable[QuotaPolicy] = (),
    ) -> Rule:
        """The rule at this place of a route, and which policies are in force on it."""
        held = tuple(quotas)
        return cls(
            route.rule_key(index),
            route.spec.rules[index],
            backends,
            sale="" if sale is None else sale.sale,
            quota=bool(held),
            reads_responses=any(policy.reads_responses for policy in held),
        )


@dataclass(frozen=True, slots=True)
class RuleRoutes:
    """The encoded routes of a rule, each with its rank; and what does not work about them."""

    routes: tuple[tuple[Rank, bytes], ...]
    faults: tuple[Fault, ...] = ()
    works: bool = True
    """Whether any request can get past it."""


def translate_rule(rule: Rule, site: Site) -> RuleRoutes:
    """Every match as a route. Matches that Envoy would refuse are left out and reported."""
    routes: list[tuple[Rank, bytes]] = []
    faults: list[Fault] = []
    try:
        wanted = changes.read(rule.spec.filters)
    except UnusableError as error:
        wanted = None
        faults.append(Fault("UnsupportedValue", f"{rule.name}: {error}; its requests get a 500"))
    for match in rule.spec.effective_matches:
        try:
            matched = envoy_match(match)
        except UnusableError as error:
            faults.append(Fault("UnsupportedValue", f"{rule.name}: {error}"))
            continue
        routes.append((rank(match), encode(_route(rule, match, matched, wanted, site))))
    return RuleRoutes(tuple(routes), tuple(faults), works=bool(routes) and wanted is not None)


def _route(
    rule: Rule,
    match: RouteMatch,
    matched: envoy.RouteMatch,
    wanted: changes.Changes | None,
    site: Site,
) -> envoy.Route:
    if wanted is None:
        fields: dict[str, Any] = {"direct_response": _failed()}
    else:
        fields = _action(rule, match, wanted, site) | wanted.header_fields
    route = envoy.Route(name=rule.name, match=matched, **fields)
    filters = {names.QUOTA: rule.quota, names.FLASH_SALE: bool(rule.sale)}
    route.typed_per_filter_config = {name: _switched_on() for name, on in filters.items() if on}
    if rule.reads_responses:
        others = [one for one in route.request_headers_to_remove if one.lower() != ACCEPT_ENCODING]
        route.request_headers_to_remove = [*others, ACCEPT_ENCODING]
    if rule.sale:
        route.request_headers_to_add = [*route.request_headers_to_add, _sale_name(rule.sale)]
        route.response_headers_to_add = [*route.response_headers_to_add, _pass_cookie()]
    return route


def _action(rule: Rule, match: RouteMatch, wanted: changes.Changes, site: Site) -> dict[str, Any]:
    path = match.path.value if match.path.type == "PathPrefix" else "/"
    if wanted.redirect is not None:
        return {"redirect": changes.redirect_action(wanted.redirect, path, site.scheme, site.port)}
    shares = [backend for backend in rule.backends if backend.weight > 0]
    if not any(backend.upstream for backend in shares):
        return {"direct_response": _failed()}
    fields = _destination(shares)
    if wanted.rewrite is not None:
        fields |= changes.rewrite_fields(wanted.rewrite, path)
    action = envoy.RouteAction(
        timeout=_timeout(rule.spec.timeouts),
        cluster_not_found_response_code=(
            envoy.RouteActionClusterNotFoundResponseCode.INTERNAL_SERVER_ERROR
        ),
        **fields,
    )
    return {"route": action}


def _failed() -> envoy.DirectResponseAction:
    return envoy.DirectResponseAction(status=_FAILED)


def _destination(shares: list[Backend]) -> dict[str, Any]:
    if len(shares) == 1 and not shares[0].ref.filters:
        return {"cluster": shares[0].cluster}
    clusters = [_share(backend) for backend in shares]
    return {"weighted_clusters": envoy.WeightedCluster(clusters=clusters)}


def _share(backend: Backend) -> envoy.WeightedClusterClusterWeight:
    share = envoy.WeightedClusterClusterWeight(name=backend.cluster, weight=backend.weight)
    if backend.upstream is None or not backend.ref.filters:
        return share
    wanted = changes.read(backend.ref.filters)
    for name, value in wanted.header_fields.items():
        setattr(share, name, value)
    if wanted.rewrite is not None and wanted.rewrite.hostname is not None:
        share.host_rewrite_literal = wanted.rewrite.hostname
    return share


def _timeout(timeouts: RouteTimeouts) -> timedelta:
    """The shorter one, as there is one try per request; zero, here and there, is no limit.

    None unless asked for: answers may be streams. What is idle too long is ended all the same.
    """
    given = [limit for limit in (timeouts.request, timeouts.backend_request) if limit]
    return min(given, default=_NO_LIMIT)


def _switched_on() -> Packed:
    return pack(envoy.FilterConfig(config=Packed()))


def _sale_name(sale: str) -> HeaderValueOption:
    # The same for every request of the route, and here it costs less than in the filter.
    return HeaderValueOption(
        header=HeaderValue(key=names.SALE_HEADER, value=sale),
        append_action=HeaderValueOptionHeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD,
    )


def _pass_cookie() -> HeaderValueOption:
    # On every guarded route, so that giving a sale passes changes its parameters and no route.
    return HeaderValueOption(
        header=HeaderValue(key="set-cookie", value=f"%FILTER_STATE({COOKIE_STATE}:PLAIN)%"),
        append_action=HeaderValueOptionHeaderAppendAction.APPEND_IF_EXISTS_OR_ADD,
    )
