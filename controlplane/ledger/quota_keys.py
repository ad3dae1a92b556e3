"""How Redis knows the counters of quotas: their key names, and the ids of consumers in them.

The filter makes the same names, pinned by tests/contract/quota-script. All counters have one hash
tag, since the limits of a request are judged by one script, which may touch one slot only.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote_to_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

PREFIX = "sluice:{quota}:"
#: The consumer of a limit without a key: one counter for everybody.
EVERYBODY = "all"
#: The longest plain consumer id, bytes; a longer one is hashed all the same.
MAX_PLAIN = 256
# What stands in a plain id as it is, beside letters, digits and `-._~`.
_AS_IT_IS = "@:/"
# Characters with a meaning in a pattern of SCAN.
_GLOB = str.maketrans({char: f"\\{char}" for char in "*?[]\\"})


class Kind(StrEnum):
    """How a counter counts; the value is the letter that the script and window ids know it by."""

    FIXED = "f"
    SLIDING = "s"
    BUCKET = "b"
    CALENDAR = "c"


@dataclass(frozen=True, slots=True)
class CounterKey:
    """The name of one counter: `policy` is namespace/name, `window` a window id."""

    policy: str
    limit: str
    window: str
    consumer: str

    def __str__(self) -> str:
        """Give the key as Redis has it."""
        return f"{PREFIX}{self.policy}/{self.limit}:{self.window}:{self.consumer}"

    @classmethod
    def parse(cls, key: str) -> CounterKey:
        """Read a key; ValueError when it is not a counter's."""
        tail = key.removeprefix(PREFIX)
        # A plain consumer may hold colons, the other parts cannot.
        parts = tail.split(":", 2)
        names = parts[0].split("/")
        if tail == key or len(parts) != 3 or len(names) != 3:  # noqa: PLR2004 - as in __str__
            raise ValueError(f"{key} is not the key of a quota's counter")
        return cls("/".join(names[:2]), names[2], parts[1], parts[2])


def window_id(kind: Kind, per_ms: int) -> str:
    """Name the windows of a counter; a change of length or algorithm begins new counters."""
    return f"{kind}{per_ms}"


def calendar_id(unit: str, time_zone: str) -> str:
    """Name the windows of a calendar counter, e.g. cMonth@Europe/Berlin."""
    return f"{Kind.CALENDAR}{unit}@{time_zone}"


def pattern(policy: str = "", limit: str = "", window: str = "") -> str:
    """Give the SCAN pattern of all counters, or of a policy's, a limit's, or a window's."""
    found = PREFIX
    for part, end in ((policy, "/"), (limit, ":"), (window, ":")):
        if not part:
            break
        found += part.translate(_GLOB) + end
    return f"{found}*"


def message(parts: Sequence[bytes]) -> bytes:
    """Join the parts of a consumer's key so that no two lists of parts give the same bytes."""
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def hash_parts(identity: bytes, parts: Sequence[bytes]) -> bytes:
    """Give the keyed hash of a consumer, 16 bytes; `identity` is the key ring's identity key."""
    return hashlib.blake2s(message(parts), key=identity, digest_size=16).digest()


def plain_text(parts: Sequence[bytes]) -> str:
    """Write the parts so that they can be read, and told apart, in a key."""
    return ",".join(quote(part, safe=_AS_IT_IS) for part in parts)


def read_plain(consumer: str) -> tuple[bytes, ...]:
    """Give back the parts of a plain consumer id, as far as it is one and not a hash."""
    return tuple(unquote_to_bytes(part) for part in consumer.split(","))


def consumer_id(identity: bytes, parts: Sequence[bytes], *, plain: bool) -> str:
    """Give the consumer as it stands in keys."""
    if not parts:
        return EVERYBODY
    if plain and len(readable := plain_text(parts)) <= MAX_PLAIN:
        return readable
    return hash_parts(identity, parts).hex()


def override_id(policy: str, parts: Sequence[bytes]) -> str:
    """Give the consumer of an override as the filter's parameters have it.

    They show no raw id, and are made where the identity key is not known.
    """
    return hashlib.sha256(policy.encode() + b"\0" + message(parts)).digest()[:16].hex()


def enforced(identity: bytes, parts: Sequence[bytes], percent: int) -> bool:
    """Tell whether a consumer is in the `percent` of them that a limit is enforced for."""
    return inside(hash_parts(identity, parts), percent)


def inside(hashed: bytes, percent: int) -> bool:
    """Tell the same of a consumer of whom only the hash is known."""
    return int.from_bytes(hashed[:8], "little") % 10_000 < percent * 100
