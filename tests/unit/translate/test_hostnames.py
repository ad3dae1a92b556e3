from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from controlplane.translate.hostnames import ANY, covering, covers, intersect, specificity

LABEL = st.sampled_from(["a", "b", "shop"])
PRECISE = st.lists(LABEL, min_size=1, max_size=4).map(".".join)
HOSTNAME = PRECISE | PRECISE.map(lambda name: f"*.{name}") | st.just(ANY)


@pytest.mark.parametrize(
    ("general", "special", "expected"),
    [
        ("*", "a.b", True),
        ("*", "*.a.b", True),
        ("a.b", "a.b", True),
        ("*.b", "a.b", True),
        ("*.c", "a.b.c", True),
        ("*.c", "*.b.c", True),
        ("*.b.c", "*.c", False),
        ("*.b", "b", False),
        ("*.b", "ab", False),
        ("*.b", "*", False),
        ("a.b", "*.b", False),
    ],
)
def test_covers(general: str, special: str, *, expected: bool) -> None:
    assert covers(general, special) is expected


@pytest.mark.parametrize(
    ("listener", "routes", "expected"),
    [
        ("*", (), ("*",)),
        ("*.example.com", (), ("*.example.com",)),
        ("*", ("a.com", "*.b.com"), ("*.b.com", "a.com")),
        ("*.example.com", ("a.example.com", "other.com"), ("a.example.com",)),
        ("a.example.com", ("*.example.com",), ("a.example.com",)),
        ("*.example.com", ("*.a.example.com", "*.com"), ("*.a.example.com", "*.example.com")),
        ("example.com", ("*.example.com",), ()),
    ],
)
def test_intersect(listener: str, routes: tuple[str, ...], expected: tuple[str, ...]) -> None:
    assert intersect(listener, routes) == expected


def test_the_more_specific_name_goes_first() -> None:
    names = ["*", "*.com", "*.example.com", "a.com", "shop.example.com"]
    turned = ["shop.example.com", "a.com", "*.example.com", "*.com", "*"]
    assert sorted(names, key=specificity) == turned


@given(HOSTNAME, st.lists(HOSTNAME, max_size=20))
def test_covering_finds_what_covers(name: str, others: list[str]) -> None:
    found = list(covering(name))
    assert found == sorted(found, key=specificity)
    assert len(found) == len(set(found))
    for other in others:
        assert (other in found) == covers(other, name)


@given(HOSTNAME, HOSTNAME, PRECISE)
def test_a_host_is_in_the_intersection_when_it_is_in_both(
    listener: str, route: str, host: str
) -> None:
    common = intersect(listener, [route])
    in_both = covers(listener, host) and covers(route, host)
    assert any(covers(name, host) for name in common) == in_both
