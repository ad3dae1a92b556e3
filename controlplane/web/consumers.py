"""Consumers as people name them, turned into consumers as the counters of a limit have them.

Two ways to name one: `key`, a value for each part of the limit's key as requests carry it, and
`consumer`, the id that answers show. Values may be secrets: they are hashed here, and neither
answers nor the log ever repeat them; a limit with `plain: true` shows them as they are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_network
from typing import TYPE_CHECKING, Any, Final

from controlplane.ledger import quota_keys
from controlplane.ledger.books import raw
from controlplane.model.quota_keys import WILDCARD
from controlplane.web.errors import bad_request

if TYPE_CHECKING:
    from collections.abc import Sequence

    from controlplane.model import KeyPart, Limit
    from controlplane.model.quota_keys import AddressPrefix
    from controlplane.model.quota_windows import ResolvedWindow

MAX_VALUE_BYTES: Final = 8192
_HASH: Final = re.compile(r"[0-9a-f]{32}")
_PLAIN: Final = re.compile(r"(?:[A-Za-z0-9\-._~@:/,]|%[0-9A-F]{2})*")


@dataclass(frozen=True, slots=True, repr=False)
class Consumer:
    """One consumer of a limit. It has no repr, so that no log line shows a value.

    `id` is what stands in keys. `parts` are known when values were named, or stand in the id;
    `hashed` is what the log may show.
    """

    id: str
    hashed: str
    parts: tuple[bytes, ...] | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for a consumer.

    `windows` is empty for those without a limit. `override` is the place of the override in the
    manifest; `unsure`: of a hash nobody can tell whether a pattern of an override fits.
    """

    windows: tuple[ResolvedWindow, ...]
    enforced: bool
    override: int | None = None
    unsure: bool = False


def by_key(limit: Limit, values: Sequence[str], identity: bytes) -> Consumer:
    """Give the consumer with these values, one for each part of the key."""
    pairs = zip(limit.key, values, strict=True)
    return known(
        limit, tuple(_part(n, part, value) for n, (part, value) in enumerate(pairs)), identity
    )


def by_id(limit: Limit, given: str, identity: bytes) -> Consumer:
    """Give the consumer with this id, as far as the id tells."""
    if not limit.key and given == quota_keys.EVERYBODY:
        return known(limit, (), identity)
    if limit.key and limit.plain and _PLAIN.fullmatch(given):
        parts = quota_keys.read_plain(given)
        if len(parts) == len(limit.key) and quota_keys.plain_text(parts) == given:
            return known(limit, parts, identity)
    if limit.key and _HASH.fullmatch(given):
        return Consumer(given, given)
    raise bad_request(
        f"consumer is not one of limit {limit.name}: write it as `sluice quota top` shows it, or "
        "give the values of the key"
    )


def known(limit: Limit, parts: tuple[bytes, ...], identity: bytes) -> Consumer:
    """Give the consumer with these parts."""
    hashed = quota_keys.hash_parts(identity, parts).hex()
    return Consumer(quota_keys.consumer_id(identity, parts, plain=limit.plain), hashed, parts)


class TermsOf:
    """What holds for each consumer of a limit; made once for many of them."""

    def __init__(self, limit: Limit, identity: bytes) -> None:
        self._limit = limit
        self._windows = limit.resolved
        self._overrides = limit.resolved_overrides
        values = [tuple(map(raw, one.consumer)) for one in self._overrides]
        self._patterns = values
        self._hashes = [
            quota_keys.hash_parts(identity, parts).hex() if one.exact else None
            for one, parts in zip(self._overrides, values, strict=True)
        ]

    def of(self, consumer: Consumer) -> Terms:
        """Give what holds for a consumer: the first override that fits, or the limit itself."""
        percent = self._limit.enforce_percent
        hashed = bytes.fromhex(consumer.hashed)
        enforced = not self._limit.shadow and quota_keys.inside(hashed, percent)
        unsure = False
        for place, override in enumerate(self._overrides):
            fits = self._fits(place, consumer)
            unsure = unsure or fits is None
            if fits:
                return Terms(override.windows, enforced, place, unsure)
        return Terms(self._windows, enforced, unsure=unsure)

    def _fits(self, place: int, consumer: Consumer) -> bool | None:
        if (hashed := self._hashes[place]) is not None:
            return hashed == consumer.hashed
        if consumer.parts is None:
            return None
        pairs = zip(self._patterns[place], consumer.parts, strict=True)
        return all(fits(pattern, part) for pattern, part in pairs)


def read_values(given: Any) -> list[str] | None:
    """Read the field `key` of a call."""
    if given is None:
        return None
    if not isinstance(given, list) or not all(isinstance(value, str) for value in given):
        raise bad_request("key must be a list of texts, one for each part of the limit's key")
    for index, value in enumerate(given):
        if len(raw(value)) > MAX_VALUE_BYTES:
            raise bad_request(f"key[{index}] has more than {MAX_VALUE_BYTES} bytes")
    return given


def _part(index: int, part: KeyPart, value: str) -> bytes:
    """Give a part as the filter makes it of a request."""
    if part.client_address is not None:
        return _network(index, value, part.client_address).encode()
    if part.literal is not None and value != part.literal:
        raise bad_request(f"key[{index}] is always {part.literal!r}: this part is a literal")
    if part.path is not None and (not value.startswith("/") or "?" in value):
        raise bad_request(f"key[{index}] must be a path that begins with /, without its query")
    return raw(value)


def _network(index: int, value: str, prefix: AddressPrefix) -> str:
    try:
        network = ip_network(value, strict=False)
    except ValueError:
        message = "must be an address such as 203.0.113.7, or a network"
        raise bad_request(f"key[{index}] {message}") from None
    address = network.network_address
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    four = address.version == 4  # noqa: PLR2004 - the version's number
    length = prefix.ipv4_prefix if four else prefix.ipv6_prefix
    whole = ip_network(f"{address}/{length}", strict=False)
    return str(address) if length == whole.max_prefixlen else str(whole)


def fits(pattern: bytes, value: bytes) -> bool:
    """Compare with a pattern in which `*` is any text; in one pass, whatever both are."""
    first, *rest = pattern.split(WILDCARD.encode())
    if not rest:
        return value == first
    *middle, last = rest
    end = len(value) - len(last)
    place = len(first)
    if place > end or not value.startswith(first) or not value.endswith(last):
        return False
    for text in middle:
        found = value.find(text, place, end)
        if found < 0:
            return False
        place = found + len(text)
    return True
