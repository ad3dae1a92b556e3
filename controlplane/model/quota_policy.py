"""QuotaPolicy: limits for each consumer, shared by every gateway.

Defaults are what a careful operator would want: an honest 429 that says when to come back,
headers that let clients pace themselves, and no outage of Redis that becomes one of the service.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final, Literal, Self

from pydantic import Field, model_validator

from controlplane.model.flash_sale import SAME_TARGET, TARGET_TWICE
from controlplane.model.meta import Model, Resource
from controlplane.model.quota_limits import Limit
from controlplane.model.responses import DefaultResponse, ResolvedResponse, Response, complete
from controlplane.model.rules import Broken, Rule, demand, first_of, listed
from controlplane.model.scalars import Name, SectionName, keyed_by

if TYPE_CHECKING:
    from collections.abc import Iterator

QuotaOutcome = Literal["limited", "unidentified", "unavailable"]

_DEFAULTS: Final[dict[QuotaOutcome, DefaultResponse]] = {
    "limited": DefaultResponse(429, "Too many requests. Please wait a moment.\n", retry_after=True),
    "unidentified": DefaultResponse(400, "The request does not say whom it counts for.\n"),
    "unavailable": DefaultResponse(
        503, "The quota cannot be checked right now. Please try again.\n", retry_after=True
    ),
}
QUOTA_OUTCOMES: Final[tuple[QuotaOutcome, ...]] = tuple(_DEFAULTS)
"""Every reason of a quota to refuse a request."""


_RATE_LIMIT: Final = ("ratelimit", "ratelimit-policy")
_X_RATE_LIMIT: Final = ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset")


def _added(outcome: QuotaOutcome) -> Rule:
    """The rule that an answer does not have the headers that the filter adds."""
    answer = f"self.responses.{outcome}"
    given = f"has(self.responses) && has({answer}) && has({answer}.headers)"
    added = (
        f"(self.headers.rateLimit && h.name.lowerAscii() in {listed(_RATE_LIMIT)})"
        f" || (self.headers.xRateLimit && h.name.lowerAscii() in {listed(_X_RATE_LIMIT)})"
    )
    return Rule(
        "{name} is added as spec.headers says: remove it",
        f"!({given}) || !{answer}.headers.exists(h, {added})",
        f"responses.{outcome}.headers",
        "Forbidden",
        {"name": f"{first_of(f'{answer}.headers', 16, 'h', added)}.name.lowerAscii()"},
    )


class QuotaTargetRef(Model):
    """What the limits are for: a gateway, a route, or one named rule of it."""

    group: Literal["gateway.networking.k8s.io"] = Field(
        "gateway.networking.k8s.io", description="Group of the target."
    )
    kind: Literal["Gateway", "HTTPRoute"] = Field("HTTPRoute", description="Kind of the target.")
    name: Name = Field(description="Name of the target, in the namespace of the policy.")
    section_name: SectionName | None = Field(
        None, description="HTTPRoute only: name of one rule of it; without it, every rule."
    )

    WHOLE_GATEWAY: ClassVar = Rule(
        "goes with kind HTTPRoute only: a policy holds for a whole Gateway",
        "self.kind != 'Gateway' || !has(self.sectionName)",
        "sectionName",
        "Forbidden",
    )

    @model_validator(mode="after")
    def _rules_are_of_routes(self) -> Self:
        if self.kind == "Gateway" and self.section_name is not None:
            demand([self.WHOLE_GATEWAY.broken()])
        return self


class QuotaResponses(Model):
    """The answer for each reason to refuse a request."""

    limited: Response = Field(
        default_factory=Response,
        description="Beyond a limit. Default 429; Retry-After is added unless given here.",
    )
    unidentified: Response = Field(
        default_factory=Response, description="A `required` part of a key is missing. Default 400."
    )
    unavailable: Response = Field(
        default_factory=Response,
        description="Redis cannot be asked, and a limit has `onRedisFailure: Deny`. Default 503 "
        "with Retry-After.",
    )

    def given(self, outcome: QuotaOutcome) -> Response:
        """What the operator wrote for this reason."""
        answers: dict[QuotaOutcome, Response] = {
            "limited": self.limited,
            "unidentified": self.unidentified,
            "unavailable": self.unavailable,
        }
        return answers[outcome]


class QuotaHeaders(Model):
    """What answers tell about the limits, those that are let through too."""

    rate_limit: bool = Field(
        default=True,
        description="`RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers).",
    )
    x_rate_limit: bool = Field(
        default=False,
        description="`X-RateLimit-Limit`, `X-RateLimit-Remaining` and `X-RateLimit-Reset`, the "
        "last in seconds from now.",
    )


class QuotaPolicySpec(Model):
    """What the operator wants of the limits."""

    target_refs: tuple[QuotaTargetRef, ...] = Field(
        min_length=1, max_length=16, description="Gateways, routes or rules that they are for."
    )
    limits: tuple[Limit, ...] = Field(
        min_length=1,
        max_length=16,
        json_schema_extra=keyed_by("name"),
        description="The limits. A request that one of them refuses takes nothing of the others.",
    )
    responses: QuotaResponses = Field(
        default_factory=QuotaResponses, description="What those who are refused get to see."
    )
    headers: QuotaHeaders = Field(
        default_factory=QuotaHeaders, description="What answers tell about the limits."
    )

    TWICE: ClassVar = Rule(TARGET_TWICE, f"self.targetRefs.all(a, {SAME_TARGET})", "targetRefs")
    ADDED: ClassVar = tuple(_added(outcome) for outcome in QUOTA_OUTCOMES)

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        broken = list(self._doubled_headers())
        targets: set[QuotaTargetRef] = set()
        for index, target in enumerate(self.target_refs):
            if target in targets:
                broken.append(self.TWICE.broken("targetRefs", index))
            targets.add(target)
        names: set[str] = set()
        for index, limit in enumerate(self.limits):
            if limit.name in names:
                message = f"{limit.name} is used twice: each limit has counters of its own"
                broken.append((("limits", index, "name"), message))
            names.add(limit.name)
        demand(broken)
        return self

    def _doubled_headers(self) -> Iterator[Broken]:
        """Headers that the filter adds must not be given too: clients would see both."""
        added = {*(_RATE_LIMIT if self.headers.rate_limit else ())}
        added |= {*(_X_RATE_LIMIT if self.headers.x_rate_limit else ())}
        for outcome, rule in zip(QUOTA_OUTCOMES, self.ADDED, strict=True):
            for index, header in enumerate(self.responses.given(outcome).headers):
                name = header.name.lower()
                if name in added:
                    yield rule.broken("responses", outcome, "headers", index, "name", name=name)


class QuotaPolicy(Resource):
    """Limits for each consumer, in requests or tokens; short name `qp`."""

    API_VERSIONS: ClassVar[tuple[str, ...]] = ("sluice.dev/v1alpha1",)

    api_version: Literal["sluice.dev/v1alpha1"] = Field(
        "sluice.dev/v1alpha1", description="Group and version."
    )
    kind: Literal["QuotaPolicy"] = Field("QuotaPolicy", description="The kind.")
    spec: QuotaPolicySpec = Field(description="What the operator wants.")

    @property
    def policy(self) -> str:
        """The policy's name in data and on the command line: `shop/model-api`."""
        return f"{self.namespace}/{self.name}"

    @property
    def limits(self) -> tuple[Limit, ...]:
        """The limits, in the order written."""
        return self.spec.limits

    def limit(self, name: str) -> Limit | None:
        """The limit of that name."""
        return next((one for one in self.spec.limits if one.name == name), None)

    @property
    def reads_responses(self) -> bool:
        """Whether any limit needs the body of responses: those must not be compressed."""
        return any(one.cost.response is not None for one in self.spec.limits)

    def response(self, outcome: QuotaOutcome) -> ResolvedResponse:
        """The answer to a refused request, defaults and redirect worked out."""
        challenge = f'{self._scheme()} realm="{self.policy}"'
        return complete(self.spec.responses.given(outcome), _DEFAULTS[outcome], challenge)

    def _scheme(self) -> str:
        """How a 401 asks for what is missing, if one is given as an answer."""
        parts = [part for limit in self.spec.limits for part in limit.key if part.required]
        if not parts or (parts[0].header or "").lower() == "authorization":
            return "Bearer"
        return parts[0].source.capitalize()
