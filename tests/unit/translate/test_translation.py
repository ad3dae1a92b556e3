from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, strategies as st

from controlplane.model import FlashSale, HTTPRoute, Inventory, ObjectRef
from controlplane.translate import CodeRef, Fragments, Translation, translate
from controlplane.xds import kinds
from tests.contract.envoy.golden import CASES, OPTIONS
from tests.contract.envoy.manifests import (
    gateway,
    listener,
    match,
    quota,
    route,
    sale,
    service,
    text,
    to,
)
from tests.contract.envoy.proxy import GATEWAY, inventory

if TYPE_CHECKING:
    from collections.abc import Mapping

    from controlplane.model import Resource
    from controlplane.xds.snapshot import Snapshot

ALL = {path.stem: path.read_text() for path in sorted(CASES.glob("*.yaml"))}


def changed(before: Translation, after: Translation) -> Mapping[str, frozenset[str]]:
    return after.snapshots[GATEWAY].changes_since(before.snapshots[GATEWAY])


def content(snapshot: Snapshot) -> dict[tuple[str, str], bytes]:
    return {
        (url, name): resource.body
        for url, named in snapshot.resources.items()
        for name, resource in named.items()
    }


def manifests(**edited: Any) -> str:
    wanted = {"stock": 1, "origin": 8000, "path": "/buy", **edited}
    limit = {"name": "all", "requests": 10, "per": "1m"}
    limit |= {key: value for key, value in edited.items() if key in {"requests", "mode", "cost"}}
    return text(
        gateway(listener(80)),
        route(
            "r",
            {"name": "buy", "matches": [match(wanted["path"])], "backendRefs": [to("a")]},
            {"backendRefs": [to("b")]},
        ),
        route("free", {"matches": [match("/free")], "backendRefs": [to("b")]}),
        service("a", wanted["origin"]),
        service("b", 9000),
        sale("laptop", [{"name": "r", "sectionName": "buy"}], stock=wanted["stock"]),
        sale(
            "phone",
            [{"name": "free"}],
            **{key: value for key, value in edited.items() if key in {"pass", "suspend"}},
        ),
        quota("limits", [{"kind": "Gateway", "name": "edge"}, {"name": "free"}], limit),
    )


@pytest.mark.parametrize(
    ("edited", "resources"),
    [
        ({"stock": 2}, {}),
        ({"suspend": True}, {kinds.EXTENSION: {"sluice.flash-sale"}}),
        ({"pass": {}}, {kinds.EXTENSION: {"sluice.flash-sale"}}),
        ({"origin": 8001}, {kinds.ENDPOINTS: {"svc/shop/a/80"}}),
        ({"path": "/sell"}, {kinds.ROUTES: {"routes-80"}}),
        ({"requests": 20}, {kinds.EXTENSION: {"sluice.quota"}}),
        ({"mode": "Shadow"}, {kinds.EXTENSION: {"sluice.quota"}}),
        ({"cost": {"number": 3}}, {kinds.EXTENSION: {"sluice.quota"}}),
    ],
)
def test_an_edit_changes_what_it_must_and_nothing_else(
    edited: dict[str, Any], resources: dict[str, set[str]]
) -> None:
    fragments = Fragments()
    before = translate(inventory(manifests()), OPTIONS, fragments)
    # The objects are read anew: equal ones must count as the same.
    after = translate(inventory(manifests(**edited)), OPTIONS, fragments)
    assert changed(before, after) == resources
    fresh = translate(inventory(manifests(**edited)), OPTIONS)
    assert content(after.snapshots[GATEWAY]) == content(fresh.snapshots[GATEWAY])


def test_a_stock_lives_in_the_books_and_in_no_proxy() -> None:
    (before, _), (after, _) = (
        translate(inventory(manifests(stock=stock)), OPTIONS).sales for stock in (1, 2)
    )
    assert (before.limit, after.limit) == (1, 2)


@pytest.mark.parametrize(
    ("edited", "made"),
    [
        ({}, 0),
        ({"suspend": True}, 1),
        ({"origin": 8001}, 1),
        ({"path": "/sell"}, 4),
        ({"requests": 20}, 2),
    ],
)
def test_only_what_changed_is_encoded_again(edited: dict[str, Any], made: int) -> None:
    fragments = Fragments()
    translate(inventory(manifests()), OPTIONS, fragments)
    assert fragments.made > 10
    translate(inventory(manifests(**edited)), OPTIONS, fragments)
    # A path: the route's fields, its rule, its virtual host, and the table that holds them.
    # A limit: the filter's parameters, and the extension that holds them.
    assert fragments.made == made


def test_fragments_hold_what_the_last_translation_used() -> None:
    fragments = Fragments()
    translate(inventory(manifests()), OPTIONS, fragments)
    full = len(fragments)
    translate(inventory(text(gateway(listener(80)))), OPTIONS, fragments)
    few = len(fragments)
    assert few < full
    translate(inventory(""), OPTIONS, fragments)
    assert len(fragments) == 0


def test_a_translation_that_fails_leaves_the_fragments_as_they_were() -> None:
    fragments = Fragments()
    translate(inventory(manifests()), OPTIONS, fragments)
    full = len(fragments)
    with pytest.raises(LookupError), fragments.round():
        raise LookupError
    assert len(fragments) == full


@given(st.sampled_from(sorted(ALL)), st.randoms(use_true_random=False))
def test_the_order_of_objects_does_not_matter(case: str, chance: Any) -> None:
    objects: list[Resource] = list(inventory(ALL[case]).objects)
    expected = translate(Inventory.build(objects), OPTIONS)
    chance.shuffle(objects)
    found = translate(Inventory.build(objects), OPTIONS)
    assert content(found.snapshots[GATEWAY]) == content(expected.snapshots[GATEWAY])
    assert found.report == expected.report
    assert found.sales == expected.sales
    assert found.quotas == expected.quotas


@given(st.lists(st.sampled_from([*sorted(ALL), ""]), min_size=1, max_size=6))
def test_what_came_before_does_not_matter(cases: list[str]) -> None:
    fragments = Fragments()
    for case in cases:
        objects = inventory(ALL.get(case, ""))
        kept = translate(objects, OPTIONS, fragments)
        fresh = translate(objects, OPTIONS)
        assert kept.report == fresh.report
        assert {key: content(one) for key, one in kept.snapshots.items()} == {
            key: content(one) for key, one in fresh.snapshots.items()
        }


def test_new_code_is_rolled_out_as_one_extension() -> None:
    objects = inventory(manifests())
    code = replace(OPTIONS.filters, flash_sale=CodeRef("f2" * 32, "/opt/new.wasm"))
    before = translate(objects, OPTIONS)
    after = translate(objects, replace(OPTIONS, filters=code))
    assert changed(before, after) == {kinds.EXTENSION: {"sluice.flash-sale"}}
    slower = translate(objects, replace(OPTIONS, poll_ms=900))
    assert changed(before, slower) == {kinds.EXTENSION: {"sluice.flash-sale"}}
    code = replace(OPTIONS.filters, quota=CodeRef("a2" * 32, "/opt/new.wasm"))
    after = translate(objects, replace(OPTIONS, filters=code))
    assert changed(before, after) == {kinds.EXTENSION: {"sluice.quota"}}


def test_neither_date_nor_workers_change_what_does_not_go_by_them() -> None:
    objects = inventory(manifests())
    before = translate(objects, OPTIONS)
    options = replace(OPTIONS, today=OPTIONS.today + timedelta(days=1), workers=64)
    assert changed(before, translate(objects, options)) == {}
    calendar = inventory(ALL["quotas"]).with_(
        *inventory(
            text(
                quota(
                    "days",
                    [{"kind": "Gateway", "name": "edge"}],
                    {"name": "a", "algorithm": "Calendar", "requests": 1, "unit": "Day"},
                )
            )
        ).objects
    )
    before = translate(calendar, OPTIONS)
    assert changed(before, translate(calendar, options)) == {kinds.EXTENSION: {"sluice.quota"}}


def test_every_resource_has_owners_and_leads_back_to_them() -> None:
    found = translate(inventory(manifests()), OPTIONS)
    keys = {(GATEWAY, url, name) for url, name in content(found.snapshots[GATEWAY])}
    assert found.report.owners.keys() == keys
    assert all(found.report.owners.values())
    sale_ref = ObjectRef("FlashSale", "shop", "laptop")
    assert {key[1:] for key in found.report.resources(sale_ref)} == {
        (kinds.EXTENSION, "sluice.flash-sale"),
        (kinds.ROUTES, "routes-80"),
    }
    route_ref = ObjectRef("HTTPRoute", "shop", "r")
    assert {key[2] for key in found.report.resources(route_ref)} == {
        "routes-80",
        "svc/shop/a/80",
        "svc/shop/b/80",
    }
    assert found.report.resources(ObjectRef("HTTPRoute", "shop", "gone")) == ()


def test_two_gateways_get_what_is_theirs() -> None:
    second = gateway(listener(81))
    second["metadata"]["name"] = "second"
    parents = [{"name": "edge"}, {"name": "second"}]
    documents = text(
        gateway(listener(80)),
        second,
        route("both", {"name": "buy", "backendRefs": [to("a")]}, parents=parents),
        route("one", {"backendRefs": [to("b")]}, parents=parents[1:]),
        service("a", 8000),
        service("b", 9000),
        sale("laptop", [{"name": "both"}]),
    )
    found = translate(inventory(documents), OPTIONS)
    clusters = {
        key: [name for name in one.of_type(kinds.CLUSTER) if name.startswith("svc/")]
        for key, one in found.snapshots.items()
    }
    assert clusters == {
        "shop/edge": ["svc/shop/a/80"],
        "shop/second": ["svc/shop/a/80", "svc/shop/b/80"],
    }
    assert found.sales[0].gateways == ("shop/edge", "shop/second")


def test_a_field_without_effect_is_told_and_harms_nothing() -> None:
    rule = {"backendRefs": [to("a")], "retry": {"attempts": 3}, "sessionPersistence": {}}
    documents = text(gateway(listener(80)), route("r", rule), service("a", 1))
    report = translate(inventory(documents), OPTIONS).report
    assert [(found.field, found.severity) for found in report.problems] == [
        ("spec.rules[0].retry", "warning"),
        ("spec.rules[0].sessionPersistence", "warning"),
    ]
    assert str(report.problems[0]).startswith("HTTPRoute shop/r: spec.rules[0].retry: is legal")


def test_the_older_of_two_equal_routes_goes_first() -> None:
    def order(*ages: str) -> list[str]:
        routes = [
            route(name, {}, creationTimestamp=f"2026-01-{age}T00:00:00Z")
            if age
            else route(name, {})
            for name, age in zip(("a", "b"), ages, strict=True)
        ]
        found = translate(inventory(text(gateway(listener(80)), *routes)), OPTIONS)
        table = found.snapshots[GATEWAY].get(kinds.ROUTES, "routes-80")
        assert table is not None
        names = ("a", "b")
        return sorted(names, key=lambda name: table.body.index(f"httproute/shop/{name}/0".encode()))

    assert order("02", "01") == ["b", "a"]
    assert order("01", "02") == ["a", "b"]
    assert order("", "02") == ["b", "a"]
    assert order("", "") == ["a", "b"]


def test_objects_that_are_replaced_are_seen() -> None:
    before = inventory(manifests())
    found = before.get(FlashSale, "shop", "phone")
    assert found is not None
    fragments = Fragments()
    first = translate(before, OPTIONS, fragments)
    edited = found.model_copy(update={"spec": found.spec.model_copy(update={"suspend": True})})
    second = translate(before.with_(edited), OPTIONS, fragments)
    assert changed(first, second) == {kinds.EXTENSION: {"sluice.flash-sale"}}
    assert before.get(HTTPRoute, "shop", "r") is not None
