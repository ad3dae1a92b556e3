"""The bytes of a discovery response, joined from parts that were encoded before.

A push to a thousand proxies must not encode anything a thousand times. A response is a short head
(version, type, nonce) and the resources' own pieces; joining them is all that is done per stream.
Protobuf allows the fields of a message in any order, and a repeated field is a row of
length-delimited pieces, so that joining is encoding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from controlplane.xds.resource import Resource

_CONTINUED = 0x80


def varint(value: int) -> bytes:
    """A number from 0, base 128, low bits first."""
    out = bytearray()
    while value >= _CONTINUED:
        out.append(value & 0x7F | _CONTINUED)
        value >>= 7
    out.append(value)
    return bytes(out)


def head(number: int, length: int) -> bytes:
    """What precedes the `length` bytes of a length-delimited field."""
    return varint(number << 3 | 2) + varint(length)


def text(number: int, value: str) -> bytes:
    """A string field; nothing when it is empty, as the format has it."""
    encoded = value.encode()
    return head(number, len(encoded)) + encoded if encoded else b""


def any_head(type_url: str, length: int) -> bytes:
    """What precedes the content of an Any."""
    return text(1, type_url) + head(2, length)


def resources_head(length: int) -> bytes:
    """What precedes an element of `resources`: the same field in both variants."""
    return head(2, length)


def delta_head(name: str, version: str, around: bytes, length: int) -> bytes:
    """What precedes the content of a delta Resource whose Any begins with `around`."""
    inner = text(3, name) + text(1, version) + head(2, len(around) + length) + around
    return resources_head(len(inner) + length) + inner


def sotw(version: str, type_url: str, nonce: str, resources: Iterable[Resource]) -> bytes:
    """A DiscoveryResponse."""
    parts = [text(1, version), text(4, type_url), text(5, nonce)]
    for resource in resources:
        parts.append(resource.any_head)
        parts.append(resource.body)
    return b"".join(parts)


def delta(
    version: str,
    type_url: str,
    nonce: str,
    resources: Iterable[Resource],
    removed: Iterable[str],
) -> bytes:
    """A DeltaDiscoveryResponse."""
    parts = [text(1, version), text(4, type_url), text(5, nonce)]
    for resource in resources:
        parts.append(resource.delta_head)
        parts.append(resource.body)
    parts.extend(text(6, name) for name in removed)
    return b"".join(parts)
