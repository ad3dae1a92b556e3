"""Corners in which Envoy's RE2 refuses an expression that the model lets through.

Envoy refuses a whole route table for one bad expression, and with it the change of every other
route. The model checks expressions with an engine of the same family; what is left is here.
"""

from __future__ import annotations

import re
from typing import Final

_LACKING: Final = (
    (re.compile(r"\(\?[a-zA-Z]*[^imsU:)P<-][a-zA-Z]*(-[a-zA-Z]*)?[:)]"), "has a flag"),
    (re.compile(r"\(\?[imsU]*-[imsU]*[^imsU:)][a-zA-Z]*[:)]"), "has a flag"),
    (re.compile(r"\\[uU]"), r"has an escape (use \x..)"),
    (re.compile(r"\\[<>]|\\b\{"), "has a word boundary"),
    (re.compile(r"[*+?}]\??([*+]|\{\d)|[*+?}]\?\?"), "repeats a repetition"),
)
# Envoy compares bytes, so no expression can name a character that takes more than one.
_CHARACTER: Final = re.compile(r"\\x\{([0-9A-Fa-f]+)\}")
_LAST_BYTE: Final = 0xFF
_MOST_REPEATS: Final = 1000  # RE2's own bound, for repetitions inside each other together
_HARMLESS: Final = re.compile(r"\\\\|\\[*+?}{()]|\[\^?\]?[^\]\\]*\]")
_STRUCTURE: Final = re.compile(r"(?P<open>\()|(?P<close>\))|\{(?P<low>\d+)(?:,(?P<high>\d*))?\}")


def fault(expression: str) -> str:
    """What RE2 would not take about an expression, in words; empty when nothing is known."""
    if not expression:
        return "is empty"
    # Escaped signs and classes of single characters hold none of what is looked for.
    text = _HARMLESS.sub("a", expression)
    for pattern, words in _LACKING:
        if pattern.search(text):
            return f"{words}, which RE2 does not know"
    if any(int(digits, 16) > _LAST_BYTE for digits in _CHARACTER.findall(text)):
        return r"names a character above \xff, where Envoy compares bytes"
    if _repeats(_CHARACTER.sub("a", text)) > _MOST_REPEATS:
        return f"repeats something more than {_MOST_REPEATS} times"
    return ""


def quote(text: str) -> str:
    """The text as an expression that matches it alone."""
    return re.sub(r"([\\.+*?()|\[\]{}^$])", r"\\\1", text)


def _repeats(text: str) -> int:
    """How often the most repeated part is repeated, groups inside groups multiplied."""
    depths = [1]  # of each group around: the most repeats inside it so far
    closed, end = 1, -1  # of the group that ended just before this place
    for found in _STRUCTURE.finditer(text):
        if found["open"]:
            depths.append(1)
        elif found["close"]:
            closed, end = depths.pop() if len(depths) > 1 else 1, found.end()
            depths[-1] = max(depths[-1], closed)
        else:
            inside = closed if found.start() == end else 1
            count = max(int(found["low"]), int(found["high"] or 0), 1)
            depths[-1] = max(depths[-1], inside * count)
    return max(depths)
