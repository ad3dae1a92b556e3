"""What a refused request gets to see, and the honest default for each reason.

A refusal is never a 200 by default: caches, bots and monitors must be able to tell it from a
sale. 503 where trying later may help, 410 where it never will, and nothing is ever cached.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import Field, model_validator

from controlplane.model.meta import Model
from controlplane.model.rules import Broken, Rule, demand, first_of, listed
from controlplane.model.scalars import NO_SPACE, HeaderName, HeaderValue

if TYPE_CHECKING:
    from collections.abc import Callable

Outcome = Literal[
    "notStarted",
    "ended",
    "soldOut",
    "blocked",
    "throttled",
    "denied",
    "unidentified",
    "unavailable",
    "suspended",
]
OUTCOMES: Final[tuple[Outcome, ...]] = (
    "notStarted",
    "ended",
    "soldOut",
    "blocked",
    "throttled",
    "denied",
    "unidentified",
    "unavailable",
    "suspended",
)
"""Every reason to refuse a request."""

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_BODILESS: Final = frozenset({204, 205, 304})
_KEPT_BY_ENVOY: Final = frozenset(
    {"connection", "content-length", "host", "keep-alive", "te", "trailer", "transfer-encoding"}
    | {"upgrade"}
)
_DOUBLE: Final = (
    "h.name.lowerAscii() != 'set-cookie'"
    " && !self.headers.exists_one(o, o.name.lowerAscii() == h.name.lowerAscii())"
)
"""CEL: another header has the name of `h`."""
_DEFAULTS: Final[dict[Outcome, tuple[int, str]]] = {
    "notStarted": (503, "The sale has not started yet.\n"),
    "ended": (410, "The sale is over.\n"),
    "soldOut": (410, "Sold out.\n"),
    "blocked": (503, "Not this time. Please try again later.\n"),
    "throttled": (429, "Too many tries. Please wait a moment.\n"),
    "denied": (403, "You cannot take part in this sale.\n"),
    "unidentified": (401, "Please sign in to take part in this sale.\n"),
    "unavailable": (503, "The sale cannot answer right now. Please try again.\n"),
    "suspended": (503, "The sale is suspended. Please try again later.\n"),
}


class Header(Model):
    """One header of an answer."""

    name: HeaderName = Field(description="Name, in any case.")
    value: HeaderValue = Field(description="Value.")

    KEPT: ClassVar = Rule(
        "{name} is set by Envoy: remove it",
        f"!(self.name.lowerAscii() in {listed(sorted(_KEPT_BY_ENVOY))})",
        "name",
        "Forbidden",
        {"name": "self.name.lowerAscii()"},
    )


class Response(Model):
    """An answer: `body`, or `redirect`, or neither for the default text."""

    status: Annotated[int, Field(ge=200, le=599)] | None = Field(
        None, description="HTTP status; without it the default of the reason, 302 for a redirect."
    )
    headers: tuple[Header, ...] = Field(
        (), max_length=16, description="Headers to add; they replace defaults of the same name."
    )
    body: Annotated[str, Field(max_length=16384)] | None = Field(
        None, description="Text of the answer."
    )
    redirect: Annotated[str, Field(min_length=1, max_length=2048, pattern=NO_SPACE)] | None = Field(
        None, description="Where to send the user instead: a URL, or a path of this site."
    )

    BODY_OR_REDIRECT: ClassVar = Rule(
        "cannot be given together with body: remove one",
        "!has(self.body) || !has(self.redirect)",
        "redirect",
        "Forbidden",
    )
    REDIRECTS: ClassVar = Rule(
        "must be 301, 302, 303, 307 or 308 with a redirect",
        f"!has(self.redirect) || !has(self.status) || self.status in {listed(sorted(_REDIRECTS))}",
        "status",
    )
    BODILESS: ClassVar = Rule(
        "must be empty: an answer {status} has none",
        "!has(self.body) || self.body == '' || !has(self.status)"
        f" || !(self.status in {listed(sorted(_BODILESS))})",
        "body",
        words={"status": "self.status == 204 ? '204' : self.status == 205 ? '205' : '304'"},
    )
    LOCATION: ClassVar = Rule(
        "location is set by redirect: remove it",
        "!has(self.redirect) || !has(self.headers)"
        " || self.headers.all(h, h.name.lowerAscii() != 'location')",
        "headers",
        "Forbidden",
    )
    TWICE: ClassVar = Rule(
        "{name} is given twice: remove one",
        f"!has(self.headers) || !self.headers.exists(h, {_DOUBLE})",
        "headers",
        words={"name": f"{first_of('self.headers', 16, 'h', _DOUBLE)}.name.lowerAscii()"},
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        demand(self._broken())
        return self

    def _broken(self) -> list[Broken]:
        broken: list[Broken] = []
        if self.body is not None and self.redirect is not None:
            broken.append(self.BODY_OR_REDIRECT.broken())
        if self.redirect is not None and self.status not in {None, *_REDIRECTS}:
            broken.append(self.REDIRECTS.broken())
        if self.body and self.status in _BODILESS:
            broken.append(self.BODILESS.broken(status=self.status))
        seen: set[str] = set()
        for index, header in enumerate(self.headers):
            name = header.name.lower()
            path = ("headers", index, "name")
            if name in _KEPT_BY_ENVOY:
                broken.append(header.KEPT.broken(*path, name=name))
            elif name == "location" and self.redirect is not None:
                broken.append(self.LOCATION.broken(*path))
            elif name in seen and name != "set-cookie":
                broken.append(self.TWICE.broken(*path, name=name))
            seen.add(name)
        return broken


class Responses(Model):
    """The answer for each reason to refuse a request."""

    not_started: Response = Field(
        default_factory=Response, description="Before the start. Default 503 with Retry-After."
    )
    ended: Response = Field(default_factory=Response, description="After the end. Default 410.")
    sold_out: Response = Field(
        default_factory=Response, description="All permits are given out. Default 410."
    )
    blocked: Response = Field(
        default_factory=Response,
        description="Lost the lottery. Default 503, with Retry-After where rounds are drawn; "
        "403 with `redrawInterval: 0s`, as trying again cannot help.",
    )
    throttled: Response = Field(
        default_factory=Response,
        description="Tried again within `minInterval`. Default 429 with Retry-After.",
    )
    denied: Response = Field(
        default_factory=Response, description="On a list of `access`. Default 403."
    )
    unidentified: Response = Field(
        default_factory=Response, description="Carries no user id. Default 401."
    )
    unavailable: Response = Field(
        default_factory=Response,
        description="Redis cannot be asked. Default 503 with Retry-After.",
    )
    suspended: Response = Field(
        default_factory=Response, description="The sale is suspended. Default 503."
    )

    def given(self, outcome: Outcome) -> Response:
        """What the operator wrote for this reason."""
        return _BY_OUTCOME[outcome](self)


_BY_OUTCOME: Final[dict[Outcome, Callable[[Responses], Response]]] = {
    "notStarted": lambda all_: all_.not_started,
    "ended": lambda all_: all_.ended,
    "soldOut": lambda all_: all_.sold_out,
    "blocked": lambda all_: all_.blocked,
    "throttled": lambda all_: all_.throttled,
    "denied": lambda all_: all_.denied,
    "unidentified": lambda all_: all_.unidentified,
    "unavailable": lambda all_: all_.unavailable,
    "suspended": lambda all_: all_.suspended,
}


@dataclass(frozen=True, slots=True)
class DefaultResponse:
    """The answer for one reason when nothing is written about it."""

    status: int
    body: str
    retry_after: bool = False


@dataclass(frozen=True, slots=True)
class ResolvedResponse:
    """A complete answer. Header names are lower case, in the order in which they are sent."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: str
    retry_after: bool
    """Whether the filter adds Retry-After where it can know it."""


def resolve(responses: Responses, outcome: Outcome, context: dict[str, Any]) -> ResolvedResponse:
    """Work out one answer of a sale from what was written and the defaults."""
    status, text = _DEFAULTS[outcome]
    if outcome == "blocked" and context["final_draw"]:
        status, text = 403, "Not this time. All units of this sale go to others.\n"
    default = DefaultResponse(
        status,
        text,
        retry_after=outcome in {"notStarted", "throttled", "unavailable"}
        or (outcome == "blocked" and context["rounds"]),
    )
    challenge = f'{context["scheme"]} realm="{context["sale"]}"'
    return complete(responses.given(outcome), default, challenge)


def complete(given: Response, default: DefaultResponse, challenge: str) -> ResolvedResponse:
    """Work out one answer: what was written, then the default of its reason.

    The challenge goes out with a 401 alone (RFC 9110 section 15.5.2: it must carry one).
    """
    status, text = default.status, default.body
    if given.redirect is not None:
        status, text = 302, ""
    if given.status is not None:
        status = given.status
    body = "" if status in _BODILESS else text if given.body is None else given.body
    headers = {"cache-control": "no-store"}
    if body:
        headers["content-type"] = "text/plain; charset=utf-8"
    if given.redirect is not None:
        headers["location"] = given.redirect
    if status == 401:  # noqa: PLR2004 the status itself
        headers["www-authenticate"] = challenge
    written = [(header.name.lower(), header.value) for header in given.headers]
    names = {name for name, _ in written}
    kept = [(name, value) for name, value in headers.items() if name not in names]
    return ResolvedResponse(
        status=status,
        headers=tuple(kept + written),
        body=body,
        retry_after=default.retry_after and given.redirect is None and "retry-after" not in names,
    )
