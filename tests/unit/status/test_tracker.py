"""Conditions: true only when proxies and books make them so, dated by their transitions."""

from __future__ import annotations

from datetime import timedelta

import pytest

from controlplane.status.objects import SalePhase
from tests.unit.status.facts import EDGE, SALE, START, Proxies, Scene, books, summary


def test_a_sale_in_force_is_ready() -> None:
    sale = Scene().observe(books())
    assert summary(sale.conditions) == {
        "Accepted": "True",
        "ResolvedRefs": "True",
        "Programmed": "True",
        "Ready": "True",
    }
    assert sale.condition("Programmed").message == "2 of 2 proxies"
    assert sale.sale.state is SalePhase.SCHEDULED


def test_every_object_has_a_status() -> None:
    scene = Scene()
    scene.observe(books())
    found = {str(one.ref): summary(one.conditions) for one in scene.tracker.status.objects}
    assert found["Gateway shop/edge"]["Programmed"] == "True"
    assert found["HTTPRoute shop/shop"]["Programmed"] == "True"
    assert "Programmed" not in found["GatewayClass sluice"]


def test_some_proxies_have_it() -> None:
    sale = Scene().observe(books(), deliver=Proxies(3, 2))
    assert summary(sale.conditions)["Programmed"] == "False/Pending"
    assert sale.condition("Programmed").message == "2 of 3 proxies"
    assert summary(sale.conditions)["Ready"] == "False/NotProgrammed"
    assert (sale.proxies.programmed, sale.proxies.total) == (2, 3)


def test_no_proxy_is_connected() -> None:
    sale = Scene().observe(books(), deliver=Proxies(0, 0))
    assert summary(sale.conditions)["Programmed"] == "Unknown/NoProxies"


def test_a_refusal_is_told_in_the_proxys_own_words() -> None:
    sale = Scene().observe(books(), deliver=Proxies(2, 1, {"edge-b": "unknown field 'x'"}))
    condition = sale.condition("Programmed")
    assert (condition.status, condition.reason) == ("False", "Rejected")
    assert condition.message == "1 of 2 proxies; edge-b refuses it: unknown field 'x'"


def test_many_refusals_are_counted() -> None:
    refused = {f"edge-{n}": "no" for n in range(10)}
    sale = Scene().observe(books(), deliver=Proxies(10, 0, refused))
    assert sale.condition("Programmed").message.endswith("edge-2 refuses it: no; and 7 more")


def test_what_is_not_accepted_is_not_programmed() -> None:
    other = SALE.replace("name: laptop", "name: zebra")
    scene = Scene(f"{EDGE}---{SALE}---{other}")
    scene.observe(books())
    loser = scene.tracker.status.sale("shop/zebra")
    assert loser is not None
    assert summary(loser.conditions)["Accepted"] == "False/Conflicted"
    assert "Programmed" not in summary(loser.conditions)
    assert "Ready" not in summary(loser.conditions)


@pytest.mark.parametrize(
    ("fields", "reason", "words"),
    [
        ({"error": "Redis at x cannot be reached"}, "RedisUnavailable", "cannot be reached"),
        ({"closed": "BooksLost", "lost_proxies": ("edge-b",)}, "BooksLost", "gone with: edge-b"),
        ({"healing": True}, "Healing", "being healed"),
        ({"incarnation": 0, "open": False}, "BooksPending", "not open yet"),
        ({"incarnation": 0, "expired": True}, "BooksExpired", "give it a new epoch"),
    ],
)
def test_why_a_sale_is_not_ready(fields: dict[str, object], reason: str, words: str) -> None:
    sale = Scene().observe(books(**fields))
    condition = sale.condition("Ready")
    assert (condition.status, condition.reason) == ("False", reason)
    assert words in condition.message


def test_a_sale_whose_books_cannot_be_kept_is_not_ready() -> None:
    edge = (
        EDGE
        + """---
apiVersion: sluice.dev/v1alpha1
kind: EdgeConfig
metadata: {name: edge, namespace: default}
spec: {redis: {address: "127.0.0.1:6379", via: Proxy}}
"""
    )
    edge = edge.replace(
        "controllerName: sluice.dev/controller",
        "controllerName: sluice.dev/controller, "
        "parametersRef: {group: sluice.dev, kind: EdgeConfig, name: edge}",
    )
    sale = Scene(f"{edge}---{SALE}  durability: Replicated\n").observe(books())
    found = summary(sale.conditions)
    assert found["BooksUsable"] == "False/CannotWait"
    assert found["Ready"] == "False/BooksUnusable"
    assert sale.condition("Ready").message == sale.condition("BooksUsable").message


def test_a_limit_below_who_is_in_is_told() -> None:
    scene = Scene()
    short = scene.observe(books(admitted=5, limit=3)).condition("StockSufficient")
    assert (short.status, short.reason) == ("False", "StockBelowAdmitted")
    assert "5 users are in, and the limit is 3 (stock or admission.maxPermits)" in short.message
    assert "Raise it to 5" in short.message
    by_hand = scene.observe(books(admitted=5, limit=4, override=4)).condition("StockSufficient")
    assert "sluice sale set-limit" in by_hand.message
    for fine in (books(admitted=3), books(admitted=5, incarnation=0, open=False)):
        assert "StockSufficient" not in summary(scene.observe(fine).conditions)


def test_lost_books_have_a_condition_of_their_own_until_they_are_back() -> None:
    scene = Scene()
    lost = scene.observe(books(closed="BooksLost", lost_proxies=("a", "b", "c", "d")))
    assert summary(lost.conditions)["BooksLost"] == "True/ProxyLost"
    assert "a, b, c and 1 more" in lost.condition("BooksLost").message
    assert "sluice sale restore" in lost.condition("BooksLost").message
    assert "BooksLost" not in summary(scene.observe(books()).conditions)


def test_times_are_those_of_transitions() -> None:
    scene = Scene()
    first = scene.observe(books()).condition("Ready").last_transition_time
    scene.now += timedelta(minutes=1)
    assert scene.observe(books(admitted=2)).condition("Ready").last_transition_time == first
    assert scene.observe(books(admitted=2)).condition("Ready").message == "1 left"
    scene.now += timedelta(minutes=1)
    lost = scene.observe(books(error="away")).condition("Ready").last_transition_time
    assert lost == scene.now
    parts = scene.tracker.status.of_kind("Gateway")[0].parts
    assert {one.last_transition_time for part in parts for one in part.conditions} == {first}


@pytest.mark.parametrize(
    ("minutes", "fields", "phase"),
    [
        (-1, {}, SalePhase.SCHEDULED),
        (0, {}, SalePhase.OPEN),
        (30, {"admitted": 3}, SalePhase.SOLD_OUT),
        (30, {"admitted": 5}, SalePhase.SOLD_OUT),
        (30, {"admitted": 3, "limit": 4}, SalePhase.OPEN),
        (30, {"suspended": True}, SalePhase.SUSPENDED),
        (60, {}, SalePhase.ENDED),
        (60, {"suspended": True}, SalePhase.ENDED),
        (-1, {"clock_offset_ms": 61_000}, SalePhase.OPEN),
    ],
)
def test_the_state_of_a_sale(minutes: int, fields: dict[str, object], phase: SalePhase) -> None:
    scene = Scene()
    scene.now = START + timedelta(minutes=minutes)
    assert scene.observe(books(**fields)).sale.state is phase


def test_suspended_by_its_manifest() -> None:
    scene = Scene(f"{EDGE}---{SALE}  suspend: true\n")
    assert scene.observe(books()).sale.state is SalePhase.SUSPENDED


def test_the_next_change_is_known_in_advance() -> None:
    scene = Scene()
    scene.observe(books())
    assert scene.tracker.seconds_to_next_change(scene.facts) == 3600
    scene.now = START + timedelta(minutes=59)
    assert scene.tracker.seconds_to_next_change(scene.facts) == 60
    scene.now = START + timedelta(hours=2)
    assert scene.tracker.seconds_to_next_change(scene.facts) is None


def test_the_json_is_what_scripts_rely_on() -> None:
    found = Scene().observe(books(admitted=1, override=3)).as_json()
    assert found["kind"] == "FlashSale"
    assert (found["namespace"], found["name"]) == ("shop", "laptop")
    assert (found["admitted"], found["remaining"], found["limit"]) == (1, 2, 3)
    assert (found["state"], found["limitByHand"]) == ("Scheduled", 3)
    assert found["proxies"] == {"programmed": 2, "total": 2}
    assert found["startTime"] == "2027-01-10T12:00:00Z"
    assert found["conditions"][0].keys() == {
        "type",
        "status",
        "reason",
        "message",
        "observedGeneration",
        "lastTransitionTime",
    }
