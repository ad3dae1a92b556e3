"""What is done about a sale's targets, and when: before, during and after the rush."""

from __future__ import annotations

import pytest

from controlplane.scaling.plan import Obstacles
from controlplane.scaling.targets import Trouble
from tests.unit.scaling.world import API, AUTO, ELSEWHERE, WEB, World, minutes


@pytest.fixture
def world() -> World:
    """Three pods, and a sale that wants twenty."""
    made = World(now=minutes(-60))
    made.has(WEB, 3)
    return made


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
    unreadable = world.sales[sale].__class__
    assert unreadable is not None
    known = world.sales[sale]
    world.sales[sale] = unreadable(
        ref=known.ref, uid=known.uid, guarded=True, recorded=known.recorded, said=known.said
    )
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


# ---------------------------------------------------------------------------- several sales
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


# ------------------------------------------------------------------------------- what is in the way
def test_a_target_that_is_not_there_yet(world: World) -> None:
    sale = world.wants("laptop", {API: 9, WEB: 20})
    world.now = minutes(0)
    world.run()
    assert (world.value(WEB), world.phase(sale, API)) == (20, "Failed")
    assert world.condition(sale) == "False/TargetNotFound"
    assert world.plan().troubled
    world.has(API, 2)
    world.run()
    assert (world.value(API), world.condition(sale)) == (9, "True/Scaled")
    assert world.reasons().count("ScalingFailed") == 1


def test_a_target_that_goes_meanwhile(world: World) -> None:
    sale = world.wants("laptop", {WEB: 20})
    world.now = minutes(0)
    world.run()
    del world.targets[WEB]
    world.run()
    assert world.condition(sale) == "False/TargetNotFound"
    world.now = minutes(60)
    world.run()
    assert (world.phase(sale), world.sales[sale].guarded) == ("ScaledBack", False)


def test_a_target_that_is_made_anew(world: World) -> None:
    world.wants("laptop", {WEB: 20})
    world.now = minutes(0)
    world.run()
    del world.targets[WEB]
    world.has(WEB, 4)
    world.run()
    assert world.value() == 20
    world.now = minutes(60)
    world.run()
    assert world.value() == 4


def test_a_target_that_was_made_anew_after_the_rush(world: World) -> None:
    world.wants("laptop", {WEB: 20})
    world.now = minutes(0)
    world.run()
    del world.targets[WEB]
    world.has(WEB, 20)
    world.now = minutes(60)
    world.run()
    assert world.changes == [(WEB, 20)]


def test_an_autoscaler_needs_room(world: World) -> None:
    world.has(AUTO, 2, most=10)
    sale = world.wants("laptop", {AUTO: 15})
    world.now = minutes(0)
    world.run()
    assert (world.value(AUTO), world.condition(sale)) == (2, "False/ExceedsMaxReplicas")
    world.has(AUTO, 2, most=15)
    world.run()
    assert (world.value(AUTO), world.condition(sale)) == (15, "True/Scaled")
    world.wants("laptop", {AUTO: 16})
    world.run()
    assert (world.value(AUTO), world.condition(sale)) == (15, "False/ExceedsMaxReplicas")
    world.now = minutes(60)
    world.run()
    assert world.value(AUTO) == 2


def test_without_a_grant_nothing_is_touched(world: World) -> None:
    world.has(ELSEWHERE, 2)
    sale = world.wants("laptop", {ELSEWHERE: 9, WEB: 20})
    world.ungranted = {(sale, ELSEWHERE)}
    world.now = minutes(0)
    world.run()
    assert (world.value(WEB), world.value(ELSEWHERE)) == (20, 2)
    assert world.condition(sale) == "False/RefNotPermitted"
    world.ungranted = set()
    world.run()
    assert (world.value(ELSEWHERE), world.condition(sale)) == (9, "True/Scaled")


def test_a_grant_that_is_taken_away(world: World) -> None:
    world.has(ELSEWHERE, 2)
    sale = world.wants("laptop", {ELSEWHERE: 9})
    world.now = minutes(0)
    world.run()
    world.ungranted = {(sale, ELSEWHERE)}
    world.now = minutes(60)
    world.run()
    assert (world.value(ELSEWHERE), world.condition(sale)) == (9, "Unknown/NotScaledBack")
    world.ungranted = set()
    world.run()
    assert world.value(ELSEWHERE) == 2


def test_a_deleted_sale_does_not_wait_for_a_grant(world: World) -> None:
    world.has(ELSEWHERE, 2)
    sale = world.wants("laptop", {ELSEWHERE: 9})
    world.now = minutes(0)
    world.run()
    world.ungranted = {(sale, ELSEWHERE)}
    world.deletes(sale)
    world.run()
    assert (world.value(ELSEWHERE), world.sales) == (9, {})


def test_what_the_server_refuses_is_told_and_tried_again(world: World) -> None:
    world.has(API, 2)
    sale = world.wants("laptop", {WEB: 20, API: 9})
    world.now = minutes(0)
    world.obstacles = Obstacles(targets={WEB: "a webhook says no"})
    world.run()
    assert (world.value(WEB), world.value(API)) == (3, 9)
    assert world.condition(sale) == "False/ScalingFailed"
    assert world.plan().troubled
    # Trying again writes nothing while the answer stays the same.
    world.obstacles = Obstacles()
    assert not world.plan().writes
    assert world.plan().changes
    world.run()
    assert (world.value(WEB), world.condition(sale)) == (20, "True/Scaled")
    world.obstacles = Obstacles(targets={WEB: "a webhook says no"})
    world.now = minutes(60)
    world.run()
    assert (world.value(WEB), world.condition(sale)) == (20, "Unknown/NotScaledBack")
    assert world.sales[sale].guarded
    world.obstacles = Obstacles()
    world.run()
    assert (world.value(WEB), world.condition(sale)) == (3, "False/ScaledBack")


def test_nothing_is_changed_for_a_sale_that_cannot_be_guarded(world: World) -> None:
    sale = world.wants("laptop", {WEB: 20})
    other = world.wants("phone", {WEB: 10})
    world.now = minutes(0)
    world.obstacles = Obstacles(sales={sale: Trouble("Forbidden", "set controlPlane.scaling")})
    world.run()
    assert (world.value(), world.phase(sale), world.phase(other)) == (10, "Failed", "Scaled")
    assert world.condition(sale) == "False/Forbidden"
