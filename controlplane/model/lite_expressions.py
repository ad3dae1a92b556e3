"""Regular expressions for the quota filter, which runs the small engine `regex-lite`.

An engine with all of Unicode would be most of the filter's size and memory. What the small one
lacks next to the engine behind pydantic is refused here, at the field: a proxy would refuse all
of the filter's parameters, those of other policies too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from controlplane.model.expressions import expression_error

_DEEPEST: Final = 10
"""Groups inside each other; the engine's own bound counts up to five levels for each of them."""
_LARGEST: Final = 120_000
"""Bytes of a compiled expression. The filter takes 128 KiB, some of it for what it puts around."""

# What the engine counts, in bytes: a state, a range of characters in it, a fork, an optional part.
_STATE: Final = 32
_RANGE: Final = 8
_FORK: Final = 40
_OPTION: Final = 112

_FLAGS: Final = re.compile(r"\(\?[a-zA-Z]*(?:-[a-zA-Z]*)?[:)]")
_FOLDING: Final = re.compile(r"\(\?[a-zA-Z]*i")
_NAMED: Final = re.compile(r"\(\?P?<[^>]*>")
_LONG_ESCAPE: Final = re.compile(r"\\(?:[xuU]\{[^}]*\}|b\{[a-z-]+\})")
_POSIX: Final = re.compile(
    r"\[:\^?(?:alnum|alpha|ascii|blank|cntrl|digit|graph|lower|print|punct|space|upper|word|xdigit):\]"
)
_PROPERTIES: Final = re.compile(r"\\[pP]")
_ITEM: Final = re.compile(r"(?:\\.|.)(?:-(?:\\.|[^]\\-]))?", re.DOTALL)
"""A character or a range of a class; behind the dash of a range a bracket is a character."""
_OPENING: Final = re.compile(r"\[\^?(?:-+|\])?")
_REPEAT: Final = re.compile(r"(?:[*+?]|\{(?P<low>\d+)(?P<open>,)?(?P<high>\d+)?\})\??")
_OPERATIONS: Final = ("&&", "--", "~~")
_PROPERTY: Final = "Unicode classes such as \\p{L}"
_CLASS_ESCAPES: Final = "dDsSwW"
_MOST_RANGES: Final = 5
"""Ranges of a class that an escape stands for."""


def lite_expression_error(text: str) -> str | None:
    """Tell what is wrong with an expression; None when nothing is."""
    wrong = expression_error(text)
    if wrong is not None:
        return wrong.replace("in the syntax of RE2", "without look-around and back-references")
    lacking = _Scan(text).lacking()
    return None if lacking is None else f"must do without {lacking}"


@dataclass(slots=True)
class _Scan:
    """One pass over a good expression, from left to right."""

    text: str
    place: int = 0
    folds: int = 1
    """2 when case is ignored anywhere: each letter stands for two ranges then."""
    repeated: bool = False
    """Whether what stands right before this place is a repetition."""
    last: int = 0
    """Size of the thing right before this place."""
    sizes: list[int] = field(default_factory=lambda: [0])
    """Size of each open group, as far as it has been read."""

    def lacking(self) -> str | None:
        self.folds = 2 if _FOLDING.search(self.text) else 1
        while self.place < len(self.text):
            found = self._step()
            if found is not None:
                return found
            if self.sizes[-1] > _LARGEST:
                return "so many repetitions: a proxy would need too much memory for it"
        return None

    def _step(self) -> str | None:
        repeat = _REPEAT.match(self.text, self.place)
        if repeat is not None:
            return self._repeat(repeat)
        self.repeated = False
        sign = self.text[self.place]
        if sign == "(":
            return self._open()
        if sign == "[":
            return self._class()
        if sign == "\\":
            return self._escape()
        self.place += 1
        if sign == ")":
            self._add(self.sizes.pop())
        elif sign == "|":
            self._add(2 * _FORK)
        else:
            self._add(_STATE + 2 * _RANGE * self.folds)
        return None

    def _add(self, size: int) -> None:
        self.last = size
        self.sizes[-1] += size

    def _repeat(self, found: re.Match[str]) -> str | None:
        if self.repeated:
            return "repetitions of a repetition such as a{2}{3}: put it in a group"
        low = int(found["low"] or 0)
        high = int(found["high"] or low)
        copies = max(high, 1)
        grown = (copies - 1) * self.last + (high - low) * _FORK + _OPTION
        self.sizes[-1] += grown
        self.last += grown
        self.place, self.repeated = found.end(), True
        return None

    def _open(self) -> str | None:
        flags = _FLAGS.match(self.text, self.place)
        if flags is not None and "x" in flags[0]:
            return "the flag x"
        if flags is not None and flags[0].endswith(")"):
            self.place = flags.end()
            return None
        self.sizes.append(3 * _STATE)
        if len(self.sizes) > _DEEPEST + 1:
            return f"more than {_DEEPEST} groups inside each other"
        opening = flags or _NAMED.match(self.text, self.place)
        self.place = self.place + 1 if opening is None else opening.end()
        return None

    def _escape(self) -> str | None:
        kind = self.text[self.place + 1]
        if kind in "pP":
            return _PROPERTY
        long = _LONG_ESCAPE.match(self.text, self.place)
        self.place = self.place + 2 if long is None else long.end()
        ranges = _MOST_RANGES if kind in _CLASS_ESCAPES else 1
        self._add(_STATE + ranges * _RANGE * self.folds)
        return None

    def _class(self) -> str | None:
        opening = _OPENING.match(self.text, self.place)
        start = self.place
        self.place = self.place + 1 if opening is None else opening.end()
        ranges = 0
        while self.text[self.place] != "]":
            posix = _POSIX.match(self.text, self.place)
            if posix is not None:
                self.place = posix.end()
                continue
            if self.text[self.place] == "[":
                return "a class inside a class"
            if self.text.startswith(_OPERATIONS, self.place):
                return f"{self.text[self.place : self.place + 2]} in a class"
            if _PROPERTIES.match(self.text, self.place):
                return _PROPERTY
            item = _ITEM.match(self.text, self.place)
            self.place = self.place + 1 if item is None else item.end()
            ranges += _MOST_RANGES
        self.place += 1
        self._add(_STATE + (ranges + self.place - start) * _RANGE * self.folds)
        return None
