"""Rules across the parts of a limit, in the words of both judges: windows, key, cost, overrides.

`self` in their CEL is the limit. An item of a list cannot be named there, so an API server tells
them at the list, and the check here at the item.
"""

from __future__ import annotations

from typing import Final

from controlplane.model.quota_keys import NEVER_ADDRESS, NEVER_LITERAL, NEVER_PATH, NO_ADDRESS
from controlplane.model.quota_window_rules import HAS_WINDOWS, amount_of
from controlplane.model.rules import Rule

_WINDOWS: Final = "self.?windows.orValue([])"
_OVERRIDES: Final = "self.?overrides.orValue([])"
_KEY: Final = "self.?key.orValue([])"

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
    f"{_WINDOWS}.all(w, has(w.requests) == has(self.windows[0].requests))",
    "windows",
    words={"counts": "has(self.windows[0].requests) ? 'requests' : 'tokens'"},
)
OTHER_LENGTH: Final = Rule(
    "has the length of another window of the limit: remove one",
    "self.algorithm == 'Calendar'"
    f" ? {_WINDOWS}.all(w, !has(w.unit) ||"
    " self.windows.exists_one(o, o.?unit.orValue('') == w.unit))"
    f" : {_WINDOWS}.all(w, !has(w.per) ||"
    " self.windows.exists_one(o, duration(o.?per.orValue('0s')) == duration(w.per)))",
    "windows",
    "Duplicate",
)
ZONE_OF_CALENDAR: Final = Rule(
    "goes with algorithm Calendar only: remove it",
    "self.algorithm == 'Calendar' || !has(self.timeZone)",
    "timeZone",
    "Forbidden",
)


def _same_text(name: str) -> str:
    return f"(has(a.{name}) && a.{name} == b.?{name}.orValue(''))"


_SAME_PART: Final = " || ".join(
    (
        "(has(a.header) && a.header.lowerAscii() == b.?header.orValue('').lowerAscii())",
        *map(_same_text, ("cookie", "query", "literal")),
        *(f"(has(a.{name}) && has(b.{name}))" for name in ("clientAddress", "path", "route")),
    )
)
DOUBLE_PART: Final = Rule(
    "is in the key already: remove one",
    f"{_KEY}.all(a, self.key.filter(b, {_SAME_PART}).size() <= 1)",
    "key",
    "Duplicate",
)

# --- cost: the least that a window has room for; those that refuse all mean to.
_ROOM: Final = (
    f"({HAS_WINDOWS}"
    f" ? self.windows.filter(w, {amount_of('w')} > 0)"
    f".map(w, w.?burst.orValue({amount_of('w')}))"
    f" : {amount_of('self')} > 0 ? [self.?burst.orValue({amount_of('self')})] : [])"
)
OF_TOKENS: Final = Rule(
    "counts tokens: write tokens in place of requests, or remove it",
    "!has(self.?cost.response) || !(has(self.requests)"
    f" || {_WINDOWS}.exists(w, has(w.requests)))",
    "cost.response",
)
_TOO_HIGH: Final = "must be at most {most}, the smallest amount: no request would ever pass"
COST_TOO_HIGH: Final = Rule(
    _TOO_HIGH,
    "!has(self.?cost.number) || has(self.?cost.header) || has(self.?cost.response)"
    f" || {_ROOM}.all(room, self.cost.number <= room)",
    "cost.number",
    words={"most": f"string({_ROOM}.min())"},
)
RESERVE_TOO_HIGH: Final = Rule(
    _TOO_HIGH,
    f"!has(self.?cost.response) || {_ROOM}.all(room, self.cost.response.reserve <= room)",
    "cost.response.reserve",
    words={"most": f"string({_ROOM}.min())"},
)

# --- overrides
_PLACES: Final = "[0, 1, 2, 3, 4, 5, 6, 7]"
_SIZED: Final = "i >= size(self.key) || i >= size(o.consumer) || o.consumer[i].contains('*')"
_IP: Final = "ip(o.consumer[i])"
_CIDR: Final = "cidr(o.consumer[i])"
_PREFIX: Final = "self.key[i].clientAddress"


def _each_value(field: str, holds: str) -> str:
    """Make a rule about the values for one kind of part; `i` is its place, `o` the override."""
    good = f"{_SIZED} || !has(self.key[i].{field}) || {holds}"
    return f"{_KEY} == [] || {_OVERRIDES}.all(o, {_PLACES}.all(i, {good}))"


NO_KEY: Final = Rule(
    "needs a key: without one, all requests are one consumer",
    f"size({_OVERRIDES}) == 0 || size({_KEY}) > 0",
    "overrides",
)
OTHER_KEY: Final = Rule(
    "needs a value for each part of the key: {titles}",
    f"size({_KEY}) == 0 || {_OVERRIDES}.all(o, size(o.consumer) == size(self.key))",
    "overrides",
    words={
        "titles": "self.key.map(p, has(p.header) ? 'header ' + p.header"
        " : has(p.cookie) ? 'cookie ' + p.cookie : has(p.query) ? 'query ' + p.query"
        " : has(p.literal) ? 'literal ' + p.literal : has(p.clientAddress) ? 'clientAddress'"
        " : has(p.path) ? 'path' : 'route').join(', ')"
    },
)
OTHER_LITERAL: Final = Rule(
    NEVER_LITERAL,
    _each_value("literal", "o.consumer[i] == self.key[i].literal"),
    "overrides",
    words={"literal": "self.key.filter(p, has(p.literal))[0].literal"},
)
OTHER_PATH: Final = Rule(
    NEVER_PATH, _each_value("path", "o.consumer[i].startsWith('/')"), "overrides"
)
ADDRESS: Final = Rule(
    NO_ADDRESS,
    _each_value("clientAddress", "isIP(o.consumer[i]) || isCIDR(o.consumer[i])"),
    "overrides",
)
OTHER_ADDRESS: Final = Rule(
    NEVER_ADDRESS,
    _each_value(
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
    f"{_OVERRIDES}.all(o, o.unlimited || (has(o.windows) ? size(o.windows) : 1)"
    f" == ({HAS_WINDOWS} ? size(self.windows) : 1))",
    "overrides",
    words={
        "number": f"size({_WINDOWS}) > 1 ? string(size(self.windows)) + ' entries' : 'one entry'"
    },
)
_COUNTS: Final = f"(has(self.requests) || {_WINDOWS}.exists(w, has(w.requests)))"
OTHER_COUNT: Final = Rule(
    "must be {counts}, which is what the limit counts",
    f"{_OVERRIDES}.all(o, o.unlimited || (has(o.windows)"
    f" ? o.windows.all(w, has(w.requests) == {_COUNTS})"
    f" : has(o.requests) == {_COUNTS}))",
    "overrides",
    words={"counts": f"{_COUNTS} ? 'requests' : 'tokens'"},
)
OVERRIDE_BURST: Final = Rule(
    "goes with algorithm TokenBucket only: remove it",
    f"self.algorithm == 'TokenBucket' || {_OVERRIDES}.all(o,"
    " !has(o.burst) && o.?windows.orValue([]).all(w, !has(w.burst)))",
    "overrides",
    "Forbidden",
)
OVERRIDE_OF_NOTHING: Final = Rule(
    "must be left out with {counts}: 0, which refuses all",
    f"self.algorithm != 'TokenBucket' || {_OVERRIDES}.all(o,"
    f" (!has(o.burst) || {amount_of('o')} > 0)"
    f" && o.?windows.orValue([]).all(w, !has(w.burst) || {amount_of('w')} > 0))",
    "overrides",
    "Forbidden",
    {"counts": f"{_COUNTS} ? 'requests' : 'tokens'"},
)
_FITS: Final = "duration(string({amount}) + 'us') <= duration({window}.?per.orValue('8784h'))"
OVERRIDE_TOO_FAST: Final = Rule(
    "must be at most a million a second",
    f"self.algorithm != 'TokenBucket' || {_OVERRIDES}.all(o, o.unlimited ||"
    " (has(o.windows)"
    " ? [0, 1, 2, 3].all(i, i >= size(o.windows)"
    f" || i >= size({_WINDOWS}) || "
    + _FITS.format(amount=amount_of("o.windows[i]"), window="self.windows[i]")
    + f") : {HAS_WINDOWS} || "
    + _FITS.format(amount=amount_of("o"), window="self")
    + "))",
    "overrides",
)
OVERRIDE_TWICE: Final = Rule(
    "has an override already: remove one",
    f"{_OVERRIDES}.all(o, self.overrides.exists_one(b, b.consumer == o.consumer))",
    "overrides",
    "Duplicate",
)
_TAKEN: Final = (
    "(has(self.?cost.response) ? self.cost.response.reserve"
    " : has(self.?cost.header) ? 0 : self.?cost.number.orValue(1))"
)


def _enough(mine: str, its: str) -> str:
    """Tell, in CEL, that an override's window has room for a request."""
    amount = amount_of(mine)
    room = f"{mine}.?burst.orValue({its}.?burst.orValue({amount}))"
    return f"({amount} == 0 || {_TAKEN} <= {room})"


OVERRIDE_TOO_SMALL: Final = Rule(
    "no request would ever pass",
    f"{_OVERRIDES}.all(o, o.unlimited || (has(o.windows)"
    " ? [0, 1, 2, 3].all(i, i >= size(o.windows)"
    f" || i >= size({_WINDOWS}) || {_enough('o.windows[i]', 'self.windows[i]')})"
    f" : {_enough('o', 'self')}))",
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
