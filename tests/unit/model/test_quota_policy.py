"""What a policy means: names, answers."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.model import QUOTA_OUTCOMES, QuotaOutcome
from tests.unit.model.quotas import quota


def test_a_policy_is_named_in_data_by_namespace_and_name() -> None:
    assert quota().policy == "shop/qpm"
    assert str(quota().ref) == "QuotaPolicy shop/qpm"


def test_a_limit_is_found_by_name() -> None:
    made = quota(
        {"name": "a", "requests": 1, "per": "1s"}, {"name": "b", "requests": 2, "per": "1s"}
    )

    assert made.limit("b") == made.limits[1]
    assert made.limit("c") is None


def test_a_target_is_a_route_unless_told_otherwise() -> None:
    made = quota(targetRefs=[{"name": "shop"}, {"kind": "Gateway", "name": "edge"}])

    assert [one.kind for one in made.spec.target_refs] == ["HTTPRoute", "Gateway"]


def test_responses_are_read_only_for_a_cost_that_they_tell() -> None:
    tokens = {"name": "a", "tokens": 10, "per": "1s"}

    assert not quota(tokens).reads_responses
    assert quota({**tokens, "cost": {"response": {}}}).reads_responses


def test_clients_are_told_of_limits_in_the_headers_of_the_draft() -> None:
    assert quota().spec.headers.rate_limit
    assert not quota().spec.headers.x_rate_limit


def test_no_refusal_looks_like_an_answer_by_default() -> None:
    statuses = {outcome: quota().response(outcome).status for outcome in QUOTA_OUTCOMES}

    assert statuses == {"limited": 429, "unidentified": 400, "unavailable": 503}


@pytest.mark.parametrize("outcome", QUOTA_OUTCOMES)
def test_every_default_answer_is_short_text_that_no_cache_keeps(outcome: QuotaOutcome) -> None:
    answer = quota().response(outcome)

    assert answer.headers == (
        ("cache-control", "no-store"),
        ("content-type", "text/plain; charset=utf-8"),
    )
    assert answer.body.endswith(".\n")
    assert answer.retry_after is (outcome != "unidentified")


def test_an_answer_may_be_another() -> None:
    made = quota(
        responses={
            "limited": {"status": 503, "body": "no", "headers": [{"name": "X-Why", "value": "q"}]},
            "unavailable": {"redirect": "/later"},
        }
    )

    limited = made.response("limited")
    assert (limited.status, limited.body, limited.headers[-1]) == (503, "no", ("x-why", "q"))
    assert limited.retry_after
    later = made.response("unavailable")
    assert (later.status, dict(later.headers)["location"]) == (302, "/later")


@pytest.mark.parametrize(
    ("key", "challenge"),
    [
        ([], 'Bearer realm="shop/qpm"'),
        ([{"header": "Authorization", "required": True}], 'Bearer realm="shop/qpm"'),
        ([{"path": {}}, {"cookie": "uid", "required": True}], 'Cookie realm="shop/qpm"'),
    ],
)
def test_a_401_carries_a_challenge(key: list[dict[str, Any]], challenge: str) -> None:
    made = quota(
        {"name": "a", "key": key, "requests": 1, "per": "1s"},
        responses={"unidentified": {"status": 401}},
    )

    assert dict(made.response("unidentified").headers)["www-authenticate"] == challenge


def test_headers_may_be_given_that_the_filter_does_not_set() -> None:
    name = "X-RateLimit-Limit"
    made = quota(responses={"limited": {"headers": [{"name": name, "value": "1"}]}})

    assert (name.lower(), "1") in made.response("limited").headers
