"""The page on Gateway API says of each filter, kind and feature what the code does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from controlplane.model import KINDS
from controlplane.model.route_filters import SUPPORTED_FILTERS, FilterType

PAGE = Path(__file__).parents[3] / "docs" / "gateway-api.md"
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.read_text().splitlines()
    if line.startswith("|")
]
FEATURES = {
    name: row[1]
    for row in ROWS
    if len(row) > 1 and row[1] in {"works", "no"}
    for name in re.findall(r"`(\w+)`", row[0])
}
BEHIND = {
    "ResponseHeaderModifier": "HTTPRouteResponseHeaderModification",
    "RequestRedirect": "HTTPRoutePathRedirect",
    "URLRewrite": "HTTPRoutePathRewrite",
    "RequestMirror": "HTTPRouteRequestMirror",
    "CORS": "HTTPRouteCORS",
}


@pytest.mark.parametrize(("kind", "feature"), BEHIND.items())
def test_a_filter_works_where_the_page_says_so(kind: FilterType, feature: str) -> None:
    assert kind in get_args(FilterType)
    assert FEATURES[feature] == ("works" if kind in SUPPORTED_FILTERS else "no")


def test_each_feature_stands_there_once() -> None:
    named = [
        name for row in ROWS for name in re.findall(r"`((?:Gateway|HTTPRoute)[A-Z0-9]\w+)`", row[0])
    ]
    assert sorted(named) == sorted(set(named))
    assert len(named) >= 30


@pytest.mark.parametrize(
    ("kind", "read"),
    [
        ("GatewayClass", True),
        ("Gateway", True),
        ("HTTPRoute", True),
        ("ReferenceGrant", True),
        ("BackendTLSPolicy", False),
        ("ListenerSet", False),
    ],
)
def test_a_kind_is_read_where_the_page_says_so(kind: str, *, read: bool) -> None:
    said = next(row[2] for row in ROWS if row[0] == kind)
    assert (kind in KINDS) is read
    assert said.startswith("not read") is not read


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", PAGE.read_text()):
        assert (PAGE.parent / target).exists(), target
