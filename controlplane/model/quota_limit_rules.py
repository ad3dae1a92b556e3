"""Rules across the parts of a limit, in the words of both judges: windows, key, cost, overrides.

`self` in their CEL is the limit. An item of a list cannot be named there, so an API server tells
them at the list, and the check here at the item.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from controlplane.model.quota_keys import NEVER_ADDRESS, NEVER_LITERAL, NEVER_PATH, NO_ADDRESS
from controlplane.model.quota_window_rules import HAS_WINDOWS, amount_of
from controlplane.model.rules import Rule

if TYPE_CHECKING:
    from collections.abc import Callable

_NO_OVERRIDES: Final = "!has(self.overrides)"
_HAS_KEY: Final = "(has(self.key) && size(self.key) > 0)"

WRITTEN_THERE: Final = {
    name: Rule(
        "cannot be given together with windows: write it there",
        f"!({HAS_WINDOWS}) || !has(self.{name})",
        name,
        "Forbidden",
    )
    for name in ("requests", "tokens", "per", "burst", "unit")
}
COUNT_ALIKE: Final = Rule(
    "all windows of a limit count the same: {counts}",
    "!has(self.windows) || self.windows.all(w, has(w.requests) == has(self.windows[0].requests))",
    "windows",
    words={"counts": "has(self.windows[0].requests) ? 'requests' : 'tokens'"},
)
OTHER_LENGTH: Final = Rule(
    "has the length of another window of the limit: remove one",
    "!has(self.windows) || (self.algorithm == 'Calendar'"
    " ? self.windows.all(w, !has(w.unit) ||"
    " self.windows.exists_one(o, has(o.unit) && o.unit == w.unit))"
    " : self.windows.all(w, !has(w.per) ||"
    " self.windows.exists_one(o, has(o.per) && duration(o.per) == duration(w.per))))",
    "windows",
)
ZONE_OF_CALENDAR: Final = Rule(
    "goes with algorithm Calendar only: remove it",
    "self.algorithm == 'Calendar' || !has(self.timeZone)",
    "timeZone",
    "Forbidden",
)


def _same_text(name: str) -> str:
    return f"(has(a.{name}) && has(b.{name}) && a.{name} == b.{name})"


_SAME_PART: Final = " || ".join(
    (
        "(has(a.header) && has(b.header) && a.header.lowerAscii() == b.header.lowerAscii())",
        *map(_same_text, ("cookie", "query", "literal")),
        *(f"(has(a.{name}) && has(b.{name}))" for name in ("clientAddress", "path", "route")),
    )
)
DOUBLE_PART: Final = Rule(
    "is in the key already: remove one",
    f"!has(self.key) || self.key.all(a, self.key.filter(b, {_SAME_PART}).size() <= 1)",
    "key",
)

# --- cost: the least that a window has room for; those that refuse all mean to.
_ROOM: Final = (
    f"({HAS_WINDOWS}"
    f" ? self.windows.filter(w, {amount_of('w')} > 0)"
    f".map(w, has(w.burst) ? w.burst : {amount_of('w')})"
    f" : {amount_of('self')} > 0"
    f" ? [has(self.burst) ? self.burst : {amount_of('self')}] : [])"
)
_HAS_RESPONSE: Final = "(has(self.cost) && has(self.cost.response))"
_HAS_NUMBER: Final = (
    "(has(self.cost) && has(self.cost.number) && !has(self.cost.header)"
    " && !has(self.cost.response))"
)
_COUNTS_REQUESTS: Final = (
    "(has(self.requests) || (has(self.windows) && self.windows.exists(w, has(w.requests))))"
)
OF_TOKENS: Final = Rule(
    "counts tokens: write tokens in place of requests, or remove it",
    f"!{_HAS_RESPONSE} || !{_COUNTS_REQUESTS}",
    "cost.response",
)
_TOO_HIGH: Final = "must be at most {most}, the smallest amount: no request would ever pass"
_TOO_HIGH_FOR_SOME: Final = "must be at most the smallest amount: no request would ever pass"
COST_TOO_HIGH: Final = Rule(
    _TOO_HIGH,
    f"!{_HAS_NUMBER} || {_ROOM}.all(room, self.cost.number <= room)",
    "cost.number",
    without_words=_TOO_HIGH_FOR_SOME,
)
RESERVE_TOO_HIGH: Final = Rule(
    _TOO_HIGH,
    f"!{_HAS_RESPONSE} || {_ROOM}.all(room, self.cost.response.reserve <= room)",
    "cost.response.reserve",
    without_words=_TOO_HIGH_FOR_SOME,
)

# --- overrides
_PLACES: Final = "[0, 1, 2, 3, 4, 5, 6, 7]"
_SIZED: Final = "i >= size(self.key) || i >= size(o.consumer) || o.consumer[i].contains('*')"
_IP: Final = "ip(o.consumer[i])"
_CIDR: Final = "cidr(o.consumer[i])"
_PREFIX: Final = "self.key[i].clientAddress"


def _of_windows(rule: Callable[[str, str], str]) -> str:
    """Make a rule about each window of the override `o` and the limit's at its side."""
    each = rule("o.windows[i]", "self.windows[i]")
    return (
        f"o.unlimited || (has(o.windows) ? !{HAS_WINDOWS} || [0, 1, 2, 3].all(i,"
        f" i >= size(o.windows) || i >= size(self.windows) || {each})"
        f" : {rule('o', 'self')})"
    )


def _each_value(field: str, holds: str) -> str:
    """Make a rule about the values for one kind of part; `i` is its place, `o` the override."""
    good = f"{_SIZED} || !has(self.key[i].{field}) || {holds}"
    return f"{_NO_OVERRIDES} || !{_HAS_KEY} || self.overrides.all(o, {_PLACES}.all(i, {good}))"


def _only_value(field: str, holds: str) -> str:
    """Make a rule about the values for a kind that is one part of the key at most."""
    its = f"[{_PLACES}.filter(i, i < size(self.key) && has(self.key[i].{field}))[0]]"
    none = f"{_NO_OVERRIDES} || !has(self.key) || !self.key.exists(p, has(p.{field}))"
    return f"{none} || {its}.all(i, self.overrides.all(o, {_SIZED} || {holds}))"


NO_KEY: Final = Rule(
    "needs a key: without one, all requests are one consumer",
    f"{_NO_OVERRIDES} || size(self.overrides) == 0 || {_HAS_KEY}",
    "overrides",
)
OTHER_KEY: Final = Rule(
    "needs a value for each part of the key: {titles}",
    f"{_NO_OVERRIDES} || !{_HAS_KEY} || self.overrides.all(o, size(o.consumer) == size(self.key))",
    "overrides",
    without_words="needs a value for each part of the key",
)
OTHER_LITERAL: Final = Rule(
    NEVER_LITERAL,
    _each_value("literal", "o.consumer[i] == self.key[i].literal"),
    "overrides",
    without_words="never occurs: this part of the key is always the same",
)
OTHER_PATH: Final = Rule(
    NEVER_PATH, _only_value("path", "o.consumer[i].startsWith('/')"), "overrides"
)
ADDRESS: Final = Rule(
    NO_ADDRESS,
    _only_value("clientAddress", "isIP(o.consumer[i]) || isCIDR(o.consumer[i])"),
    "overrides",
)
OTHER_ADDRESS: Final = Rule(
    NEVER_ADDRESS,
    _only_value(
        "clientAddress",
        f"(isIP(o.consumer[i]) ? ip.isCanonical(o.consumer[i]) && ({_IP}.family() == 4"
        f" ? {_PREFIX}.ipv4Prefix == 32 : {_PREFIX}.ipv6Prefix == 128)"
        " : !isCIDR(o.consumer[i]) ||"
        f" (string({_CIDR}.masked()) == o.consumer[i] && ({_CIDR}.ip().family() == 4"
        f" ? {_CIDR}.prefixLength() == {_PREFIX}.ipv4Prefix && {_PREFIX}.ipv4Prefix < 32"
        f" : {_CIDR}.prefixLength() == {_PREFIX}.ipv6Prefix && {_PREFIX}.ipv6Prefix < 128)))",
    ),
    "overrides",
)
OTHER_WINDOWS: Final = Rule(
    "needs {number}, as the limit has as many windows",
    f"{_NO_OVERRIDES} || self.overrides.all(o, o.unlimited"
    f" || (has(o.windows) ? size(o.windows) : 1) == ({HAS_WINDOWS} ? size(self.windows) : 1))",
    "overrides",
    words={
        "number": f"!{HAS_WINDOWS} || size(self.windows) == 1 ? 'one entry'"
        " : size(self.windows) == 2 ? '2 entries'"
        " : size(self.windows) == 3 ? '3 entries' : '4 entries'"
    },
)
OTHER_COUNT: Final = Rule(
    "must be {counts}, which is what the limit counts",
    f"{_NO_OVERRIDES} || self.overrides.all(o, o.unlimited || (has(o.windows)"
    f" ? o.windows.all(w, {_COUNTS_REQUESTS} ? !has(w.tokens) : !has(w.requests))"
    f" : {_COUNTS_REQUESTS} ? !has(o.tokens) : !has(o.requests)))",
    "overrides",
    words={"counts": f"{_COUNTS_REQUESTS} ? 'requests' : 'tokens'"},
)
OVERRIDE_BURST: Final = Rule(
    "goes with algorithm TokenBucket only: remove it",
    f"{_NO_OVERRIDES} || self.algorithm == 'TokenBucket' || self.overrides.all(o,"
    " o.unlimited || (!has(o.burst)"
    " && (!has(o.windows) || o.windows.all(w, !has(w.burst)))))",
    "overrides",
    "Forbidden",
)
OVERRIDE_OF_NOTHING: Final = Rule(
    "must be left out with {counts}: 0, which refuses all",
    f"{_NO_OVERRIDES} || self.algorithm != 'TokenBucket' || self.overrides.all(o,"
    f" o.unlimited || ((!has(o.burst) || {amount_of('o')} > 0)"
    f" && (!has(o.windows) || o.windows.all(w, !has(w.burst) || {amount_of('w')} > 0))))",
    "overrides",
    "Forbidden",
    {"counts": f"{_COUNTS_REQUESTS} ? 'requests' : 'tokens'"},
)


def _slow(mine: str, its: str) -> str:
    """Tell, in CEL, that an override's window drains slowly enough."""
    most = f"duration({its}.per).getMilliseconds() * 1000"
    return f"(!has({its}.per) || {amount_of(mine)} <= {most})"


OVERRIDE_TOO_FAST: Final = Rule(
    "must be at most a million a second",
    f"{_NO_OVERRIDES} || self.algorithm != 'TokenBucket'"
    f" || self.overrides.all(o, {_of_windows(_slow)})",
    "overrides",
)
OVERRIDE_TWICE: Final = Rule(
    "has an override already: remove one",
    f"{_NO_OVERRIDES} || self.overrides.all(o,"
    " self.overrides.exists_one(b, b.consumer == o.consumer))",
    "overrides",
)
_TAKEN: Final = (
    f"({_HAS_RESPONSE} ? self.cost.response.reserve"
    f" : {_HAS_NUMBER} ? self.cost.number : has(self.cost) && has(self.cost.header) ? 0 : 1)"
)


def _enough(mine: str, its: str) -> str:
    """Tell, in CEL, that an override's window has room for a request."""
    amount = amount_of(mine)
    room = f"(has({mine}.burst) ? {mine}.burst : has({its}.burst) ? {its}.burst : {amount})"
    return f"({amount} == 0 || {_TAKEN} <= {room})"


OVERRIDE_TOO_SMALL: Final = Rule(
    "no request would ever pass",
    f"{_NO_OVERRIDES} || self.overrides.all(o, {_of_windows(_enough)})",
    "overrides",
)
OVERRIDE_RULES: Final = (
    NO_KEY,
    OTHER_KEY,
    OTHER_LITERAL,
    OTHER_PATH,
    ADDRESS,
    OTHER_ADDRESS,
    OTHER_WINDOWS,
    OTHER_COUNT,
    OVERRIDE_BURST,
    OVERRIDE_OF_NOTHING,
    OVERRIDE_TOO_FAST,
    OVERRIDE_TWICE,
    OVERRIDE_TOO_SMALL,
)
