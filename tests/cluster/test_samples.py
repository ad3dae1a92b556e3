"""The samples in a cluster, as they are, with the chart's values that are beside them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from controlplane.model.gateway import CONTROLLER_NAME
from controlplane.sources import load
from tests.cluster.api_server import ROOT, ApiServer
from tests.cluster.cluster import by_type
from tests.cluster.release import Release
from tests.testkit.waiting import eventually, holds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from controlplane.local import RedisServer

pytestmark = [pytest.mark.cluster, pytest.mark.redis]
FOLDER = ROOT / "manifests" / "samples"
SAMPLES = sorted(path.name for path in FOLDER.glob("*/"))
# Of the chart, and what only `sluice serve` on a folder needs.
NOT_APPLIED = {"GatewayClass", "EdgeConfig", "EndpointSlice"}
JUDGED = {"Gateway", "HTTPRoute", "FlashSale", "QuotaPolicy"}


@pytest.fixture(scope="module")
def release(
    tmp_path_factory: pytest.TempPathFactory, shared_redis_server: RedisServer
) -> Iterator[Release]:
    """The chart in a cluster of its own, as docs/kubernetes.md installs it for samples."""
    folder = tmp_path_factory.mktemp("release")
    server = ApiServer(folder / "api")
    redis = {"trial": {"enabled": False}, "address": shared_redis_server.address}
    release = Release(folder, server, {"redis": redis}, FOLDER / "values.yaml")

    async def start() -> None:
        await server.start()
        await release.install()
        # By this thread, which outlives the loop: see Process.
        control_plane = release.start_control_plane()
        await eventually(control_plane.healthy, what="the control plane is ready", deadline=60)

    async def end() -> None:
        await release.close()
        await server.close()

    try:
        asyncio.run(start())
        yield release
    finally:
        asyncio.run(end())


def applied(sample: str) -> list[dict[str, Any]]:
    """What kubectl takes of a sample: it does not descend into folders."""
    files = sorted((FOLDER / sample).glob("*.yaml"))
    return [one for file in files for one in yaml.safe_load_all(file.read_text())]


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_folder_has_what_a_cluster_has_by_itself(sample: str) -> None:
    everything = load([FOLDER / sample])
    assert not everything.problems
    shared = applied(sample)
    assert shared[0] == {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}
    assert not NOT_APPLIED & {one["kind"] for one in shared}
    locally = {one.kind for one in everything.inventory.objects} - {one["kind"] for one in shared}
    assert {"GatewayClass", "EndpointSlice"} <= locally <= NOT_APPLIED
    # By their selectors the Services find pods, which have a label each.
    (service,) = (one for one in shared if one["kind"] == "Service")
    assert service["spec"]["selector"] == {"app": service["metadata"]["name"]}


@pytest.mark.parametrize("sample", SAMPLES)
async def test_a_sample_is_applied_as_it_is(release: Release, sample: str) -> None:
    objects, folder = release.objects, f"{FOLDER / sample}/"
    before = await objects.get("EdgeConfig", "sluice", "sluice-system")
    for how in ("--server-side", "--server-side=false"):
        out = await release.kubectl.does("apply", "--validate=strict", how, "-f", folder)
        assert len(out.splitlines()) == len(applied(sample)), out
    # A namespace that is not there yet would be missing from a dry run.
    await release.kubectl.does("apply", "--dry-run=server", "--server-side", "-f", folder)

    async def accepted() -> None:
        for one in applied(sample):
            if one["kind"] in JUDGED:
                found = await objects.get(one["kind"], one["metadata"]["name"])
                for conditions in judged(found):
                    assert conditions["Accepted"]["status"] == "True", conditions
                    generation = conditions["Accepted"]["observedGeneration"]
                    assert generation == found["metadata"]["generation"]
                    assert conditions.get("ResolvedRefs", {}).get("status", "True") == "True"

    await holds(accepted, deadline=60)
    # The class is the chart's, with the Redis of the chart.
    await objects.until("GatewayClass", "sluice", "Accepted", "True/Accepted")
    class_ = await objects.get("GatewayClass", "sluice")
    assert class_["spec"]["parametersRef"]["name"] == "sluice"
    after = await objects.get("EdgeConfig", "sluice", "sluice-system")
    assert after["spec"] == before["spec"]

    # They share names: the next one comes to a clean place.
    for one in applied(sample):
        if one["kind"] in {"FlashSale", "QuotaPolicy"}:
            await allow_deletion(release, one)
            await objects.delete(one["kind"], one["metadata"]["name"])


def judged(found: dict[str, Any]) -> list[dict[str, dict[str, Any]]]:
    """All that we say of an object, each with its conditions by type."""
    status = found.get("status") or {}
    if found["kind"] != "HTTPRoute":
        parts = [status, *status.get("listeners", ())]
    else:
        parts = [one for one in status["parents"] if one["controllerName"] == CONTROLLER_NAME]
    assert parts
    return [by_type(part) for part in parts]


async def allow_deletion(release: Release, one: dict[str, Any]) -> None:
    note = "sluice.dev/allow-delete=true"
    name = f"{one['kind'].lower()}/{one['metadata']['name']}"
    await release.kubectl.does("annotate", "-n", "shop", "--overwrite", name, note)


async def test_the_edge_serves_their_gateway(release: Release) -> None:
    """The port, and the Gateway that the proxies' certificates name."""
    gateway = next(one for one in applied(SAMPLES[0]) if one["kind"] == "Gateway")
    ports = {one["port"] for one in gateway["spec"]["listeners"]}
    service = release.find("Service", "sluice-edge")
    assert {one["port"] for one in service["spec"]["ports"]} == ports
    arguments = release.container("Job", "sluice-certificates-now")["args"]
    metadata = gateway["metadata"]
    assert f"--gateway={metadata['namespace']}/{metadata['name']}" in arguments
    for sample in SAMPLES:
        assert next(one for one in applied(sample) if one["kind"] == "Gateway") == gateway
