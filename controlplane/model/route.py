"""HTTPRoute of Gateway API v1: which requests go where.

All of the standard parses. What Sluice does not act on is kept as `Unsupported` and reported;
what contradicts the standard is an error here, as it would be in an API server.
"""

from __future__ import annotations

from typing import ClassVar, Final, Literal, Self

from pydantic import Field, model_validator

from controlplane.model.durations import Duration
from controlplane.model.expressions import expression_error
from controlplane.model.gateway import GATEWAY_API, GATEWAY_API_VERSIONS, GatewayApiVersion
from controlplane.model.meta import Model, Resource
from controlplane.model.paths import path_error
from controlplane.model.route_filters import HTTPRouteFilter, filter_conflicts
from controlplane.model.rules import Broken, demand
from controlplane.model.scalars import (
    Group,
    HeaderName,
    Hostname,
    Kind,
    Name,
    Namespace,
    Port,
    SectionName,
    Unsupported,
)

MAX_MATCHES: Final = 128
"""Matches of all rules of a route, as Gateway API bounds them."""


class ParentReference(Model):
    """The gateway, or one listener of it, that a route attaches to."""

    group: Group = Field(GATEWAY_API, description="Group.")
    kind: Kind = Field("Gateway", description="Kind; only Gateway is served.")
    namespace: Namespace | None = Field(None, description="Namespace; without it the route's.")
    name: Name = Field(description="Name of the gateway.")
    section_name: SectionName | None = Field(None, description="Name of one listener.")
    port: Port | None = Field(None, description="Port of the listeners.")


class PathMatch(Model):
    """A condition on the path."""

    type: Literal["Exact", "PathPrefix", "RegularExpression"] = Field(
        "PathPrefix", description="`PathPrefix` compares whole segments."
    )
    value: str = Field("/", max_length=1024, description="Path, or expression (RE2).")

    @model_validator(mode="after")
    def _readable(self) -> Self:
        regular = self.type == "RegularExpression"
        wrong = expression_error(self.value) if regular else path_error(self.value)
        if wrong is not None:
            demand([(("value",), wrong)])
        return self


class HeaderMatch(Model):
    """A condition on a header."""

    type: Literal["Exact", "RegularExpression"] = Field("Exact", description="Comparison.")
    name: HeaderName = Field(description="Header, in any case.")
    value: str = Field(min_length=1, max_length=4096, description="Value, or expression (RE2).")

    @model_validator(mode="after")
    def _readable(self) -> Self:
        wrong = expression_error(self.value) if self.type == "RegularExpression" else None
        if wrong is not None:
            demand([(("value",), wrong)])
        return self


class QueryParamMatch(Model):
    """A condition on a query parameter."""

    type: Literal["Exact", "RegularExpression"] = Field("Exact", description="Comparison.")
    name: HeaderName = Field(description="Parameter.")
    value: str = Field(min_length=1, max_length=1024, description="Value, or expression (RE2).")

    @model_validator(mode="after")
    def _readable(self) -> Self:
        wrong = expression_error(self.value) if self.type == "RegularExpression" else None
        if wrong is not None:
            demand([(("value",), wrong)])
        return self


Method = Literal["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"]


class RouteMatch(Model):
    """Conditions that must all hold."""

    path: PathMatch = Field(default_factory=PathMatch, description="On the path.")
    headers: tuple[HeaderMatch, ...] = Field((), max_length=16, description="On headers.")
    query_params: tuple[QueryParamMatch, ...] = Field(
        (), max_length=16, description="On query parameters."
    )
    method: Method | None = Field(None, description="On the method.")


class BackendRef(Model):
    """A Service that gets a share of the requests."""

    group: Group = Field("", description="Group, empty.")
    kind: Kind = Field("Service", description="Kind; only Service is served.")
    name: Name = Field(description="Name of the Service.")
    namespace: Namespace | None = Field(None, description="Namespace; without it the route's.")
    port: Port | None = Field(None, description="Port of the Service; needed for a Service.")
    weight: int = Field(1, ge=0, le=1_000_000, description="Share, relative to the others.")
    filters: tuple[HTTPRouteFilter, ...] = Field(
        (), max_length=16, description="Changes for this backend alone."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        broken = filter_conflicts(self.filters)
        if self.port is None and self.kind == "Service" and not self.group:
            broken.append((("port",), "is required for a Service"))
        demand(broken)
        return self


class RouteTimeouts(Model):
    """How long requests may take; `0s` is no limit."""

    request: Duration | None = Field(None, description="The whole request, retries included.")
    backend_request: Duration | None = Field(None, description="One try at a backend.")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        request, backend = self.request, self.backend_request
        if request and backend and backend > request:
            demand([(("backendRequest",), "must not be longer than request")])
        return self


class RouteRule(Model):
    """Requests that match go to the backends."""

    name: SectionName | None = Field(
        None, description="Name, so that a policy can attach to this rule alone."
    )
    matches: tuple[RouteMatch, ...] = Field(
        (RouteMatch(),),
        max_length=64,
        description="Any of these; without it, every request.",
    )
    filters: tuple[HTTPRouteFilter, ...] = Field(
        (), max_length=16, description="Changes to requests and responses."
    )
    backend_refs: tuple[BackendRef, ...] = Field(
        (), max_length=16, description="Services, by weight."
    )
    timeouts: RouteTimeouts = Field(
        default_factory=RouteTimeouts, description="How long requests may take."
    )
    retry: Unsupported = Field(None, description="Retries.")
    session_persistence: Unsupported = Field(None, description="Sticky sessions.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        demand(self._broken())
        return self

    def _broken(self) -> list[Broken]:
        broken = filter_conflicts(self.filters)
        kinds = [item.type for item in self.filters]
        if "RequestRedirect" in kinds and self.backend_refs:
            broken.append((("backendRefs",), "cannot be given with a RequestRedirect: remove one"))
        for index, item in enumerate(self.filters):
            if item.replaces_prefix and not self._is_single_prefix():
                message = "ReplacePrefixMatch needs exactly one match, of type PathPrefix"
                broken.append((("filters", index), message))
        return broken

    def _is_single_prefix(self) -> bool:
        return len(self.matches) == 1 and self.matches[0].path.type == "PathPrefix"

    @property
    def effective_matches(self) -> tuple[RouteMatch, ...]:
        """The matches; an empty list matches everything, as leaving it out does."""
        return self.matches or (RouteMatch(),)


class HTTPRouteSpec(Model):
    """Hosts, rules, and the gateways that serve them."""

    parent_refs: tuple[ParentReference, ...] = Field(
        (), max_length=32, description="Gateways to attach to."
    )
    hostnames: tuple[Hostname, ...] = Field(
        (), max_length=16, description="Hosts; without it, those of the listener."
    )
    rules: tuple[RouteRule, ...] = Field(
        (RouteRule(),), max_length=16, description="In no particular order: the best match wins."
    )
    use_default_gateways: Unsupported = Field(None, description="Attach to default gateways.")

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        broken: list[Broken] = []
        names: set[str] = set()
        for index, rule in enumerate(self.rules):
            if rule.name is None:
                continue
            if rule.name in names:
                broken.append((("rules", index, "name"), f"{rule.name} is used twice"))
            names.add(rule.name)
        if sum(len(rule.matches) for rule in self.rules) > MAX_MATCHES:
            broken.append((("rules",), f"must have at most {MAX_MATCHES} matches in all"))
        demand(broken)
        return self


class HTTPRoute(Resource):
    """Which requests go where."""

    API_VERSIONS: ClassVar[tuple[str, ...]] = GATEWAY_API_VERSIONS

    api_version: GatewayApiVersion = Field(
        "gateway.networking.k8s.io/v1", description="Group and version."
    )
    kind: Literal["HTTPRoute"] = Field("HTTPRoute", description="The kind.")
    spec: HTTPRouteSpec = Field(description="What the operator wants.")

    def rule_key(self, index: int) -> str:
        """Name of a rule in Envoy and in filter parameters: its own, or its place.

        A name such as `1` is legal and must not be taken for a place; no name has a `=` in it.
        """
        name = self.spec.rules[index].name
        if name is not None and name.isdecimal():
            name = f"name={name}"
        rule = index if name is None else name
        return f"httproute/{self.namespace}/{self.name}/{rule}"
