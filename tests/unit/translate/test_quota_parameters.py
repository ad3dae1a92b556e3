from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import date
from typing import Any

from hypothesis import given, strategies as st

from controlplane.ledger.quota_keys import override_id
from controlplane.translate.parameters import to_json, to_text
from controlplane.translate.quota_parameters import override_consumer
from tests.contract.envoy.golden import OPTIONS, PARAMETERS, QUOTAS, parameters, translated

CASES = PARAMETERS[QUOTAS]
FULL = CASES / "full.yaml"
CALENDAR = CASES / "calendar.yaml"


def limits() -> list[dict[str, Any]]:
    documents = [json.loads(path.read_text()) for path in sorted(CASES.glob("*.json"))]
    return [
        limit
        for document in documents
        for policy in document["policies"]
        for limit in policy["limits"]
    ]


def test_a_consumer_of_an_override_is_named_by_a_hash_of_policy_and_values() -> None:
    whole = hashlib.sha256(b"shop/a\x00\x00\x00\x00\x03\xc3\xa4b\x00\x00\x00\x01c").hexdigest()
    assert override_consumer("shop/a", ("äb", "c")) == whole[:32]
    assert override_consumer("shop/b", ("äb", "c")) != whole[:32]


@given(st.text(), st.lists(st.text(), max_size=4))
def test_the_command_line_names_overrides_likewise(policy: str, values: list[str]) -> None:
    parts = [value.encode() for value in values]
    assert override_consumer(policy, values) == override_id(policy, parts)


def test_raw_consumers_stand_nowhere_but_in_patterns() -> None:
    found = to_json(parameters(translated(FULL), QUOTAS))
    assert "alice" not in found
    assert "203.0.113.7" not in found
    assert "gold-*" in found


def test_the_number_of_workers_is_told_only_where_they_share_a_limit() -> None:
    for case, told in (("full", True), ("proxy", True), ("minimal", False), ("none", False)):
        made = [
            parameters(translated(CASES / f"{case}.yaml", replace(OPTIONS, workers=n)), QUOTAS)
            for n in (4, 8)
        ]
        assert [one["workers"] for one in made] == ([4, 8] if told else [1, 1])


def test_the_date_moves_the_borders_and_nothing_else() -> None:
    def made(case: str, day: date) -> dict[str, Any]:
        return parameters(translated(CASES / f"{case}.yaml", replace(OPTIONS, today=day)), QUOTAS)

    first, second = (made("calendar", date(2027, 1, day)) for day in (10, 11))
    assert first != second
    short, long = (first["policies"][0]["limits"][place]["windows"] for place in (0, 1))
    later = second["policies"][0]["limits"]
    assert short[1]["borders"][24] == later[0]["windows"][1]["borders"][0]
    assert long[0]["borders"][1] == later[1]["windows"][0]["borders"][0]
    # The same week, month and year.
    assert [one["borders"] for one in long[2:]] == [
        one["borders"] for one in later[1]["windows"][2:]
    ]
    for document in (first, second):
        for limit in document["policies"][0]["limits"]:
            for window in limit["windows"]:
                window["borders"] = []
    assert first == second
    assert made("full", date(2027, 1, 10)) == made("full", date(2028, 5, 1))


def test_text_for_people_keeps_numbers_on_a_line_and_everything_as_it_is() -> None:
    found = {"a": [1, 2], "b": ["[\n1,  2\n]", "x"], "c": [[1], {"d": []}]}
    assert json.loads(to_text(found)) == found
    assert '"a": [1, 2]' in to_text(found)


def test_every_case_tells_apart_what_the_filter_can_do() -> None:
    """The files are what Rust is tested against: together they must show every form."""
    documents = [json.loads(path.read_text()) for path in sorted(CASES.glob("*.json"))]
    assert len(documents) >= 7
    assert {document["redis"]["via"] for document in documents} == {"Direct", "Proxy"}
    assert {len(document["policies"]) for document in documents} == {0, 1, 3}
    policies = [policy for document in documents for policy in document["policies"]]
    assert {policy["rateLimit"] for policy in policies} == {True, False}
    assert {policy["xRateLimit"] for policy in policies} == {True, False}
    all_ = limits()
    windows = [window for limit in all_ for window in limit["windows"]]
    assert {window["kind"] for window in windows} == {"f", "s", "b", "c"}
    assert {window["id"][0] for window in windows} == {"f", "s", "b", "c"}
    units = {window["id"].partition("@")[0] for window in windows if "@" in window["id"]}
    assert units == {f"c{unit}" for unit in ("Minute", "Hour", "Day", "Week", "Month", "Year")}
    assert {len(limit["windows"]) for limit in all_} >= {1, 2, 4}
    parts = {name for limit in all_ for part in limit["key"] for name in part}
    assert parts == {
        *("header", "cookie", "query", "clientAddress", "path", "route", "literal", "required"),
    }
    matchers = [matcher for limit in all_ for matcher in limit["when"]]
    assert {name for one in matchers for name in one["path"] or ()} == {"exact", "prefix", "regex"}
    headers = {name for one in matchers for header in one["headers"] for name in header}
    assert headers == {"name", "exact", "regex", "present"}
    for field, values in {
        "counts": {"requests", "tokens"},
        "onRedisFailure": {"Allow", "Deny", "Local"},
        "plain": {True, False},
        "shadow": {True, False},
        "percent": {25, 100},
    }.items():
        assert {limit[field] for limit in all_} == values
    costs = [limit["cost"] for limit in all_]
    assert {cost["header"] for cost in costs} == {None, "x-cost"}
    terms = [len(cost["response"]["terms"]) for cost in costs if cost["response"]]
    assert sorted(terms) == [1, 3, 3]
    assert any(
        term["milli"] < 0
        for cost in costs
        if cost["response"]
        for term in cost["response"]["terms"]
    )
    overrides = [override for limit in all_ for override in limit["overrides"]]
    assert {one["consumer"] is None for one in overrides} == {True, False}
    assert all((one["consumer"] is None) != (one["patterns"] is None) for one in overrides)
    assert {one["unlimited"] for one in overrides} == {True, False}
    named = {
        place for document in documents for found in document["routes"].values() for place in found
    }
    assert named == {0, 1, 2}
