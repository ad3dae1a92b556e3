"""What an unquoted word of YAML means, by the core schema of YAML 1.2.

YAML 1.1 turns `no` into false and `22:30` into a number; here they are text, as people expect.
kubectl still reads some of them the old way, so the writer is warned, and the same file can
never mean two things unnoticed.
"""

from __future__ import annotations

import re
from typing import Final

Value = str | int | float | bool | None

_CONSTANTS: Final[dict[str, Value]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER: Final = re.compile(r"[-+]?(0|[1-9][0-9]*)|0o[0-7]+|0x[0-9a-fA-F]+", re.ASCII)
_FLOAT: Final = re.compile(
    r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?", re.ASCII
)
_NOT_FINITE: Final = re.compile(r"([-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))", re.ASCII)
_AMBIGUOUS: Final = re.compile(
    r"(yes|Yes|YES|no|No|NO|on|On|ON|off|Off|OFF|[-+]?0[0-9_]+|[-+]?[1-9][0-9]*_[0-9_]*)",
    re.ASCII,
)
_LONGEST_NUMBER: Final = 40
"""Digits of a number; more is text, and then refused where a number is wanted."""


def read_plain(text: str) -> Value:
    """Read an unquoted scalar."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if len(text) > _LONGEST_NUMBER:
        return text
    if _INTEGER.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text):
        return float(text)
    return float(text.replace(".", "")) if _NOT_FINITE.fullmatch(text) else text


def is_ambiguous(text: str) -> bool:
    """Whether an unquoted word is text here and something else to kubectl."""
    return _AMBIGUOUS.fullmatch(text) is not None
