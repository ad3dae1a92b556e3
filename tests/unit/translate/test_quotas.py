from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

import pytest

from controlplane.model import ObjectRef
from controlplane.translate import Translation, translate
from controlplane.translate.render import resources
from controlplane.xds import kinds
from tests.contract.envoy.golden import OPTIONS, QUOTAS, parameters
from tests.contract.envoy.manifests import (
    gateway,
    listener,
    manifest,
    match,
    quota,
    route,
    sale,
    text,
)
from tests.contract.envoy.proxy import GATEWAY, inventory

if TYPE_CHECKING:
    from collections.abc import Iterable

EDGE = {"kind": "Gateway", "name": "edge"}
WHOLE = {"name": "shop"}
CHAT = {"name": "shop", "sectionName": "chat"}
DRAW = {"name": "shop", "sectionName": "draw"}
RULES = (
    {"name": "chat", "matches": [match("/chat")]},
    {"name": "draw", "matches": [match("/draw")]},
    {"matches": [match("/")]},
)
TOKENS = {"name": "tokens", "tokens": 10, "per": "1m", "cost": {"response": {}}}


def aged(name: str, targets: Iterable[dict[str, Any]], day: int) -> dict[str, Any]:
    return quota(name, targets, creationTimestamp=f"2026-01-{day:02}T00:00:00Z")


def outcome(*policies: dict[str, Any], **attached: Any) -> Translation:
    documents = [gateway(listener(80)), route("shop", *RULES, **attached), *policies]
    found = translate(inventory(text(*documents)), OPTIONS)
    # The order in which objects come must not matter.
    assert translate(inventory(text(*reversed(documents))), OPTIONS).report == found.report
    return found


def held(translation: Translation) -> dict[str, list[str]]:
    """The policies of each route, in the order in which the filter has them."""
    found = parameters(translation, QUOTAS)
    names = [policy["policy"].removeprefix("shop/") for policy in found["policies"]]
    return {
        name.removeprefix("httproute/shop/shop/"): [names[place] for place in places]
        for name, places in {**found["routes"], "*": found["otherwise"]}.items()
    }


def said(translation: Translation, name: str) -> dict[str, tuple[str, str, str]]:
    (verdict,) = translation.report.about(ObjectRef("QuotaPolicy", "shop", name))
    return {item.type: (item.status, item.reason, item.message) for item in verdict.conditions}


def routes(translation: Translation) -> dict[str, dict[str, Any]]:
    """The Envoy routes by the last part of their name."""
    (table,) = resources(translation.snapshots[GATEWAY])["routes"]
    found = [found for host in table["virtual_hosts"] for found in host["routes"]]
    return {one["name"].split("/")[-1]: one for one in found}


def switched_on(translation: Translation) -> dict[str, set[str]]:
    return {
        name: set(one.get("typed_per_filter_config", {}))
        for name, one in routes(translation).items()
    }


def test_a_policy_holds_for_what_it_names() -> None:
    assert held(outcome(quota("a", [WHOLE]))) == {"chat": ["a"], "draw": ["a"], "2": ["a"], "*": []}
    assert held(outcome(quota("a", [CHAT]))) == {"chat": ["a"], "*": []}
    assert held(outcome(quota("a", [CHAT, DRAW]))) == {"chat": ["a"], "draw": ["a"], "*": []}
    every = {"chat": ["a"], "draw": ["a"], "2": ["a"], "*": ["a"]}
    assert held(outcome(quota("a", [EDGE]))) == every


def test_gateway_route_and_rule_apply_together() -> None:
    found = outcome(aged("rule", [CHAT], 1), aged("route", [WHOLE], 2), aged("wide", [EDGE], 3))
    assert held(found) == {
        "chat": ["wide", "route", "rule"],
        "draw": ["wide", "route"],
        "2": ["wide", "route"],
        "*": ["wide"],
    }
    for name in ("rule", "route", "wide"):
        assert said(found, name) == {
            "Accepted": ("True", "Accepted", ""),
            "ResolvedRefs": ("True", "ResolvedRefs", ""),
        }


def test_a_policy_that_names_a_place_in_several_ways_counts_once() -> None:
    found = outcome(quota("a", [CHAT, WHOLE, EDGE]))
    assert held(found) == {"chat": ["a"], "draw": ["a"], "2": ["a"], "*": ["a"]}
    assert said(found, "a")["ResolvedRefs"][0] == "True"


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (EDGE, "Gateway shop/edge"),
        (WHOLE, "HTTPRoute shop/shop"),
        (CHAT, "rule chat of HTTPRoute shop/shop"),
    ],
)
def test_on_one_target_the_oldest_is_in_force(target: dict[str, str], words: str) -> None:
    found = outcome(aged("a", [target], 2), aged("b", [target], 1), quota("c", [target]))
    assert {tuple(names) for names in held(found).values()} - {()} == {("b",)}
    assert said(found, "b")["Accepted"] == ("True", "Accepted", "")
    message = f"{words} has QuotaPolicy shop/b, which is older"
    for loser in ("a", "c"):
        assert said(found, loser)["Accepted"] == ("False", "Conflicted", message)
    assert [plan.ref.name for plan in found.quotas] == ["b"]
    owner = ObjectRef("QuotaPolicy", "shop", "a")
    assert found.report.resources(owner) == ()


def test_of_two_without_an_age_the_first_by_name_is_in_force() -> None:
    found = outcome(quota("b", [CHAT]), quota("a", [CHAT]))
    assert held(found)["chat"] == ["a"]
    assert "comes first by namespace and name" in said(found, "b")["Accepted"][2]


def test_a_policy_that_loses_one_target_holds_for_the_others() -> None:
    found = outcome(aged("a", [CHAT, DRAW], 2), aged("b", [CHAT], 1))
    assert held(found) == {"chat": ["b"], "draw": ["a"], "*": []}
    assert said(found, "a")["Accepted"][0] == "True"
    status, reason, message = said(found, "a")["ResolvedRefs"]
    assert (status, reason) == ("False", "Conflicted")
    assert "rule chat of HTTPRoute shop/shop has QuotaPolicy shop/b" in message


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ({"name": "lost"}, "HTTPRoute shop/lost is not there: create it, or correct targetRefs"),
        (
            {"kind": "Gateway", "name": "lost"},
            "Gateway shop/lost is not there: create it, or correct targetRefs",
        ),
        (
            {"name": "shop", "sectionName": "tablet"},
            "HTTPRoute shop/shop has no rule named tablet; its named rules are chat, draw",
        ),
    ],
)
def test_a_target_that_is_not_there(target: dict[str, str], message: str) -> None:
    found = outcome(quota("a", [target]))
    assert said(found, "a")["Accepted"] == ("False", "TargetNotFound", message)
    assert found.quotas == ()
    assert parameters(found, QUOTAS)["policies"] == []
    assert [problem.message for problem in found.report.problems] == [message]
    partly = outcome(quota("a", [target, CHAT]))
    assert said(partly, "a")["Accepted"][0] == "True"
    assert said(partly, "a")["ResolvedRefs"] == ("False", "TargetNotFound", message)


def test_a_route_that_is_attached_nowhere() -> None:
    found = outcome(quota("a", [WHOLE]), parents=[{"name": "edge", "port": 81}])
    message = "HTTPRoute shop/shop is attached to no gateway of ours: see its parentRefs"
    assert said(found, "a")["Accepted"] == ("False", "TargetNotAttached", message)


def test_a_gateway_that_is_not_ours_or_cannot_be_configured() -> None:
    foreign = gateway(listener(81))
    foreign["metadata"]["name"] = "foreign"
    foreign["spec"]["gatewayClassName"] = "other"
    other = manifest("GatewayClass", "other", {"controllerName": "example.com/other"})
    del other["metadata"]["namespace"]
    held_back = gateway(listener(82), settings="nowhere")
    held_back["metadata"]["name"] = "held"
    found = outcome(
        foreign,
        other,
        held_back,
        quota("a", [{"kind": "Gateway", "name": "foreign"}]),
        quota("b", [{"kind": "Gateway", "name": "held"}]),
    )
    expected = (
        "False",
        "TargetNotAttached",
        "Gateway shop/foreign is none of ours: its GatewayClass is another's, or not there",
    )
    assert said(found, "a")["Accepted"] == expected
    assert said(found, "b")["Accepted"] == (
        "False",
        "TargetNotAttached",
        "Gateway shop/held cannot be configured: see its conditions",
    )


def test_a_policy_reaches_only_its_own_namespace() -> None:
    other = quota("a", [WHOLE, EDGE])
    other["metadata"]["namespace"] = "elsewhere"
    found = outcome(other)
    assert held(found) == {"*": []}
    assert {name for names in switched_on(found).values() for name in names} == set()


def test_only_routes_with_a_policy_pay_for_the_filter() -> None:
    assert switched_on(outcome()) == {"chat": set(), "draw": set(), "2": set()}
    found = outcome(quota("a", [CHAT]), sale("s", [CHAT]), sale("t", [DRAW]))
    both, one = {"sluice.quota", "sluice.flash-sale"}, {"sluice.flash-sale"}
    assert switched_on(found) == {"chat": both, "draw": one, "2": set()}
    wide = outcome(quota("a", [EDGE]))
    assert switched_on(wide) == {key: {"sluice.quota"} for key in ("chat", "draw", "2")}


def test_the_quota_comes_before_the_sale_and_both_before_the_router() -> None:
    found = resources(outcome().snapshots[GATEWAY])["listeners"]
    (edge,) = [one for one in found if one["name"] == "edge-80"]
    manager = edge["filter_chains"][0]["filters"][-1]["typed_config"]
    filters = [(one["name"], one.get("disabled", False)) for one in manager["http_filters"]]
    assert filters == [
        ("sluice.quota", True),
        ("sluice.flash-sale", True),
        ("envoy.filters.http.router", False),
    ]


def test_where_responses_are_read_origins_are_asked_for_plain_ones() -> None:
    def removed(*policies: dict[str, Any]) -> dict[str, list[str]]:
        return {
            name: one.get("request_headers_to_remove", [])
            for name, one in routes(outcome(*policies)).items()
        }

    assert removed(quota("a", [WHOLE])) == {"chat": [], "draw": [], "2": []}
    plain = ["accept-encoding"]
    assert removed(quota("a", [CHAT], TOKENS)) == {"chat": plain, "draw": [], "2": []}
    found = removed(quota("a", [CHAT]), quota("b", [EDGE], TOKENS))
    assert found == {"chat": plain, "draw": plain, "2": plain}


@pytest.mark.parametrize("name", ["Accept-Encoding", "x-internal"])
def test_a_route_that_removes_headers_itself_goes_on_doing_so(name: str) -> None:
    modifier = {"type": "RequestHeaderModifier", "requestHeaderModifier": {"remove": [name]}}
    documents = text(
        gateway(listener(80)),
        route("shop", {"name": "chat", "filters": [modifier]}),
        quota("a", [CHAT], TOKENS),
    )
    found = routes(translate(inventory(documents), OPTIONS))["chat"]["request_headers_to_remove"]
    assert [one.lower() for one in found] == list(dict.fromkeys((name.lower(), "accept-encoding")))


def settings(name: str, **redis: Any) -> dict[str, Any]:
    return manifest("EdgeConfig", name, {"redis": redis})


def two_gateways(*more: dict[str, Any], far: str = "") -> Translation:
    second = gateway(listener(80), settings=far)
    second["metadata"]["name"] = "second"
    parents = [{"name": "edge"}, {"name": "second"}]
    documents = [gateway(listener(80)), second, route("shop", *RULES, parents=parents), *more]
    return translate(inventory(text(*documents)), OPTIONS)


def test_a_plan_tells_where_the_counters_are() -> None:
    found = two_gateways(quota("a", [WHOLE]), quota("b", [EDGE]))
    first, second = found.quotas
    assert (first.policy.policy, first.gateways) == ("shop/a", ("shop/edge", "shop/second"))
    assert (second.policy.policy, second.gateways) == ("shop/b", ("shop/edge",))
    assert first.redis.address == "127.0.0.1:6379"
    assert first.today == date(2027, 1, 10)
    other = parameters(found, QUOTAS)
    assert other["otherwise"] == [1]


def test_gateways_with_different_redis_servers_count_apart_and_are_told() -> None:
    far = settings("far", address="far:6379")
    found = two_gateways(quota("a", [WHOLE]), quota("b", [EDGE]), far, far="far")
    plans = [(plan.ref.name, plan.gateways, plan.redis.address) for plan in found.quotas]
    assert plans == [
        ("a", ("shop/edge",), "127.0.0.1:6379"),
        ("a", ("shop/second",), "far:6379"),
        ("b", ("shop/edge",), "127.0.0.1:6379"),
    ]
    status, reason, message = said(found, "a")["CountersShared"]
    assert (status, reason) == ("False", "DifferentRedis")
    assert "shop/second names far:6379" in message
    assert "CountersShared" not in said(found, "b")
    assert message in [problem.message for problem in found.report.problems]


def test_a_plan_has_the_borders_that_the_filter_has() -> None:
    limits = [
        {"name": "month", "algorithm": "Calendar", "requests": 5, "unit": "Month"},
        {"name": "minute", "algorithm": "Calendar", "requests": 5, "unit": "Minute"},
    ]
    found = outcome(quota("a", [WHOLE], *limits))
    (plan,) = found.quotas
    (policy,) = parameters(found, QUOTAS)["policies"]
    for limit, pinned in zip(plan.policy.limits, policy["limits"], strict=True):
        assert list(plan.borders(limit.resolved[0])) == pinned["windows"][0]["borders"]
    assert policy["limits"][0]["windows"][0]["borders"][1] == 1798761600000  # January begins
    assert policy["limits"][1]["windows"][0]["borders"] == []


def test_a_policy_owns_its_routes_and_one_extension() -> None:
    found = outcome(quota("a", [CHAT], generation=7))
    owned = found.report.resources(ObjectRef("QuotaPolicy", "shop", "a"))
    assert set(owned) == {
        (GATEWAY, kinds.EXTENSION, "sluice.quota"),
        (GATEWAY, kinds.ROUTES, "routes-80"),
    }
    (verdict,) = found.report.about(ObjectRef("QuotaPolicy", "shop", "a"))
    assert {one.observed_generation for one in verdict.conditions} == {7}
