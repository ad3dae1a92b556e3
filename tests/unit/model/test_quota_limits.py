"""What a limit means: its windows, costs and overrides in force."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st

from controlplane.model import Invalid, ResolvedOverride, ResolvedWindow, Term
from controlplane.model.durations import format_duration, parse_duration
from controlplane.model.quota_costs import ResolvedCost
from tests.unit.model.quotas import limit


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, ResolvedWindow("f60000", "f", 100, 60_000, 0)),
        ({"algorithm": "SlidingWindow"}, ResolvedWindow("s60000", "s", 100, 60_000, 0)),
        ({"algorithm": "TokenBucket"}, ResolvedWindow("b60000", "b", 100, 60_000, 100)),
        (
            {"algorithm": "TokenBucket", "burst": 7, "per": "1500ms"},
            ResolvedWindow("b1500", "b", 100, 1500, 7),
        ),
        ({"algorithm": "TokenBucket", "requests": 0}, ResolvedWindow("b60000", "b", 0, 60_000, 0)),
        (
            {"algorithm": "Calendar", "unit": "Minute"},
            ResolvedWindow("cMinute@UTC", "f", 100, 60_000, 0, "Minute", "UTC"),
        ),
        (
            {"algorithm": "Calendar", "unit": "Month", "timeZone": "Europe/Berlin"},
            ResolvedWindow("cMonth@Europe/Berlin", "c", 100, 0, 0, "Month", "Europe/Berlin"),
        ),
    ],
)
def test_a_window_in_force(fields: dict[str, Any], expected: ResolvedWindow) -> None:
    assert limit(**fields).resolved == (expected,)


def test_several_windows_stand_in_the_order_written() -> None:
    made = limit(windows=[{"tokens": 10, "per": "1s"}, {"tokens": 1000, "per": "24h"}])

    assert made.counts == "tokens"
    assert [(one.id, one.amount) for one in made.resolved] == [("f1000", 10), ("f86400000", 1000)]


def test_windows_in_short_and_in_full_are_the_same() -> None:
    short = limit(algorithm="TokenBucket", requests=10, per="1s", burst=3)
    full = limit(algorithm="TokenBucket", windows=[{"requests": 10, "per": "1s", "burst": 3}])

    assert short.resolved == full.resolved
    assert short.given_windows == full.given_windows


@given(
    amount=st.integers(1, 1000),
    other=st.integers(1, 1000),
    seconds=st.integers(1, 366 * 86400),
    algorithm=st.sampled_from(["FixedWindow", "SlidingWindow", "TokenBucket"]),
)
def test_a_counter_is_named_by_its_time_and_by_no_number(
    amount: int, other: int, seconds: int, algorithm: str
) -> None:
    per = format_duration(parse_duration("1s") * seconds)
    made, changed = (
        limit(requests=number, per=per, algorithm=algorithm).resolved[0]
        for number in (amount, other)
    )

    assert made.id == changed.id
    assert made.id == f"{algorithm[0].lower().replace('t', 'b')}{seconds * 1000}"


def test_windows_have_titles_for_lists() -> None:
    calendar = limit(algorithm="Calendar", unit="Day", timeZone="Asia/Kolkata").resolved[0]

    assert limit(per="90s").resolved[0].title == "1m30s"
    assert calendar.title == "Day (Asia/Kolkata)"


@pytest.mark.parametrize(
    ("cost", "expected"),
    [
        ({}, ResolvedCost(1, None, None)),
        ({"number": 5}, ResolvedCost(5, None, None)),
        ({"header": "X-Cost"}, ResolvedCost(1, "x-cost", None)),
        ({"header": "x-cost", "number": 0}, ResolvedCost(0, "x-cost", None)),
    ],
)
def test_a_cost_in_force(cost: dict[str, Any], expected: ResolvedCost) -> None:
    assert limit(cost=cost).resolved_cost == expected


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        ({}, [("/usage/total_tokens", 1000)]),
        ({"pointer": "/n"}, [("/n", 1000)]),
        ({"output": {"weight": 3}}, [("/usage/completion_tokens", 3000)]),
        (
            {"input": {}, "output": {"weight": 0.001}, "cached": {"weight": 0.1}},
            [
                ("/usage/prompt_tokens", 1000),
                ("/usage/completion_tokens", 1),
                ("/usage/prompt_tokens_details/cached_tokens", -900),
            ],
        ),
        (
            {"input": {}, "cached": {"pointer": "/c", "weight": 0.1}, "cachedInInput": False},
            [("/usage/prompt_tokens", 1000), ("/c", 100)],
        ),
        ({"cached": {"weight": 2}, "cachedInInput": False},
         [("/usage/prompt_tokens_details/cached_tokens", 2000)]),
    ],
)  # fmt: skip
def test_a_cost_by_the_response(response: dict[str, Any], expected: list[tuple[str, int]]) -> None:
    resolved = limit(tokens=100, cost={"response": response}).resolved_cost.response

    assert resolved is not None
    assert resolved.terms == tuple(Term(*one) for one in expected)


def test_a_reservation_lasts_ten_minutes_unless_told_otherwise() -> None:
    def held(**response: Any) -> tuple[int, int]:
        resolved = limit(tokens=100, cost={"response": response}).resolved_cost.response
        assert resolved is not None
        return resolved.reserve, resolved.ttl_ms

    assert held() == (0, 600_000)
    assert held(reserve=100, reserveTtl="30s") == (100, 30_000)


@given(milli=st.integers(1, 1_000_000))
def test_every_weight_in_thousandths_is_exact(milli: int) -> None:
    response = {"input": {"weight": milli / 1000}}
    resolved = limit(tokens=100, cost={"response": response}).resolved_cost.response

    assert resolved is not None
    assert resolved.terms[0].milli == milli


def overridden(override: dict[str, Any], **fields: Any) -> ResolvedOverride:
    given = {"consumer": ["alice"], **override}
    (made,) = limit(key=[{"header": "x-api-key"}], overrides=[given], **fields).resolved_overrides
    return made


def test_an_override_keeps_the_windows_and_has_other_numbers() -> None:
    windows = [{"requests": 10, "per": "1s"}, {"requests": 1000, "per": "24h"}]
    made = overridden({"windows": [{"requests": 20}, {"requests": 0}]}, windows=windows)

    assert made.exact
    assert not made.unlimited
    assert [(one.id, one.amount) for one in made.windows] == [("f1000", 20), ("f86400000", 0)]


def test_an_override_of_a_calendar_keeps_its_zone() -> None:
    made = overridden({"requests": 5}, algorithm="Calendar", unit="Year", timeZone="Asia/Tokyo")

    assert made.windows[0].id == "cYear@Asia/Tokyo"
    assert made.windows[0].amount == 5


@pytest.mark.parametrize(
    ("burst", "override", "expected"),
    [
        (None, {"requests": 500}, 500),
        (20, {"requests": 500}, 20),
        (20, {"requests": 500, "burst": 30}, 30),
        (None, {"requests": 500, "burst": 30}, 30),
        (20, {"requests": 0}, 0),
    ],
)
def test_the_burst_of_an_override(
    burst: int | None, override: dict[str, Any], expected: int
) -> None:
    fields = {} if burst is None else {"burst": burst}
    made = overridden(override, algorithm="TokenBucket", **fields)

    assert made.windows[0].burst == expected


def test_an_override_without_a_limit_has_no_windows() -> None:
    made = overridden({"unlimited": True})

    assert made.unlimited
    assert made.windows == ()


@pytest.mark.parametrize(
    ("value", "exact"), [("alice", True), ("gold-*", False), ("*", False), ("a*b", False)]
)
def test_a_wildcard_anywhere_makes_a_pattern(value: str, exact: bool) -> None:  # noqa: FBT001
    made = overridden({"consumer": [value], "requests": 1})

    assert made.exact is exact
    assert made.consumer == (value,)


@pytest.mark.parametrize(
    ("part", "source", "title"),
    [
        ({"header": "X-Key"}, "header", "header X-Key"),
        ({"cookie": "uid"}, "cookie", "cookie uid"),
        ({"query": "q"}, "query", "query q"),
        ({"clientAddress": {}}, "clientAddress", "clientAddress"),
        ({"path": {}}, "path", "path"),
        ({"route": {}}, "route", "route"),
        ({"literal": "free"}, "literal", "literal free"),
    ],
)
def test_a_part_of_a_key_has_one_source(part: dict[str, Any], source: str, title: str) -> None:
    (made,) = limit(key=[part]).key

    assert (made.source, made.title, made.required) == (source, title, False)


@pytest.mark.parametrize(
    ("prefix", "address"),
    [
        ({}, "203.0.113.7"),
        ({}, "2001:db8:1:2::/64"),
        ({"ipv4Prefix": 24}, "203.0.113.0/24"),
        ({"ipv6Prefix": 128}, "2001:db8::1"),
    ],
)
def test_an_override_names_an_address_as_the_filter_does(
    prefix: dict[str, int], address: str
) -> None:
    override = {"consumer": [address], "requests": 1}

    assert limit(key=[{"clientAddress": prefix}], overrides=[override]).resolved_overrides


@given(amount=st.integers(0, 1_000_000_000), milliseconds=st.integers(1000, 99_999))
def test_a_bucket_drains_at_most_a_million_units_a_second(amount: int, milliseconds: int) -> None:
    fields = {"algorithm": "TokenBucket", "requests": amount, "per": f"{milliseconds}ms"}
    if amount * 1000 <= 1_000_000 * milliseconds:
        assert limit(**fields).resolved[0].burst == amount
    else:
        with pytest.raises(Invalid, match="a million a second"):
            limit(**fields)


def test_the_smallest_window_bounds_what_a_request_may_need() -> None:
    windows = [{"tokens": 1000, "per": "1h"}, {"tokens": 50, "per": "1s"}]

    limit(windows=windows, cost={"response": {"reserve": 50}})
    with pytest.raises(Invalid, match="must be at most 50"):
        limit(windows=windows, cost={"response": {"reserve": 51}})


def test_an_hour_of_a_calendar_is_not_an_hour_of_a_window() -> None:
    fixed = limit(per="1h").resolved[0].id
    calendar = limit(algorithm="Calendar", unit="Hour").resolved[0].id

    assert (fixed, calendar) == ("f3600000", "cHour@UTC")
