"""Expressions of quotas: what the filter's engine knows passes, and the rest is told why not."""

from __future__ import annotations

import pytest
from hypothesis import example, given, strategies as st

from controlplane.model.expressions import expression_error
from controlplane.model.lite_expressions import lite_expression_error

# Compiled by the engine itself, within the filter's bound.
GOOD = (
    "a",
    ".*",
    "(?i)bearer .+",
    "/v[0-9]+/(?:users|orders)/[^/]+",
    r"[\w.+-]+@[\w-]+\.[\w.]+",
    "[]a]",
    "[^]a]",
    "[-a]",
    "[a-]",
    r"[\]\-]",
    r"[!-[a]\[b]",
    r"[\x41-\x{5a}]",
    "[[:alpha:][:^digit:]_]",
    r"\b{start}a\b{end}",
    r"\x41\x{1F600}é",
    "(?P<n>a)|(?<m>b)",
    "a{2}b{2,}c{2,3}?d*?e+?f??",
    "(a{2}){3}",
    "[0-9a-f]{128}",
    "a{1000}",
    "(?:[a-z]{10}){50}",
    "(" * 10 + "a|b" + ")*" * 10,
    r"\\p{2}",
    r"\(\?x\)",
)
# Good for the engine behind pydantic; the filter's lacks it, or could be made to run long by it.
LACKING = {
    r"\p{L}": "Unicode classes",
    r"\PL": "Unicode classes",
    r"[\p{Greek}a]": "Unicode classes",
    "[a[bc]]": "a class inside a class",
    "[[:letters:]]": "a class inside a class",
    "[a&&b]": "&& in a class",
    "[a--b]": "-- in a class",
    "[a~~b]": "~~ in a class",
    "(?x) a": "the flag x",
    "(?ix:a)": "the flag x",
    "a{2}{3}": "repetitions of a repetition",
    "a**": "repetitions of a repetition",
    "(" * 11 + "a" + ")" * 11: "groups inside each other",
    "(?:a{100}){100}": "so many repetitions",
    "((a{20}){20}){20}": "so many repetitions",
    "a{0,4000}": "so many repetitions",
    "[a-z]{999999}": "",
}


@pytest.mark.parametrize("text", GOOD)
def test_what_the_engine_knows_is_good(text: str) -> None:
    assert lite_expression_error(text) is None


@pytest.mark.parametrize(("text", "why"), LACKING.items())
def test_what_the_engine_lacks_is_told(text: str, why: str) -> None:
    wrong = lite_expression_error(text)

    assert wrong is not None
    assert why in wrong


@pytest.mark.parametrize("text", ["(", "[a", "*", "(?=a)", "(?<!a)", r"(a)\1", r"\y", "a{2", "(?)"])
def test_what_no_engine_knows_is_refused(text: str) -> None:
    wrong = lite_expression_error(text)

    assert wrong is not None
    assert wrong.startswith("must be a regular expression without look-around")


SIGNS = ["a", "é", ".", "-", "&&", "[", "[^", "]", "[:alpha:]", "(", "(?:", "(?i)", ")", "|", "*"]
SIGNS += ["+", "?", "{2}", "{1,3}", "{,}", "\\d", "\\p{L}", "\\b{start}", "\\x41", "\\x{e9}", "\\"]


@given(signs=st.lists(st.sampled_from(SIGNS), max_size=12))
@example(signs=["[", "\\", "]"])
@example(signs=["\\"])
@example(signs=["[", "a", "-", "[:alpha:]"])
def test_any_text_gets_an_answer(signs: list[str]) -> None:
    text = "".join(signs)

    if expression_error(text) is not None:
        assert lite_expression_error(text) is not None
    else:
        lite_expression_error(text)
