"""Scaling before the rush on a real API server, with the chart's rights and no more."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from controlplane.kube import apply_status
from controlplane.model import FlashSale
from controlplane.sources.api_types import TYPES
from tests.cluster.api_server import ApiServer
from tests.cluster.conftest import make_namespace
from tests.cluster.scaling_plane import UNGUARDED, WITHOUT, Scene, plane, prepare
from tests.testkit.waiting import eventually, holds

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """One API server; each test has a namespace of its own."""
    made = ApiServer(tmp_path_factory.mktemp("api"))

    async def start() -> None:
        await made.start()
        await prepare(made)

    try:
        asyncio.run(start())
        yield made
    finally:
        asyncio.run(made.close())


@pytest.fixture
async def scene(server: ApiServer) -> Scene:
    """A namespace with three pods, an hour before the sale."""
    made = Scene(server, await make_namespace(server))
    await made.deployment()
    return made


async def test_up_with_the_lead_and_back_after_the_cooldown(scene: Scene) -> None:
    await scene.sale()
    async with plane(scene):
        await scene.is_scaled("False/Scheduled")
        assert await scene.changes() == 0
        scene.at(-15)
        await scene.has(20)
        condition = await scene.is_scaled("True/Scaled")
        assert "2026-01-01T00:15:00Z" in condition["message"]
        sale = await scene.call("GET", "FlashSale", "laptop")
        assert sale["metadata"]["finalizers"] == ["sluice.dev/scaling"]
        [target] = sale["status"]["scaling"]["targets"]
        assert (target["before"], target["applied"], target["phase"]) == (3, 20, "Scaled")
        scene.at(15)
        await scene.has(3)
        await scene.is_scaled("False/ScaledBack")
        await scene.is_let_go()
    assert await scene.changes() == 2
    for reason in ("ScaledUp", "ScaledBack"):
        assert len(await scene.events(reason)) == 1, reason


async def test_the_other_status_keeps_its_fields_and_we_ours(scene: Scene) -> None:
    await scene.sale()
    scene.at(0)
    async with plane(scene) as running:
        await scene.is_scaled("True/Scaled")
        theirs = {
            "conditions": [
                {
                    "type": "Accepted",
                    "status": "True",
                    "reason": "Accepted",
                    "message": "",
                    "lastTransitionTime": "2026-01-01T00:00:00Z",
                }
            ],
            "state": "Open",
        }
        obj = await apply_status(
            running.session, TYPES["FlashSale"], (scene.namespace, "laptop"), theirs
        )
        assert {one["type"] for one in obj["status"]["conditions"]} == {"Accepted", "Scaled"}
        await scene.edit("FlashSale", "laptop", scaling=None)
        await scene.has(3)

        async def ours_is_gone() -> None:
            status = (await scene.call("GET", "FlashSale", "laptop"))["status"]
            assert [one["type"] for one in status["conditions"]] == ["Accepted"]
            assert (status["state"], status.get("scaling")) == ("Open", None)

        await holds(ours_is_gone, deadline=60)
        await scene.is_let_go()


async def test_a_rush_that_began_while_it_was_down(scene: Scene) -> None:
    await scene.sale()
    scene.at(3)
    async with plane(scene):
        await scene.is_scaled("True/Scaled")
    scene.at(60)
    async with plane(scene):
        await scene.is_scaled("False/ScaledBack")
    assert (await scene.replicas(), await scene.changes()) == (3, 2)


@pytest.mark.parametrize("lives", range(4))
@pytest.mark.parametrize("answered", [True, False], ids=["unsent", "unanswered"])
async def test_killed_at_any_write(scene: Scene, lives: int, *, answered: bool) -> None:
    """Guard, record, change, record; say so, change, record, let go: the next one goes on."""
    await scene.sale()
    scene.at(0)
    async with plane(scene, lives=lives, answered=answered) as first:
        await first.dies()
    async with plane(scene):
        await scene.is_scaled("True/Scaled")
        assert (await scene.replicas(), await scene.changes()) == (20, 1)
    scene.at(60)
    async with plane(scene, lives=lives, answered=answered) as second:
        await second.dies()
    async with plane(scene):
        await scene.is_scaled("False/ScaledBack")
        await scene.is_let_go()
    assert (await scene.replicas(), await scene.changes()) == (3, 2)


async def test_a_user_acts_between_record_and_change(scene: Scene) -> None:
    await scene.sale()
    scene.at(0)
    async with plane(scene, lives=2) as first:  # it has recorded what it was about to do
        await first.dies()
    await scene.edit("Deployment", "web", replicas=5)
    async with plane(scene):
        await scene.has(20)
        scene.at(60)
        await scene.has(5)


async def test_deleted_in_the_middle(scene: Scene) -> None:
    await scene.sale()
    scene.at(0)
    async with plane(scene):
        await scene.is_scaled("True/Scaled")
        await scene.call("DELETE", "FlashSale", "laptop")
        await scene.is_gone()
    assert (await scene.replicas(), await scene.changes()) == (3, 2)


async def test_a_deleted_sale_is_no_more_in_force_while_it_is_put_back(scene: Scene) -> None:
    await scene.sale()
    scene.at(0)
    async with plane(scene) as running:
        await scene.is_scaled("True/Scaled")
        running.leading = False
        assert running.inventory.all(FlashSale)
        await scene.call("DELETE", "FlashSale", "laptop")
        await eventually(lambda: not running.inventory.all(FlashSale), what="it is not in force")
        await scene.call("GET", "FlashSale", "laptop")
        running.leading = True
        await scene.is_gone()
    assert await scene.replicas() == 3


async def test_deleted_while_it_was_down(scene: Scene) -> None:
    await scene.sale()
    scene.at(0)
    async with plane(scene):
        await scene.is_scaled("True/Scaled")
    await scene.call("DELETE", "FlashSale", "laptop")
    assert (await scene.call("GET", "FlashSale", "laptop"))["metadata"]["deletionTimestamp"]
    async with plane(scene, lives=2) as second:  # killed once more, after it has put back
        await second.dies()
    assert await scene.replicas() == 3
    async with plane(scene):
        await scene.is_gone()
    assert await scene.changes() == 2


async def test_two_sales_on_one_target(scene: Scene) -> None:
    await scene.sale()
    wanted = [{"kind": "Deployment", "name": "web", "replicas": 30}]
    await scene.sale("phone", end=60, targets=wanted)
    scene.at(0)
    async with plane(scene):
        await scene.has(30)
        await scene.is_scaled("True/Scaled", "laptop")
        await scene.is_scaled("True/Scaled", "phone")
        scene.at(20)
        await scene.is_scaled("False/ScaledBack", "laptop")
        assert await scene.replicas() == 30
        scene.at(65)
        await scene.is_scaled("False/ScaledBack", "phone")
    assert (await scene.replicas(), await scene.changes()) == (3, 2)


async def test_an_autoscaler(scene: Scene) -> None:
    await scene.autoscaler(2, 10)
    wanted = [{"kind": "HorizontalPodAutoscaler", "name": "web", "minReplicas": 15}]
    await scene.sale(targets=wanted)
    scene.at(0)
    kind = "HorizontalPodAutoscaler"
    async with plane(scene):
        condition = await scene.is_scaled("False/ExceedsMaxReplicas")
        assert "its maxReplicas is 10, and 15 are wanted" in condition["message"]
        await scene.edit(kind, "web", maxReplicas=15)
        await scene.is_scaled("True/Scaled")
        assert (await scene.call("GET", kind, "web"))["spec"]["minReplicas"] == 15
        scene.at(60)
        await scene.is_scaled("False/ScaledBack")
    spec = (await scene.call("GET", kind, "web"))["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (2, 15)
    assert await scene.changes() == 0


async def test_what_somebody_sets_stays(scene: Scene) -> None:
    await scene.sale()
    scene.at(0)
    async with plane(scene):
        await scene.is_scaled("True/Scaled")
        await scene.edit("Deployment", "web", replicas=7)
        condition = await scene.is_scaled("False/Overridden")
        assert "somebody set it to 7" in condition["message"]
        await scene.is_let_go()
        scene.at(60)
        await scene.is_scaled("False/Ended")
    assert await scene.replicas() == 7
    assert len(await scene.events("ScalingOverridden")) == 1


async def test_from_nothing_and_back_to_nothing(scene: Scene) -> None:
    await scene.edit("Deployment", "web", replicas=0)
    await scene.sale()
    scene.at(0)
    async with plane(scene):
        await scene.is_scaled("True/Scaled")
        scene.at(60)
        await scene.is_scaled("False/ScaledBack")
    assert await scene.replicas() == 0


async def test_what_a_policy_refuses_is_told_in_its_words(scene: Scene) -> None:
    policy = await scene.frozen("web", "not on a Friday")
    await scene.deployment("api")
    wanted = [{"kind": "Deployment", "name": name, "replicas": 20} for name in ("api", "web")]
    await scene.sale(targets=wanted)
    scene.at(0)
    async with plane(scene):
        condition = await scene.is_scaled("False/ScalingFailed")
        assert "not on a Friday" in condition["message"]
        assert "controlPlane.scaling" not in condition["message"]
        await scene.has(20, "api")
        await policy()
        await scene.is_scaled("True/Scaled")
    assert len(await scene.events("ScalingFailed")) == 1


async def test_a_server_that_was_away_at_the_start(scene: Scene, server: ApiServer) -> None:
    await scene.sale()
    async with plane(scene) as running:
        await scene.is_scaled("False/Scheduled")
        server.kill()
        rounds = running.scaler.rounds
        scene.at(0)
        await eventually(lambda: running.scaler.rounds > rounds + 1, what="it tries")
        await server.restart()
        await scene.is_scaled("True/Scaled")
    assert await scene.changes() == 1


async def test_without_the_right_it_says_which_value_to_set(scene: Scene) -> None:
    await scene.sale()
    scene.at(0)
    async with plane(scene, account=WITHOUT):
        condition = await scene.is_scaled("False/Forbidden")
        assert "controlPlane.scaling=true" in condition["message"]
        assert "Deployment" in condition["message"]
    await scene.is_let_go()
    assert len(await scene.events("ScalingFailed")) == 1
    async with plane(scene):  # the right is there, and it is not too late
        await scene.is_scaled("True/Scaled")


async def test_without_the_right_to_guard_the_sale_nothing_is_scaled(scene: Scene) -> None:
    await scene.sale()
    scene.at(0)
    async with plane(scene, account=UNGUARDED) as running:
        condition = await scene.is_scaled("False/Forbidden")
        assert "may not patch flashsales" in condition["message"]
        rounds = running.scaler.rounds
        written = list(running.session.written)
        await eventually(lambda: running.scaler.rounds > rounds + 3, what="it tries again")
        assert running.session.written == written
    assert await scene.changes() == 0


async def test_a_target_that_is_missing_keeps_no_other_waiting(scene: Scene) -> None:
    names = ("web", "missing")
    wanted = [{"kind": "Deployment", "name": name, "replicas": 20} for name in names]
    await scene.sale(targets=wanted)
    scene.at(0)
    async with plane(scene):
        condition = await scene.is_scaled("False/TargetNotFound")
        assert f"Deployment {scene.namespace}/missing" in condition["message"]
        await scene.has(20)
        await scene.deployment("missing", 1)
        await scene.is_scaled("True/Scaled")


async def test_another_namespace_has_to_agree(scene: Scene, server: ApiServer) -> None:
    other = await make_namespace(server)
    await scene.deployment("envoy", 2, at=other)
    wanted = [{"kind": "Deployment", "name": "envoy", "namespace": other, "replicas": 9}]
    await scene.sale(targets=wanted)
    scene.at(0)
    async with plane(scene, namespaces=(other,)):
        condition = await scene.is_scaled("False/RefNotPermitted")
        assert f"no ReferenceGrant in {other}" in condition["message"]
        assert await scene.replicas("envoy", at=other) == 2
        spec = {
            "from": [{"group": "sluice.dev", "kind": "FlashSale", "namespace": scene.namespace}],
            "to": [{"group": "apps", "kind": "Deployment", "name": "envoy"}],
        }
        grant = {"apiVersion": "gateway.networking.k8s.io/v1beta1", "kind": "ReferenceGrant"}
        body = {**grant, "metadata": {"name": "sale"}, "spec": spec}
        await scene.call("POST", "ReferenceGrant", "", body, at=other)
        await scene.has(9, "envoy", at=other)
        scene.at(60)
        await scene.has(2, "envoy", at=other)


async def test_two_that_lead_at_once_write_once(scene: Scene) -> None:
    """As when the clock of the one that led has stood still."""
    names = ("web", "api", "cart")
    for name in names[1:]:
        await scene.deployment(name)
    wanted = [{"kind": "Deployment", "name": name, "replicas": 20} for name in names]
    await scene.sale(targets=wanted)
    async with plane(scene) as first, plane(scene) as second:
        await scene.is_scaled("False/Scheduled")
        scene.at(0)
        await scene.is_scaled("True/Scaled")
        scene.at(60)
        await scene.is_scaled("False/ScaledBack")
        await scene.is_let_go()
    written = first.session.written + second.session.written
    for name in names:
        assert (await scene.replicas(name), await scene.changes(name)) == (3, 2)
        assert len([path for path in written if path.endswith(f"/{name}/scale")]) == 2


async def test_nothing_is_written_by_one_that_does_not_lead(scene: Scene) -> None:
    await scene.sale()
    scene.at(0)
    async with plane(scene) as second:
        second.leading = False
        async with plane(scene):
            await scene.is_scaled("True/Scaled")
        assert second.session.written == []
        second.leading = True
        scene.at(60)
        await scene.is_scaled("False/ScaledBack")
        assert second.session.written


async def test_nothing_is_written_while_nothing_changes(scene: Scene) -> None:
    await scene.sale()
    scene.at(0)
    async with plane(scene) as running:
        await scene.is_scaled("True/Scaled")
        rounds = running.scaler.rounds
        written = list(running.session.written)
        await eventually(lambda: running.scaler.rounds > rounds + 3, what="it looks again")
        assert running.session.written == written
