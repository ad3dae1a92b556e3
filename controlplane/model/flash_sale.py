"""FlashSale: one sale, as its operator writes it.

Defaults are what a careful operator would want: refuse honestly, never oversell, let a bot gain
nothing by trying again. Effective values (the limit, the answers) are properties here, so that
the filter's parameters, the books and the documentation cannot disagree about them.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import Field, model_validator

from controlplane.model.durations import Duration, Instant, format_duration
from controlplane.model.meta import Model, Resource
from controlplane.model.networks import Network
from controlplane.model.responses import Outcome, ResolvedResponse, Responses, resolve
from controlplane.model.rules import Broken, OneOf, Rule, ValueRule, demand
from controlplane.model.scalars import (
    EPOCH,
    PASS_COOKIE,
    CookieName,
    HeaderName,
    Name,
    SectionName,
)
from controlplane.model.scaling import Scaling

MAX_STOCK: Final = 1_000_000_000
MAX_INTERVAL: Final = timedelta(days=30)
DEFAULT_REDRAW: Final = timedelta(seconds=60)
_MAX_COOKIE: Final = 64


def _whole_step(lowest: timedelta) -> ValueRule:
    """Zero switches an interval off; anything else is long enough to mean something."""
    shown = format_duration(lowest)
    return ValueRule(
        f"must be 0s or at least {shown}",
        f"duration(self) == duration('0s') || duration(self) >= duration('{shown}')",
        holds=lambda value: not timedelta(0) < value < lowest,
    )


TARGET_TWICE: Final = "is named twice: remove one"
SAME_TARGET: Final = (
    "self.targetRefs.exists_one(b, a.kind == b.kind && a.name == b.name"
    " && (has(a.sectionName) ? a.sectionName : '') =="
    " (has(b.sectionName) ? b.sectionName : ''))"
)
"""CEL: of the targets that are the same as `a` there is one, itself."""


class TargetRef(Model):
    """What the sale guards: a route, or one named rule of it, in the sale's own namespace."""

    group: Literal["gateway.networking.k8s.io"] = Field(
        "gateway.networking.k8s.io", description="Group of the target."
    )
    kind: Literal["HTTPRoute"] = Field("HTTPRoute", description="Kind of the target.")
    name: Name = Field(description="Name of the HTTPRoute, in the namespace of the sale.")
    section_name: SectionName | None = Field(
        None, description="Name of one rule of the route; without it, every rule."
    )


class Schedule(Model):
    """The window of the sale, judged by Redis's clock, so that all edges open together."""

    start_time: Instant = Field(description="When the sale opens.")
    end_time: Instant | None = Field(
        None, description="When it closes; without it, when it is sold out."
    )

    LATER: ClassVar = Rule(
        "must be after startTime", "!has(self.endTime) || self.endTime > self.startTime", "endTime"
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.end_time is not None and self.end_time <= self.start_time:
            demand([self.LATER.broken()])
        return self


class Admission(Model):
    """How many get in, and how they are chosen."""

    max_permits: Annotated[int, Field(ge=1, le=MAX_STOCK)] | None = Field(
        None,
        description="Users let through at most; without it `stock`. May be larger than `stock`, "
        "as not all who enter buy.",
    )
    block_ratio: float = Field(
        0.0,
        ge=0,
        lt=1,
        allow_inf_nan=False,
        description="Share of users refused by lottery. 0.999 is normal in a real sale.",
    )
    draw: Literal["PerUser", "PerRequest"] = Field(
        "PerUser",
        description="`PerUser`: one draw per user and round, so that trying again gains nothing. "
        "`PerRequest`: a new draw on every request.",
    )
    redraw_interval: (
        Annotated[Duration, Field(le=MAX_INTERVAL), _whole_step(timedelta(seconds=1))] | None
    ) = Field(
        None,
        description="Length of a round of draw `PerUser`, so that unsold units keep moving; "
        "without it `60s`; `0s` is one draw for the whole sale.",
    )
    min_interval: Annotated[
        Duration, Field(le=MAX_INTERVAL), _whole_step(timedelta(milliseconds=100))
    ] = Field(
        timedelta(0),
        description="One try per user in this time, else `responses.throttled`; `0s` is no limit, "
        "`10s` is classic.",
    )

    ROUNDS: ClassVar = Rule(
        "applies only to draw PerUser: remove it",
        "self.draw != 'PerRequest' || !has(self.redrawInterval)",
        "redrawInterval",
        "Forbidden",
    )

    @model_validator(mode="after")
    def _rounds_need_users(self) -> Self:
        if self.draw == "PerRequest" and self.redraw_interval is not None:
            demand([self.ROUNDS.broken()])
        return self

    @property
    def redraw(self) -> timedelta:
        """Length of a round in force; zero when there is one draw, or one per request."""
        if self.draw == "PerRequest":
            return timedelta(0)
        return DEFAULT_REDRAW if self.redraw_interval is None else self.redraw_interval


class ClientAddress(Model):
    """The address of the client, as far as `EdgeConfig.spec.proxy.trustedHops` lets it be told."""


class Identity(Model):
    """Where the user id comes from: exactly one of `header`, `cookie`, `clientAddress`."""

    header: HeaderName | None = Field(
        None, description="Name of the request header, such as `Authorization`."
    )
    cookie: CookieName | None = Field(None, description="Name of the cookie, such as `uid`.")
    client_address: ClientAddress | None = Field(
        None, description="`{}`: the client's address. Users behind one address count as one."
    )
    plain: bool = Field(
        default=False,
        description="Keep the id itself in Redis and in lists. By default a keyed hash, as ids "
        "may be secrets.",
    )

    SOURCE: ClassVar = OneOf(
        ("header", "cookie", "clientAddress"),
        "needs one of header, cookie or clientAddress",
        "only one source is allowed, and {first} is given too: remove one",
    )

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        demand(self.SOURCE.broken(self._sources()))
        return self

    def _sources(self) -> dict[str, object]:
        return {
            "header": self.header,
            "cookie": self.cookie,
            "clientAddress": self.client_address,
        }

    @property
    def source(self) -> Literal["header", "cookie", "clientAddress"]:
        """Which of the three is given."""
        if self.header is not None:
            return "header"
        return "cookie" if self.cookie is not None else "clientAddress"


class Pass(Model):
    """A signed cookie that proves a permit without any state, to proxies and to the origin."""

    cookie_name: Annotated[str, Field(max_length=73, pattern=PASS_COOKIE)] | None = Field(
        None,
        description="Name of the cookie; without it `sluice-pass-<namespace>-<name>`, so that two "
        "sales on one host keep apart.",
    )
    ttl: Annotated[Duration, Field(ge=timedelta(seconds=1), le=MAX_INTERVAL)] = Field(
        timedelta(minutes=30), description="How long a pass is good for."
    )


class Access(Model):
    """Who is refused outright."""

    deny: tuple[Annotated[str, Field(min_length=1, max_length=256)], ...] = Field(
        (), max_length=1000, description="User ids, as the identity source carries them."
    )
    deny_cidrs: tuple[Network, ...] = Field(
        (),
        validation_alias="denyCIDRs",
        serialization_alias="denyCIDRs",
        max_length=1000,
        description="Networks of clients, IPv4 or IPv6, such as `203.0.113.0/24`.",
    )


class FlashSaleSpec(Model):
    """What the operator wants of one sale."""

    target_refs: tuple[TargetRef, ...] = Field(
        min_length=1, max_length=16, description="Routes, or named rules, that the sale guards."
    )
    schedule: Schedule = Field(description="When the sale runs.")
    stock: int = Field(ge=1, le=MAX_STOCK, description="Units for sale.")
    admission: Admission = Field(
        default_factory=Admission, description="How many get in, and how they are chosen."
    )
    identity: Identity = Field(description="Where the user id comes from.")
    pass_: Pass | None = Field(
        None,
        validation_alias="pass",
        serialization_alias="pass",
        description="Hand a signed cookie to those let in; `{}` for the defaults. Without it no "
        "cookie is set, and proxies know users by the permit log alone.",
    )
    access: Access = Field(default_factory=Access, description="Who is refused outright.")
    responses: Responses = Field(
        default_factory=Responses, description="What those who are refused get to see."
    )
    on_redis_failure: Literal["Deny", "Allow"] = Field(
        "Deny",
        description="Whom to let in while Redis cannot be asked: nobody new (`Deny`, never "
        "oversells) or everybody (`Allow`).",
    )
    durability: Literal["Local", "Replicated"] = Field(
        "Local",
        description="When a permit counts: once Redis has it (`Local`), or once a replica "
        "confirmed it too (`Replicated`).",
    )
    scaling: Scaling | None = Field(
        None, description="Acted on in a cluster only, with the chart's `controlPlane.scaling`."
    )
    suspend: bool = Field(
        default=False,
        description="Answer everyone with `responses.suspended`; nothing is lost meanwhile.",
    )
    epoch: Annotated[str, Field(min_length=1, max_length=63, pattern=EPOCH)] = Field(
        "1", description="A new value starts the sale afresh, with empty books."
    )

    TWICE: ClassVar = Rule(TARGET_TWICE, f"self.targetRefs.all(a, {SAME_TARGET})", "targetRefs")

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        broken: list[Broken] = []
        seen: set[TargetRef] = set()
        for index, target in enumerate(self.target_refs):
            if target in seen:
                broken.append(self.TWICE.broken("targetRefs", index))
            seen.add(target)
        demand(broken)
        return self

    @property
    def limit(self) -> int:
        """Users let through at most, in force unless the books say otherwise by hand."""
        return self.stock if self.admission.max_permits is None else self.admission.max_permits


class FlashSale(Resource):
    """One flash sale, attached to HTTPRoutes; short name `fs`."""

    API_VERSIONS: ClassVar[tuple[str, ...]] = ("sluice.dev/v1alpha1",)

    api_version: Literal["sluice.dev/v1alpha1"] = Field(
        "sluice.dev/v1alpha1", description="Group and version."
    )
    kind: Literal["FlashSale"] = Field("FlashSale", description="The kind.")
    spec: FlashSaleSpec = Field(description="What the operator wants.")

    OWN_COOKIE: ClassVar = Rule(
        "must differ from identity.cookie: the pass would overwrite the user's id",
        "!has(self.spec.pass) || !has(self.spec.pass.cookieName) || !has(self.spec.identity.cookie)"
        " || self.spec.pass.cookieName != self.spec.identity.cookie",
        "spec.pass.cookieName",
    )

    @model_validator(mode="after")
    def _pass_keeps_identity(self) -> Self:
        cookie = self.spec.identity.cookie
        if cookie is not None and cookie == self.pass_cookie:
            demand([self.OWN_COOKIE.broken()])
        return self

    @property
    def sale(self) -> str:
        """The sale's name in data and on the command line: `shop/laptop`."""
        return f"{self.namespace}/{self.name}"

    @property
    def books(self) -> str:
        """The tag of its books in Redis: `shop/laptop/1`. A new epoch is a new tag."""
        return f"{self.sale}/{self.spec.epoch}"

    @property
    def limit(self) -> int:
        """Users let through at most."""
        return self.spec.limit

    @property
    def pass_cookie(self) -> str | None:
        """Name of the pass cookie in force; None when the sale hands out no passes."""
        given = self.spec.pass_
        if given is None:
            return None
        if given.cookie_name is not None:
            return given.cookie_name
        name = f"sluice-pass-{self.namespace}-{self.name}".replace(".", "-")
        if len(name) <= _MAX_COOKIE:
            return name
        digest = hashlib.sha256(self.sale.encode()).hexdigest()[:8]
        return f"{name[: _MAX_COOKIE - 9]}-{digest}"

    def response(self, outcome: Outcome) -> ResolvedResponse:
        """The answer to a refused request, defaults and redirect worked out."""
        return resolve(self.spec.responses, outcome, self._defaults_context())

    def _defaults_context(self) -> dict[str, Any]:
        admission = self.spec.admission
        return {
            "sale": self.sale,
            "scheme": "Bearer"
            if (self.spec.identity.header or "").lower() == "authorization"
            else self.spec.identity.source.capitalize(),
            "final_draw": admission.draw == "PerUser" and not admission.redraw,
            "rounds": admission.draw == "PerUser" and bool(admission.redraw),
        }
