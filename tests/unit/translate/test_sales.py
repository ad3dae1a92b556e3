from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from controlplane.translate import Translation, translate
from tests.contract.envoy.golden import OPTIONS, parameters
from tests.contract.envoy.manifests import gateway, listener, match, route, sale, text
from tests.contract.envoy.proxy import inventory

if TYPE_CHECKING:
    from collections.abc import Iterable

RULES = (
    {"name": "laptop", "matches": [match("/laptop")]},
    {"name": "phone", "matches": [match("/phone")]},
    {"matches": [match("/")]},
)


def aged(name: str, targets: Iterable[dict[str, Any]], day: int = 0, **spec: Any) -> dict[str, Any]:
    found = sale(name, targets, **spec)
    if day:
        found["metadata"]["creationTimestamp"] = f"2026-01-{day:02}T00:00:00Z"
    return found


def outcome(*sales: dict[str, Any], **attached: Any) -> Translation:
    documents = [gateway(listener(80)), route("shop", *RULES, **attached), *sales]
    found = translate(inventory(text(*documents)), OPTIONS)
    # The order in which objects come must not matter.
    assert translate(inventory(text(*reversed(documents))), OPTIONS).report == found.report
    return found


def guards(translation: Translation) -> dict[str, str]:
    found = parameters(translation)
    return {
        name.removeprefix("httproute/shop/shop/"): found["sales"][place]["sale"]
        for name, place in found["routes"].items()
    }


def said(translation: Translation, name: str) -> dict[str, tuple[str, str, str]]:
    verdicts = [item for item in translation.report.verdicts if item.ref.name == name]
    assert len(verdicts) == 1
    return {item.type: (item.status, item.reason, item.message) for item in verdicts[0].conditions}


WHOLE, LAPTOP, PHONE = (
    {"name": "shop"},
    {"name": "shop", "sectionName": "laptop"},
    {"name": "shop", "sectionName": "phone"},
)


def test_a_sale_guards_the_rules_it_names() -> None:
    assert guards(outcome(sale("a", [WHOLE]))) == dict.fromkeys(("laptop", "phone", "2"), "shop/a")
    assert guards(outcome(sale("a", [LAPTOP]))) == {"laptop": "shop/a"}
    assert guards(outcome(sale("a", [LAPTOP, PHONE]))) == {"laptop": "shop/a", "phone": "shop/a"}


def test_the_older_sale_wins_and_the_other_says_so() -> None:
    found = outcome(aged("a", [LAPTOP], 2), aged("b", [LAPTOP], 1))
    assert guards(found) == {"laptop": "shop/b"}
    assert said(found, "b")["Accepted"] == ("True", "Accepted", "")
    status, reason, message = said(found, "a")["Accepted"]
    assert (status, reason) == ("False", "Conflicted")
    assert message == "httproute/shop/shop/laptop is guarded by FlashSale shop/b, which is older"
    assert [plan.ref.name for plan in found.sales] == ["b"]


def test_of_two_without_an_age_the_first_by_name_wins() -> None:
    found = outcome(aged("b", [LAPTOP]), aged("a", [LAPTOP]))
    assert guards(found) == {"laptop": "shop/a"}
    assert "comes first by namespace and name" in said(found, "b")["Accepted"][2]


def test_an_age_goes_before_none() -> None:
    assert guards(outcome(aged("a", [LAPTOP]), aged("b", [LAPTOP], 9))) == {"laptop": "shop/b"}


def test_a_named_rule_goes_before_a_whole_route_whatever_its_age() -> None:
    found = outcome(aged("all", [WHOLE], 1), aged("one", [PHONE], 2))
    assert guards(found) == {"laptop": "shop/all", "phone": "shop/one", "2": "shop/all"}
    assert said(found, "one")["ResolvedRefs"][0] == "True"
    assert said(found, "all")["Accepted"][0] == "True"
    status, reason, message = said(found, "all")["ResolvedRefs"]
    assert (status, reason) == ("False", "Conflicted")
    assert message.endswith("guarded by FlashSale shop/one, which names the rule itself")


def test_a_sale_that_names_both_names_the_rule() -> None:
    found = outcome(aged("both", [WHOLE, PHONE], 2), aged("one", [PHONE], 1))
    assert guards(found)["phone"] == "shop/one"
    found = outcome(aged("both", [WHOLE, PHONE], 1), aged("one", [PHONE], 2))
    assert guards(found)["phone"] == "shop/both"


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ({"name": "lost"}, "HTTPRoute shop/lost is not there: create it, or correct targetRefs"),
        (
            {"name": "shop", "sectionName": "tablet"},
            "HTTPRoute shop/shop has no rule named tablet; its named rules are laptop, phone",
        ),
    ],
)
def test_a_target_that_is_not_there(target: dict[str, str], message: str) -> None:
    found = outcome(sale("a", [target]))
    assert said(found, "a")["Accepted"] == ("False", "TargetNotFound", message)
    assert found.sales == ()
    assert [problem.message for problem in found.report.problems] == [message]
    partly = outcome(sale("a", [target, LAPTOP]))
    assert said(partly, "a")["Accepted"][0] == "True"
    assert said(partly, "a")["ResolvedRefs"] == ("False", "TargetNotFound", message)


def test_a_route_that_is_attached_nowhere() -> None:
    found = outcome(sale("a", [WHOLE]), parents=[{"name": "edge", "port": 81}])
    message = "HTTPRoute shop/shop is attached to no gateway of ours: see its parentRefs"
    assert said(found, "a")["Accepted"] == ("False", "TargetNotAttached", message)
    assert guards(found) == {}


def test_a_sale_reaches_only_its_own_namespace() -> None:
    other = sale("a", [WHOLE])
    other["metadata"]["namespace"] = "elsewhere"
    assert said(outcome(other), "a")["Accepted"][1] == "TargetNotFound"


def test_the_plan_tells_the_keeper_of_the_books_what_it_needs() -> None:
    document = sale("a", [WHOLE], stock=7, epoch="2", durability="Replicated")
    document["spec"]["schedule"]["endTime"] = "2020-01-01T00:00:01.5Z"
    (plan,) = outcome(document).sales
    assert (plan.tag, plan.limit, plan.durability) == ("shop/a/2", 7, "Replicated")
    assert (plan.start_ms, plan.end_ms) == (1577836800000, 1577836801500)
    assert plan.gateways == ("shop/edge",)
    assert plan.redis.address == "127.0.0.1:6379"
    assert not plan.identity_plain
    assert plan.retention_ms == 30 * 24 * 3600 * 1000


def settings(name: str, **redis: Any) -> dict[str, Any]:
    return {
        "apiVersion": "sluice.dev/v1alpha1",
        "kind": "EdgeConfig",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"redis": redis},
    }


def test_gateways_with_different_redis_servers_do_not_sell_twice() -> None:
    second = gateway(listener(80), settings="far")
    second["metadata"]["name"] = "second"
    documents = [
        gateway(listener(80)),
        second,
        settings("far", address="far:6379"),
        route("shop", *RULES, parents=[{"name": "edge"}, {"name": "second"}]),
        sale("a", [WHOLE]),
    ]
    found = translate(inventory(text(*documents)), OPTIONS)
    (plan,) = found.sales
    assert plan.gateways == ("shop/edge", "shop/second")
    assert plan.redis.address == "127.0.0.1:6379"
    status, reason, message = said(found, "a")["BooksUsable"]
    assert (status, reason) == ("False", "DifferentRedis")
    assert "lets nobody in through shop/second" in message


def test_envoys_redis_proxy_cannot_wait_for_a_replica() -> None:
    documents = [
        gateway(listener(80), settings="cluster"),
        settings("cluster", address="cluster:6379", via="Proxy"),
        route("shop", *RULES),
        sale("a", [WHOLE], durability="Replicated"),
        sale("b", [LAPTOP]),
    ]
    found = translate(inventory(text(*documents)), OPTIONS)
    assert said(found, "a")["BooksUsable"][1] == "CannotWait"
    assert "BooksUsable" not in said(found, "b")
