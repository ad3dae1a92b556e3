"""Several sales want one target: the highest wins, and the last one puts back."""

from __future__ import annotations

from tests.unit.scaling.world import WEB, World, minutes


def test_the_highest_of_two_wins_and_the_last_puts_back(world: World) -> None:
    first = world.wants("laptop", {WEB: 20})
    world.now = minutes(0)
    world.run()
    second = world.wants("phone", {WEB: 30}, end=60)
    world.run()
    assert world.value() == 30
    assert world.sales[second].recorded.records[WEB].before == 3
    world.now = minutes(20)
    world.run()
    assert (world.value(), world.phase(first)) == (30, "ScaledBack")
    world.now = minutes(65)
    world.run()
    assert (world.value(), world.phase(second)) == (3, "ScaledBack")
    assert world.changes == [(WEB, 20), (WEB, 30), (WEB, 3)]


def test_the_higher_of_two_ends_first(world: World) -> None:
    world.wants("laptop", {WEB: 30})
    world.wants("phone", {WEB: 20}, end=60)
    world.now = minutes(0)
    world.run()
    assert world.value() == 30
    world.now = minutes(20)
    world.run()
    assert world.value() == 20
    world.now = minutes(65)
    world.run()
    assert world.value() == 3


def test_a_lower_wish_has_a_say_later(world: World) -> None:
    world.wants("laptop", {WEB: 20})
    world.now = minutes(0)
    world.run()
    world.wants("phone", {WEB: 10}, end=60)
    world.run()
    assert world.value() == 20
    world.now = minutes(20)
    world.run()
    assert world.value() == 10
    world.now = minutes(65)
    world.run()
    assert world.value() == 3


def test_an_edit_frees_all_sales_at_once(world: World) -> None:
    first, second = world.wants("laptop", {WEB: 20}), world.wants("phone", {WEB: 30})
    world.now = minutes(0)
    world.run()
    world.has(WEB, 5)
    world.run()
    assert (world.phase(first), world.phase(second)) == ("Overridden", "Overridden")
    world.wants("watch", {WEB: 9})
    world.run()
    assert world.value() == 9
    world.now = minutes(60)
    world.run()
    assert world.value() == 5
