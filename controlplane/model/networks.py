"""Networks in CIDR form, refused when they are not what their writer thinks they are.

`203.0.113.7/24` is accepted by some tools and silently widened; here it is an error that names
the two things it may have meant.
"""

from __future__ import annotations

from ipaddress import IPv6Network, ip_network
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from controlplane.model.rules import Rule, fail

_DIGITS: Final = "/(0[0-9]+|[0-9]+[.][0-9.]+)$"
NETWORK: Final = Rule(
    "must be a network such as 203.0.113.0/24 or 2001:db8::/32",
    f"isIP(self) || isCIDR(self) || self.matches('{_DIGITS}')",
)
PREFIXED: Final = Rule("must have a prefix length", "!isIP(self)")
IN_DIGITS: Final = Rule(
    "must have a prefix length in digits", f"isCIDR(self) || !self.matches('{_DIGITS}')"
)
EXACT: Final = Rule(
    "must have no bits set behind the prefix", "!isCIDR(self) || cidr(self) == cidr(self).masked()"
)


def _network(text: str) -> str:
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise fail(NETWORK.message) from None
    if isinstance(network, IPv6Network):
        _plain(network)
    address, slash, prefix = text.partition("/")
    if not slash:
        raise fail(PREFIXED.message, f"did you mean {network}?")
    if prefix != str(network.prefixlen):
        raise fail(IN_DIGITS.message, f"did you mean {network}?")
    if ip_network(address).network_address != network.network_address:
        meant = f"did you mean {network} or {address}/{network.max_prefixlen}?"
        raise fail(EXACT.message, meant)
    return str(network)


def _plain(network: IPv6Network) -> None:
    """Refuse what no client's address is in, as proxies see them."""
    if network.network_address.scope_id is not None:
        raise fail(NETWORK.message, "a zone such as %eth0 means something on one machine alone")
    inner = network.network_address.ipv4_mapped
    if inner is not None:
        raise fail(NETWORK.message, f"did you mean {inner}/{max(network.prefixlen - 96, 0)}?")


Network = Annotated[
    str,
    Field(min_length=1, max_length=49),
    AfterValidator(_network),
    NETWORK,
    PREFIXED,
    IN_DIGITS,
    EXACT,
]
"""A network in canonical CIDR form."""
