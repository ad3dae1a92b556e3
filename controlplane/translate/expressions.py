"""Whether Envoy will take a regular expression.

Envoy refuses a whole route table for one bad expression, and with it the change of every other
route. Its dialect is RE2, which Python does not have; so what RE2 lacks is looked for, what only
RE2 has is replaced by something of the same shape, and Python's own parser judges the rest.
"""

from __future__ import annotations

import re
from typing import Final

_LACKING: Final = (
    (re.compile(r"\(\?<?[=!]"), "looks ahead or behind"),
    (re.compile(r"\(\?>"), "has an atomic group"),
    (re.compile(r"\(\?\("), "has a conditional"),
    (re.compile(r"\(\?P=|\\[1-9]|\\g<|\\k<"), "refers back to a group"),
    (re.compile(r"\(\?#"), "has a comment"),
    (re.compile(r"[*+?}]\+"), "has a possessive repetition"),
    (re.compile(r"\\[ZRGuUNhHVKX]"), "has an escape"),
)
_ONLY_RE2: Final = (
    (re.compile(r"\[\[:\^?[a-z]+:\]"), "[a"),
    (re.compile(r"\[:\^?[a-z]+:\]"), "a"),
    (re.compile(r"\\[pP](\{\^?[A-Za-z_]+\}|[A-Z])"), "a"),
    (re.compile(r"\\z"), r"\\Z"),
    (re.compile(r"\\C"), "."),
    (re.compile(r"\\x\{[0-9A-Fa-f]{1,6}\}"), "a"),
    (re.compile(r"\\Q.*?(\\E|$)", re.DOTALL), "a"),
    (re.compile(r"\(\?<([A-Za-z_])"), r"(?P<\1"),
    (re.compile(r"\(\?[imsU]*(-[imsU]+)?(?=[:)])"), "(?:"),
)
_REPEAT: Final = re.compile(r"\{(\d+)(?:,(\d*))?\}")
_MOST_REPEATS: Final = 1000  # RE2's own bound
_ESCAPED_BACKSLASH: Final = re.compile(r"\\\\")


def fault(expression: str) -> str:
    """What is wrong with an expression in RE2, in words; empty when nothing is known to be."""
    if not expression:
        return "is empty"
    text = _ESCAPED_BACKSLASH.sub("a", expression)
    for pattern, words in _LACKING:
        if pattern.search(text):
            return f"{words}, which RE2 does not know"
    for low, high in _REPEAT.findall(text):
        if int(low) > _MOST_REPEATS or int(high or 0) > _MOST_REPEATS:
            return f"repeats more than {_MOST_REPEATS} times"
    for pattern, stand_in in _ONLY_RE2:
        text = pattern.sub(stand_in, text)
    text = text.replace("(?:)", "")
    try:
        re.compile(text.replace("[[", r"[\["))
    except (re.error, OverflowError, RecursionError) as error:
        return str(error)
    return ""


def quote(text: str) -> str:
    """The text as an expression that matches it alone, in RE2."""
    return re.sub(r"([\\.+*?()|\[\]{}^$])", r"\\\1", text)
