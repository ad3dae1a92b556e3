"""Statuses in the shapes of their kinds, made from what is known and what stands there."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from controlplane import translate
from controlplane.model import Condition, Inventory, ObjectRef
from controlplane.sources.standings import Standing, Standings
from controlplane.status.objects import (
    OUR_CONDITIONS,
    ObjectStatus,
    Proxies,
    SalePhase,
    SaleStatus,
)
from controlplane.status.shapes import (
    Known,
    body,
    differs,
    leftovers,
    numbers_only,
)

NOW = datetime(2027, 1, 10, 12, tzinfo=UTC)
EARLIER = "2026-01-01T00:00:00Z"
REF = ObjectRef("FlashSale", "shop", "laptop")
ACCEPTED = Condition("Accepted", "True", "Accepted", "", 2, NOW)
STATUS = ObjectStatus(
    REF,
    2,
    (ACCEPTED,),
    proxies=Proxies(2, 3),
    sale=SaleStatus(SalePhase.OPEN, admitted=4, remaining=6, incarnation=1),
    uid="u",
)


def known(status: ObjectStatus | None = STATUS, generation: int = 2, **said: Any) -> Known:
    standing = Standing("u", "7", generation, said)
    return Known(standing=standing, inventory=Inventory(), now=NOW, status=status)


def made(one: Known) -> dict[str, Any]:
    found = body("FlashSale", one)
    assert found is not None
    return found


def condition(status: str, generation: int = 1, kind: str = "Accepted") -> dict[str, Any]:
    return {
        "type": kind,
        "status": status,
        "reason": "Accepted",
        "message": "",
        "observedGeneration": generation,
        "lastTransitionTime": EARLIER,
    }


def test_a_sale() -> None:
    assert made(known()) == {
        "conditions": [ACCEPTED.as_json()],
        "state": "Open",
        "admitted": 4,
        "remaining": 6,
        "proxies": {"programmed": 2, "total": 3, "summary": "2/3"},
    }


@pytest.mark.parametrize(("status", "time"), [("True", EARLIER), ("False", "2027-01-10T12:00:00Z")])
def test_a_transition_time_moves_only_with_the_status(status: str, time: str) -> None:
    [accepted] = made(known(conditions=[condition(status)]))["conditions"]
    assert accepted["lastTransitionTime"] == time
    assert accepted["observedGeneration"] == 2


LIVE = ("Programmed", "Ready")
STANDING = [condition("True", kind=kind) for kind in LIVE]


def alive(reason: str = "NoProxies") -> ObjectStatus:
    said = (Condition(kind, "False", reason, "new", 2, NOW) for kind in LIVE)
    return replace(STATUS, conditions=(ACCEPTED, *said))


def test_what_stands_of_proxies_stays_until_all_had_the_time_to_be_known_of() -> None:
    stood = {"programmed": 3, "total": 3, "summary": "3/3"}
    one = known(alive(), conditions=STANDING, proxies=stood)
    found = made(replace(one, settled=False))
    assert found["conditions"] == [ACCEPTED.as_json(), *STANDING]
    assert found["proxies"] == stood
    assert (found["state"], found["remaining"]) == ("Open", 6)
    after = made(one)
    assert [one["message"] for one in after["conditions"]] == ["", "new", "new"]
    assert after["proxies"]["summary"] == "2/3"


def test_of_what_nothing_stands_nothing_is_said_before() -> None:
    found = made(replace(known(alive()), settled=False))
    assert [one["type"] for one in found["conditions"]] == ["Accepted"]
    assert "proxies" not in found


def test_what_does_not_hang_on_proxies_is_said_at_once() -> None:
    invalid = Condition("Programmed", "False", "Invalid", "it is not accepted", 2, NOW)
    one = known(replace(STATUS, conditions=(ACCEPTED, invalid)), conditions=STANDING[:1])
    found = made(replace(one, settled=False))["conditions"]
    assert [one["reason"] for one in found] == ["Accepted", "Invalid"]


def test_what_is_said_of_a_newer_generation_stays() -> None:
    newer = condition("False", generation=3)
    assert made(known(generation=3, conditions=[newer]))["conditions"] == [newer]
    # But not what is said of a generation that there never was.
    [accepted] = made(known(generation=2, conditions=[newer]))["conditions"]
    assert accepted["status"] == "True"


def test_a_control_plane_that_knows_no_books_keeps_their_numbers() -> None:
    sale = SaleStatus(SalePhase.OPEN, admitted=0, remaining=10)
    found = made(known(replace(STATUS, sale=sale), state="SoldOut", admitted=10, remaining=0))
    assert (found["state"], found["admitted"], found["remaining"]) == ("SoldOut", 10, 0)
    found = made(known(replace(STATUS, sale=sale)))
    assert (found["state"], found["admitted"], found["remaining"]) == ("Open", 0, 10)


def test_what_stands_there_of_books_stays_until_they_are_known() -> None:
    lost = condition("True", kind="BooksLost")
    unknown = SaleStatus(SalePhase.OPEN, remaining=10)
    kept = made(known(replace(STATUS, sale=unknown), conditions=[lost]))["conditions"]
    assert kept == [ACCEPTED.as_json(), lost]
    assert made(known(conditions=[lost]))["conditions"] == [ACCEPTED.as_json()]
    refused = replace(STATUS, sale=unknown, conditions=(replace(ACCEPTED, status="False"),))
    [accepted] = made(known(refused, conditions=[lost]))["conditions"]
    assert accepted["type"] == "Accepted"


def test_what_cannot_be_read_is_not_accepted() -> None:
    unread = replace(known(None, generation=3), invalid=("spec.stock: is odd",))
    [accepted] = made(unread)["conditions"]
    assert (accepted["status"], accepted["reason"]) == ("False", "Invalid")
    assert accepted["observedGeneration"] == 3
    assert body("FlashSale", known(None)) is None
    kept = made(replace(known(generation=3), invalid=("spec.stock: is odd",)))
    assert kept["conditions"][0]["reason"] == "Invalid"
    assert kept["admitted"] == 4


def test_what_stands_there_is_not_written() -> None:
    wanted = made(known())
    foreign = condition("True", kind="example.com/Audited")
    stands = {**wanted, "conditions": [foreign, *wanted["conditions"]], "other": 1}
    assert not differs(wanted, stands)
    assert not leftovers(wanted, stands)
    assert differs(wanted, {**stands, "admitted": 5})
    assert differs(wanted, {**stands, "conditions": [foreign]})
    stale = condition("True", kind="BooksLost")
    assert leftovers(wanted, {**stands, "conditions": [*stands["conditions"], stale]})


def served(version: str, uid: str = "u") -> dict[str, Any]:
    return {"metadata": {"uid": uid, "resourceVersion": version}, "status": {"of": version}}


def test_numbers_are_told_from_transitions() -> None:
    one = known()
    stands = made(one)
    for other, numbers in (
        ({"admitted": 3, "remaining": 7}, True),
        ({"proxies": {"programmed": 1, "total": 3, "summary": "1/3"}}, True),
        ({"conditions": [{**stands["conditions"][0], "message": "other words"}]}, True),
        ({"conditions": [{**stands["conditions"][0], "reason": "Other"}]}, False),
        ({"conditions": [{**stands["conditions"][0], "observedGeneration": 1}]}, False),
        ({"conditions": [*stands["conditions"], condition("True", kind="Ready")]}, False),
        ({"state": "Scheduled"}, False),
    ):
        said = {**stands, **other}
        assert differs(stands, said) or leftovers(stands, said), other
        assert numbers_only(stands, said) == numbers, other


def test_an_older_standing_never_takes_the_place_of_a_newer_one() -> None:
    standings, told = Standings(), list[ObjectRef]()
    standings.on_change(told.append)
    standings.see(REF, served("9"))
    standings.see(REF, served("10"))
    standings.see(REF, served("9"))  # the watch, behind the answer to a write
    found = standings.get(REF)
    assert found is not None
    assert found.version == "10"
    assert len(told) == 2
    standings.see(REF, served("3", uid="another"))
    standings.forget(REF)
    standings.wrote(REF, served("11"))  # an answer that comes after the end of the object
    assert standings.get(REF) is None


def test_addresses_come_from_services_that_name_the_gateway() -> None:
    standings, told = Standings(), list[ObjectRef]()
    standings.on_change(told.append)
    labels = {"gateway.networking.k8s.io/gateway-name": "edge"}
    service: dict[str, Any] = {
        "metadata": {"labels": labels},
        "spec": {"type": "LoadBalancer", "clusterIP": "10.0.0.1"},
    }
    standings.see_service("shop", "edge", service)
    assert standings.addresses("shop", "edge") == ()
    ingress = [{"ip": "192.0.2.1"}, {"hostname": "edge.example.com"}]
    standings.see_service(
        "shop", "edge", {**service, "status": {"loadBalancer": {"ingress": ingress}}}
    )
    assert [one["value"] for one in standings.addresses("shop", "edge")] == [
        "192.0.2.1",
        "edge.example.com",
    ]
    assert set(told) == {ObjectRef("Gateway", "shop", "edge")}
    standings.see_service("shop", "edge", None)
    assert standings.addresses("shop", "edge") == ()


def test_only_at_home_a_service_may_lead_to_a_gateway_elsewhere() -> None:
    standings, told = Standings("sluice-system"), list[ObjectRef]()
    standings.on_change(told.append)
    names = ("gateway.networking.k8s.io/gateway-name", "sluice.dev/gateway-namespace")
    labels = dict(zip(names, ("edge", "shop"), strict=True))
    service = {"metadata": {"labels": labels}, "spec": {"clusterIP": "10.0.0.1"}}
    standings.see_service("mallory", "edge", service)
    assert standings.addresses("shop", "edge") == ()
    standings.see_service("sluice-system", "edge", service)
    assert [one["value"] for one in standings.addresses("shop", "edge")] == ["10.0.0.1"]
    assert told[-1] == ObjectRef("Gateway", "shop", "edge")


def test_all_conditions_that_a_translation_finds_are_ours_to_take_back() -> None:
    folder = Path(translate.__file__).parent
    texts = [path.read_text() for path in folder.glob("*.py")]
    found = {kind for text in texts for kind in re.findall(r"\b(?:yes|no)\(\s*\"(\w+)\"", text)}
    assert {"Accepted", "CountersShared"} <= found
    assert found <= OUR_CONDITIONS
