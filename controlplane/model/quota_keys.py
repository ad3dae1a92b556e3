"""Whom a limit counts for: the parts of its key.

A key is a list of parts, each read from the request; together they name a consumer. A part that
a request does not carry is no error by itself: without `required` the limit leaves it alone.
"""

from __future__ import annotations

from ipaddress import IPv6Network, ip_network
from typing import Annotated, ClassVar, Final, Literal, Self, get_args

from pydantic import Field, model_validator

from controlplane.model.meta import Model
from controlplane.model.rules import OneOf, demand
from controlplane.model.scalars import NO_SPACE, PRINTABLE, CookieName, HeaderName

KeySource = Literal["header", "cookie", "query", "clientAddress", "path", "route", "literal"]

WILDCARD: Final = "*"
"""Stands for any text, the empty one too, in the consumers of an override."""

NEVER_LITERAL: Final = "never occurs: this part of the key is always {literal}"
NEVER_PATH: Final = "never occurs: a path begins with /"
NO_ADDRESS: Final = "must be an address such as 203.0.113.7, or a network such as 203.0.113.0/24"
NEVER_ADDRESS: Final = "never occurs with this prefix"

QueryName = Annotated[str, Field(min_length=1, max_length=256, pattern=NO_SPACE)]


class AddressPrefix(Model):
    """The client's address, as far as `EdgeConfig.spec.proxy.trustedHops` lets it be told."""

    ipv4_prefix: int = Field(
        32, ge=1, le=32, description="Leading bits of an IPv4 address that count as one consumer."
    )
    ipv6_prefix: int = Field(
        64,
        ge=1,
        le=128,
        description="Likewise of an IPv6 address; 64 is what one customer commonly has.",
    )


class WholePath(Model):
    """The path of the request, without its query."""


class RouteName(Model):
    """The name of the route that the request took, such as `httproute/shop/models/0`."""


class KeyPart(Model):
    """One part of a key: exactly one of the kinds below, and whether a request must carry it."""

    header: HeaderName | None = Field(
        None, description="Value of this request header, such as `x-api-key`."
    )
    cookie: CookieName | None = Field(None, description="Value of this cookie.")
    query: QueryName | None = Field(
        None, description="Value of this query parameter, percent-decoded; the first of several."
    )
    client_address: AddressPrefix | None = Field(
        None, description="The client's network; `{}` for the address itself (IPv6: its /64)."
    )
    path: WholePath | None = Field(None, description="`{}`: the path, without the query.")
    route: RouteName | None = Field(None, description="`{}`: the name of the route.")
    literal: Annotated[str, Field(min_length=1, max_length=256, pattern=PRINTABLE)] | None = Field(
        None, description="This text, for every request."
    )
    required: bool = Field(
        default=False,
        description="Refuse a request that does not carry the part, with "
        "`responses.unidentified`. By default the limit does not apply to it.",
    )

    KIND: ClassVar = OneOf(
        get_args(KeySource),
        "needs one of header, cookie, query, clientAddress, path, route or literal",
        "{first} is given too: remove one, or make it a part of its own",
    )

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        demand(self.KIND.broken(self._kinds()))
        return self

    def _kinds(self) -> dict[str, object]:
        return {
            "header": self.header,
            "cookie": self.cookie,
            "query": self.query,
            "clientAddress": self.client_address,
            "path": self.path,
            "route": self.route,
            "literal": self.literal,
        }

    @property
    def source(self) -> KeySource:
        """Which of the kinds is given."""
        kinds = self._kinds()
        sources: tuple[KeySource, ...] = get_args(KeySource)
        return next(name for name in sources if kinds[name] is not None)

    @property
    def title(self) -> str:
        """The part in lists and messages: `header x-api-key`, `path`."""
        name = self.header or self.cookie or self.query or self.literal
        return self.source if name is None else f"{self.source} {name}"

    def mismatch(self, value: str) -> str | None:
        """Tell why no request can have this value (of an override) here; None when one can."""
        if WILDCARD in value:
            return None
        if self.literal is not None and value != self.literal:
            return NEVER_LITERAL.format(literal=self.literal)
        if self.path is not None and not value.startswith("/"):
            return NEVER_PATH
        return None if self.client_address is None else _address(value, self.client_address)


def _address(value: str, prefix: AddressPrefix) -> str | None:
    """Addresses are compared as text, so they must be written as the filter writes them."""
    try:
        network = ip_network(value, strict=False)
    except ValueError:
        return NO_ADDRESS
    if isinstance(network, IPv6Network) and network.network_address.ipv4_mapped is not None:
        return NO_ADDRESS  # proxies see the address inside
    length = prefix.ipv4_prefix if network.version == 4 else prefix.ipv6_prefix  # noqa: PLR2004
    whole = ip_network(f"{network.network_address}/{length}", strict=False)
    meant = str(whole.network_address) if length == whole.max_prefixlen else str(whole)
    if value == meant:
        return None
    return f"{NEVER_ADDRESS}: did you mean {meant}?"
