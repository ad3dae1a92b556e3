"""Regular expressions for the quota filter, which runs the small engine `regex-lite`.

A whole engine with Unicode's tables would be most of the filter's size and memory. What the small
one lacks next to the engine behind pydantic is refused here, at the field: a proxy would refuse
all of the filter's parameters, those of other policies too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from controlplane.model.expressions import expression_error

_MOST_REPEATS: Final = 1000
_DEEPEST: Final = 10
"""Groups inside each other; the engine's own bound counts four levels for each of them."""
_FLAGS: Final = re.compile(r"\(\?[a-zA-Z]*(?:-[a-zA-Z]*)?[:)]")
_NAMED: Final = re.compile(r"\(\?P?<[^>]*>")
_BRACES: Final = re.compile(r"\\(?:[xuU]\{[^}]*\}|b\{[a-z-]+\})")
_POSIX: Final = re.compile(r"\[:\^?[a-z]+:\]")
_OPENING: Final = re.compile(r"\[\^?(?:-+|\])?")
_OPERATIONS: Final = ("&&", "--", "~~")
_REPEAT: Final = re.compile(r"(?:[*+?]|\{(?P<low>\d+)(?:,(?P<high>\d*))?\})\??")
_PROPERTY: Final = "Unicode classes such as \\p{L}"
_SPACED: Final = "the flag x"


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
    repeated: bool = False
    """Whether what stands right before this place is a repetition."""
    groups: list[int] = field(default_factory=lambda: [1])
    """Of each open group, how often the most repeated thing in it may occur."""
    last: int = 1
    """The same of the thing right before this place."""

    def lacking(self) -> str | None:
        while self.place < len(self.text):
            found = self._step()
            if found is not None:
                return found
        return None

    def _step(self) -> str | None:
        repeat = _REPEAT.match(self.text, self.place)
        if repeat is not None:
            return self._repeat(repeat)
        sign, self.repeated = self.text[self.place], False
        if sign == "(":
            return self._open()
        if sign == ")":
            self.last = self.groups.pop()
            self.groups[-1] = max(self.groups[-1], self.last)
            self.place += 1
            return None
        self.last = 1
        if sign == "[":
            return self._class()
        if sign == "\\":
            return self._escape()
        self.place += 1
        return None

    def _repeat(self, found: re.Match[str]) -> str | None:
        if self.repeated:
            return "repetitions of a repetition such as a{2}{3}: put it in a group"
        most = max(int(found["high"] or 0), int(found["low"] or 0), 1)
        self.last *= most
        self.groups[-1] = max(self.groups[-1], self.last)
        self.place, self.repeated = found.end(), True
        return f"more than {_MOST_REPEATS} repetitions" if self.last > _MOST_REPEATS else None

    def _open(self) -> str | None:
        flags = _FLAGS.match(self.text, self.place)
        if flags is not None and "x" in flags[0]:
            return _SPACED
        if flags is not None and flags[0].endswith(")"):
            self.place, self.last = flags.end(), 1
            return None
        self.groups.append(1)
        if len(self.groups) > _DEEPEST + 1:
            return f"more than {_DEEPEST} groups inside each other"
        opening = flags or _NAMED.match(self.text, self.place)
        self.place = opening.end() if opening is not None else self.place + 1
        return None

    def _escape(self) -> str | None:
        if self.text[self.place + 1] in "pP":
            return _PROPERTY
        braces = _BRACES.match(self.text, self.place)
        self.place = braces.end() if braces is not None else self.place + 2
        return None

    def _class(self) -> str | None:
        opening = _OPENING.match(self.text, self.place)
        self.place = opening.end() if opening is not None else self.place + 1
        while self.text[self.place] != "]":
            posix = _POSIX.match(self.text, self.place)
            if posix is not None:
                self.place = posix.end()
            elif self.text[self.place] == "[":
                return "a class inside a class"
            elif self.text.startswith(_OPERATIONS, self.place):
                return f"{self.text[self.place : self.place + 2]} in a class"
            elif self.text[self.place] == "\\":
                if self.text[self.place + 1] in "pP":
                    return _PROPERTY
                self.place += 2
            else:
                self.place += 1
        self.place += 1
        return None
