"""Paths that can be compared with those of requests: exact ones, and prefixes.

The rules are those of Gateway API. A path that breaks one of them would never fit, since Envoy
has brought every request's path into its normal form before.
"""

from __future__ import annotations

import re
from typing import Final

from controlplane.model.rules import ValueRule
from controlplane.model.scalars import MESSAGES, URL_PATH

_URL_PATH: Final = re.compile(URL_PATH)


def _without(part: str) -> ValueRule:
    return ValueRule(
        f"must not contain {part}",
        f"!self.contains('{part}')",
        holds=lambda path: part not in path,
    )


PATH_RULES: Final = (
    ValueRule(
        "must begin with /",
        "self.startsWith('/')",
        holds=lambda path: path.startswith("/"),
    ),
    ValueRule(
        MESSAGES[URL_PATH],
        f'self.matches(r"{URL_PATH}")',
        holds=lambda path: _URL_PATH.fullmatch(path) is not None,
    ),
    *map(_without, ("//", "/./", "/../", "%2f", "%2F")),
    ValueRule(
        "must not end in /.. or /.",
        "!self.endsWith('/..') && !self.endsWith('/.')",
        holds=lambda path: not path.endswith(("/..", "/.")),
    ),
)
"""In the order in which they are told; the first that is broken is told alone."""


def path_error(path: str) -> str | None:
    """Tell what Gateway API does not allow in an exact path or a prefix; None when nothing."""
    return next((rule.message for rule in PATH_RULES if not rule.holds(path)), None)
