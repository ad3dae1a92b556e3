from __future__ import annotations

from typing import Any

import pytest

from controlplane.model.route import RouteMatch
from controlplane.translate.expressions import fault, quote
from controlplane.translate.matches import UnusableError, envoy_match, rank
from tests.contract.envoy.manifests import match


def parsed(document: dict[str, Any]) -> RouteMatch:
    return RouteMatch.model_validate(document)


HEADER = {"headers": [{"name": "a", "value": "1"}]}
TWO = {"headers": [{"name": "a", "value": "1"}, {"name": "b", "value": "1"}]}
QUERY = {"queryParams": [{"name": "q", "value": "1"}]}

IN_ORDER = [
    match("/a/bc", "Exact"),
    match("/a", "Exact", method="GET", **TWO),
    match("/a", "Exact"),
    match("/aaa"),
    match("/aa", method="GET", **TWO),
    match("/aa/", method="GET", **HEADER, **QUERY),
    match("/aa", method="GET", **HEADER),
    match("/aa", method="GET", **QUERY),
    match("/aa", method="GET"),
    match("/aa", **TWO),
    match("/aa"),
    match("/longer.*", "RegularExpression"),
    match("/.*", "RegularExpression", method="GET"),
    match("/.*", "RegularExpression"),
    match("/", method="GET"),
    {**QUERY},
    {},
]


def test_precedence() -> None:
    ranks = [rank(parsed(document)) for document in IN_ORDER]
    assert ranks == sorted(ranks)
    assert len(set(ranks)) == len(ranks)


def test_a_slash_at_the_end_of_a_prefix_means_nothing() -> None:
    assert rank(parsed(match("/a/"))) == rank(parsed(match("/a")))
    assert envoy_match(parsed(match("/a/"))) == envoy_match(parsed(match("/a")))


def test_the_first_of_two_conditions_on_one_header_counts() -> None:
    headers = [{"name": "X-A", "value": "1"}, {"name": "x-a", "value": "2"}]
    found = envoy_match(parsed(match("/", headers=headers)))
    assert [(item.name, item.string_match) for item in found.headers] == [
        ("x-a", envoy_match(parsed(match("/", headers=headers[:1]))).headers[0].string_match)
    ]


TAKEN = r"""
a  /[0-9]+  (?i)x  (?i:x)y  (?s-m:.)  (?P<n>a)  a{1000}  ((a{10}b){10}){10}(c{1000})  a+?  a{2}?b*?
[[:alpha:]]+  \pL  \x{FF}  \xff  a\++  [+*?]+  []+*]  \\u  \bword\b  a\{2000}  [(]{20}
"""
REFUSED = r"""
a{1001}  a{2,1001}  ((a{10}b){11}){10}  (?x)ab  (?u)a  (?R)a  (?i-x:a)  \u0061  \u{61}  \x{100}
\<a\>  \b{start}a  a++  a**  a{2}{3}  a???
"""


@pytest.mark.parametrize("expression", TAKEN.split())
def test_an_expression_that_envoy_takes_is_taken(expression: str) -> None:
    assert not fault(expression)


@pytest.mark.parametrize("expression", ["", *REFUSED.split()])
def test_an_expression_that_envoy_refuses_is_refused(expression: str) -> None:
    assert fault(expression)


def test_a_refusal_names_the_part_and_the_reason() -> None:
    document = match("/", headers=[{"type": "RegularExpression", "name": "a", "value": "b++"}])
    with pytest.raises(UnusableError, match=r"header a: expression 'b\+\+': repeats a repetition"):
        envoy_match(parsed(document))


def test_quoting() -> None:
    assert quote("/f.o+(x)") == r"/f\.o\+\(x\)"
