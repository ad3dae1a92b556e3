"""What is in the way is told, tried again, and keeps nothing else waiting."""

from __future__ import annotations

from controlplane.scaling.plan import Obstacles
from controlplane.scaling.targets import Trouble
from tests.unit.scaling.world import API, AUTO, ELSEWHERE, WEB, World, minutes


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
