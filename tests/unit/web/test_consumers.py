"""Patterns of overrides, compared as the filter compares them: `*` is any text."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, strategies as st

from controlplane.web.consumers import fits

TEXTS = st.text("ab*.\n", max_size=12)


@given(pattern=TEXTS, value=TEXTS)
def test_patterns_are_as_their_expressions(pattern: str, value: str) -> None:
    expression = ".*".join(map(re.escape, pattern.split("*")))
    wanted = re.fullmatch(expression, value, re.DOTALL) is not None
    assert fits(pattern.encode(), value.encode()) is wanted


@pytest.mark.parametrize(
    ("pattern", "value"),
    [(b"gold-*", b"gold-"), (b"*@example", b"\xff@example"), (b"a*b*c", b"abc")],
)
def test_what_fits(pattern: bytes, value: bytes) -> None:
    assert fits(pattern, value)


def test_a_pattern_of_many_stars_takes_no_longer() -> None:
    """An expression would try every way to spread the letters over the stars."""
    assert not fits(b"*a" * 500 + b"*b", b"a" * 8000)
