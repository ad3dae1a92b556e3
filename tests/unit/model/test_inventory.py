"""An inventory is an index that shares what did not change."""

from __future__ import annotations

from controlplane.model import EdgeConfig, FlashSale, Inventory, ObjectMeta, ObjectRef, Service
from tests.unit.model.sales import sale


def edge(name: str, namespace: str = "default") -> EdgeConfig:
    return EdgeConfig(metadata=ObjectMeta(name=name, namespace=namespace))


def test_an_empty_inventory_has_nothing() -> None:
    inventory = Inventory.build()

    assert len(inventory) == 0
    assert inventory.objects == ()
    assert inventory.all(FlashSale) == ()
    assert inventory.get(FlashSale, "shop", "laptop") is None


def test_objects_are_found_by_kind_namespace_and_name() -> None:
    laptop, config = sale(), edge("edge", "shop")
    inventory = Inventory.build([laptop, config])

    assert inventory.get(FlashSale, "shop", "laptop") is laptop
    assert inventory.get(EdgeConfig, "shop", "edge") is config
    assert inventory.get(EdgeConfig, "shop", "laptop") is None
    assert inventory.find(ObjectRef("FlashSale", "shop", "laptop")) is laptop
    assert laptop.ref in inventory
    assert ObjectRef("Service", "shop", "laptop") not in inventory


def test_the_order_does_not_depend_on_how_objects_came() -> None:
    objects = [edge("b", "x"), edge("a", "y"), edge("a", "x"), sale()]
    forth, back = Inventory.build(objects), Inventory.build(reversed(objects))

    assert [str(item.ref) for item in forth.objects] == [
        "EdgeConfig x/a",
        "EdgeConfig x/b",
        "EdgeConfig y/a",
        "FlashSale shop/laptop",
    ]
    assert forth == back
    assert forth.all(EdgeConfig) == back.all(EdgeConfig)


def test_a_replaced_object_leaves_the_old_inventory_alone() -> None:
    old = Inventory.build([sale(), edge("edge")])
    new = old.with_(sale(stock=9))

    assert [item.limit for item in old.all(FlashSale)] == [3]
    assert [item.limit for item in new.all(FlashSale)] == [9]
    assert new.all(EdgeConfig)[0] is old.all(EdgeConfig)[0]


def test_objects_are_taken_out() -> None:
    full = Inventory.build([sale(), edge("a"), edge("b")])
    less = full.without_(ObjectRef("EdgeConfig", "default", "a"), ObjectRef("Service", "x", "y"))

    assert [item.name for item in less.all(EdgeConfig)] == ["b"]
    assert len(full) == 3
    assert less.without_(*(item.ref for item in less.objects)) == Inventory.build()
    assert less.all(Service) == ()
