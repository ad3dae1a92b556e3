"""What is done about a sale's targets, and when: before, during and after the rush."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.scaling.world import API, WEB, World, minutes


def test_up_with_the_lead_and_back_after_the_cooldown(world: World) -> None:
    sale = world.wants("laptop", {WEB: 20})
    world.run()
    assert (world.value(), world.condition(sale)) == (3, "False/Scheduled")
    world.now = minutes(-15)
    world.run()
    assert (world.value(), world.condition(sale)) == (20, "True/Scaled")
    assert world.sales[sale].guarded
    world.now = minutes(14.9)
    world.run()
    assert world.value() == 20
    world.now = minutes(15)
    world.run()
    assert (world.value(), world.condition(sale)) == (3, "False/ScaledBack")
    assert not world.sales[sale].guarded
    assert world.changes == [(WEB, 20), (WEB, 3)]
    assert world.reasons() == ["ScaledUp", "ScaledBack"]


@pytest.mark.parametrize(
    ("scaling", "active"),
    [
        ({}, (-15, 15)),
        ({"leadTime": "0s", "cooldown": "0s"}, (0, 10)),
        ({"leadTime": "1h"}, (-60, 15)),
        ({"cooldown": "1h"}, (-15, 70)),
    ],
)
def test_the_borders(world: World, scaling: dict[str, str], active: tuple[float, float]) -> None:
    first, end = active
    sale = world.wants("laptop", {WEB: 20}, **scaling)
    for at, expected in ((first - 0.01, False), (first, True), (end - 0.01, True), (end, False)):
        world.now = minutes(at)
        assert world.sales[sale].active(world.now) is expected
    world.now = minutes(first - 1)
    assert world.sales[sale].next_border(world.now) == minutes(first)
    world.now = minutes(first)
    assert world.sales[sale].next_border(world.now) == minutes(end)
    world.now = minutes(end)
    assert world.sales[sale].next_border(world.now) is None


def test_a_rush_that_began_while_nobody_was_there(world: World) -> None:
    sale = world.wants("laptop", {WEB: 20})
    world.now = minutes(3)
    world.run()
    assert (world.value(), world.phase(sale)) == (20, "Scaled")


def test_a_rush_that_was_missed(world: World) -> None:
    sale = world.wants("laptop", {WEB: 20})
    world.now = minutes(60)
    world.run()
    assert (world.changes, world.condition(sale)) == ([], "False/Ended")


def test_nothing_is_written_twice(world: World) -> None:
    world.wants("laptop", {WEB: 20})
    world.now = minutes(0)
    world.run()
    writes = world.writes
    world.now = minutes(1)
    world.run()
    assert world.writes == writes


def test_never_down_below_what_it_has(world: World) -> None:
    sale = world.wants("laptop", {WEB: 2})
    world.now = minutes(0)
    world.run()
    assert (world.phase(sale), world.condition(sale)) == ("Enough", "True/Scaled")
    world.now = minutes(60)
    world.run()
    assert world.changes == []
    assert not world.sales[sale].guarded


def test_what_somebody_sets_meanwhile_stays(world: World) -> None:
    sale = world.wants("laptop", {WEB: 20})
    world.now = minutes(0)
    world.run()
    world.has(WEB, 7)
    world.run()
    assert (world.value(), world.phase(sale)) == (7, "Overridden")
    assert world.condition(sale) == "False/Overridden"
    assert not world.sales[sale].guarded
    world.now = minutes(60)
    world.run()
    assert world.value() == 7
    assert world.reasons() == ["ScaledUp", "ScalingOverridden"]


def test_what_somebody_sets_after_the_rush_stays(world: World) -> None:
    world.wants("laptop", {WEB: 20})
    world.now = minutes(0)
    world.run()
    world.has(WEB, 7)
    world.now = minutes(60)
    world.run()
    assert world.value() == 7
    assert world.reasons() == ["ScaledUp", "ScalingOverridden"]


def test_a_new_number_is_a_new_wish(world: World) -> None:
    sale = world.wants("laptop", {WEB: 20})
    world.now = minutes(0)
    world.run()
    world.wants("laptop", {WEB: 40})
    world.run()
    assert world.value() == 40
    world.wants("laptop", {WEB: 10})
    world.run()
    assert world.value() == 10
    world.wants("laptop", {WEB: 1})
    world.run()
    assert world.value() == 3
    world.now = minutes(60)
    world.run()
    assert (world.value(), world.phase(sale)) == (3, "ScaledBack")


def test_a_target_that_is_no_more_named(world: World) -> None:
    world.has(API, 2)
    sale = world.wants("laptop", {WEB: 20, API: 9})
    world.now = minutes(0)
    world.run()
    assert (world.value(WEB), world.value(API)) == (20, 9)
    world.wants("laptop", {WEB: 20})
    world.run()
    assert (world.value(WEB), world.value(API)) == (20, 2)
    assert world.phase(sale, API) == ""
    world.wants("laptop", {})
    world.run()
    assert (world.value(), world.sales[sale].said, world.sales[sale].guarded) == (3, {}, False)


def test_a_schedule_that_is_put_off(world: World) -> None:
    sale = world.wants("laptop", {WEB: 20})
    world.now = minutes(20)
    world.wants("laptop", {WEB: 20}, end=30)
    world.run()
    assert world.value() == 20
    world.wants("laptop", {WEB: 20}, end=10)
    world.run()
    assert world.value() == 3
    world.wants("laptop", {WEB: 20}, end=60)
    world.run()
    assert (world.value(), world.phase(sale)) == (20, "Scaled")


def test_a_clock_that_goes_back_begins_no_second_rush(world: World) -> None:
    world.wants("laptop", {WEB: 20})
    world.now = minutes(0)
    world.run()
    world.now = minutes(15)
    world.run()
    world.now = minutes(14)
    world.run()
    assert world.changes == [(WEB, 20), (WEB, 3)]


@pytest.mark.parametrize("guarded", [True, False])
def test_a_sale_that_is_deleted(world: World, *, guarded: bool) -> None:
    sale = world.wants("laptop", {WEB: 20})
    world.now = minutes(0 if guarded else -30)
    world.run()
    world.deletes(sale)
    world.run()
    assert (world.value(), world.sales) == (3, {})


def test_a_sale_that_cannot_be_read_holds_what_it_has(world: World) -> None:
    sale = world.wants("laptop", {WEB: 20})
    world.now = minutes(0)
    world.run()
    writes = world.writes
    world.sales[sale] = replace(world.sales[sale], spec=None)
    world.now = minutes(60)
    world.run()
    assert (world.value(), world.writes) == (20, writes)
    world.deletes(sale)
    world.run()
    assert (world.value(), world.sales) == (3, {})


# ------------------------------------------------------------------------------------ no end
def test_without_an_end_it_goes_by_being_sold_out(world: World) -> None:
    sale = world.wants("laptop", {WEB: 20}, end=None)
    world.now = minutes(0)
    world.run()
    world.now = minutes(600)
    world.run()
    assert world.value() == 20
    world.is_in(sale, "SoldOut")
    world.run()
    world.now = minutes(604)
    world.run()
    assert world.value() == 20
    world.is_in(sale, "Open")  # units came back
    world.run()
    world.is_in(sale, "SoldOut")
    world.run()
    world.now = minutes(608.9)
    world.run()
    assert world.value() == 20
    world.now = minutes(609)
    world.run()
    assert world.value() == 3
    world.is_in(sale, "Open")
    world.run()
    assert (world.value(), world.condition(sale)) == (3, "False/ScaledBack")
