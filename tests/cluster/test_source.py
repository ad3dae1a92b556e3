"""Objects of an API server become what the same objects in a folder become."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from controlplane.kube import Rhythm
from controlplane.model import FlashSale, Gateway, HTTPRoute, Secret, Service
from controlplane.model.meta import ObjectRef
from controlplane.sources import load
from controlplane.sources.api_types import TYPES
from controlplane.sources.kubernetes import ClusterSource
from tests.cluster.api_server import ROOT, SERVICE_ACCOUNT
from tests.cluster.cluster import Objects, prepare, sale
from tests.cluster.gateway_api import gateway_api, install
from tests.testkit.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from pathlib import Path

    from controlplane.kube import Session
    from controlplane.model import Inventory, Problem, Resource
    from controlplane.sources import Update
    from tests.cluster.api_server import ApiServer
    from tests.cluster.conftest import OpenSession

pytestmark = pytest.mark.cluster
SAMPLES = ROOT / "manifests" / "samples"
QUICK = Rhythm(shortest=0.02, longest=0.2)
TLS = {"tls.crt": "Y2VydA==", "tls.key": "a2V5"}


class Seen:
    """Every update so far."""

    def __init__(self, source: ClusterSource) -> None:
        self.source = source
        self.updates: list[Update] = []

    @property
    def last(self) -> Update:
        return self.updates[-1]

    @property
    def inventory(self) -> Inventory:
        return self.last.inventory

    async def synced(self) -> None:
        await eventually(lambda: self.updates and self.last.synced, what="all kinds are listed")

    async def problem(self) -> Problem:
        """The only problem there is, when there is one."""

        def found() -> Problem | None:
            problems = self.last.problems if self.updates else ()
            return problems[0] if len(problems) == 1 else None

        problem = await eventually(found, what="a problem is told")
        assert problem is not None
        return problem

    async def follow(self) -> None:
        async with aclosing(self.source.updates()) as updates:
            async for update in updates:
                self.updates.append(update)


@asynccontextmanager
async def following(session: Session, namespaces: Iterable[str] = ()) -> AsyncIterator[Seen]:
    seen = Seen(ClusterSource(session, namespaces, rhythm=QUICK))
    task = asyncio.create_task(seen.follow())
    try:
        yield seen
    finally:
        task.cancel()
        await asyncio.wait((task,))


@pytest.fixture
async def objects(shared_api_server: ApiServer) -> Objects:
    await install(shared_api_server)
    return Objects(shared_api_server)


def written(sample: Path) -> str:
    """All manifests of a sample."""
    return "---\n".join(path.read_text() for path in sorted(sample.rglob("*.yaml")))


def placed(text: str, namespace: str) -> list[dict[str, Any]]:
    """Objects of a manifest, in another namespace; those without one get a name of their own."""
    text = text.replace("namespace: shop", f"namespace: {namespace}")
    text = text.replace("[127.0.0.1]", "[10.9.8.7]")  # a cluster has no endpoints on loopback
    made = [one for one in yaml.safe_load_all(text) if one["kind"] != "Namespace"]
    for one in made:
        if one["kind"] == "GatewayClass":
            one["metadata"]["name"] = namespace
        if one["kind"] == "Gateway":
            one["spec"]["gatewayClassName"] = namespace
    return made


def said(resource: Resource) -> dict[str, Any]:
    return resource.model_dump(exclude={"metadata"})


@pytest.mark.parametrize("sample", sorted(path.name for path in SAMPLES.glob("*/")))
async def test_samples_are_read_as_from_a_folder(
    sample: str, objects: Objects, session: Session, namespace: str, tmp_path: Path
) -> None:
    manifests = placed(written(SAMPLES / sample), namespace)
    (tmp_path / "sample.yaml").write_text(yaml.safe_dump_all(manifests))
    expected = load([tmp_path])
    assert not expected.problems
    for one in manifests:
        await objects.make(one)
    async with following(session, [namespace]) as seen:
        await seen.synced()
        assert not seen.last.problems
        for resource in expected.inventory.objects:
            found = seen.inventory.find(resource.ref)
            assert found is not None, resource.ref
            if not isinstance(found, Service):  # the server gives addresses and ports to those
                assert said(found) == said(resource)


async def test_changes_come_and_a_status_is_none(
    objects: Objects, session: Session, namespace: str
) -> None:
    made = placed(sale(), namespace)
    async with following(session, [namespace]) as seen:
        await seen.synced()
        await objects.make(*made)
        await eventually(lambda: seen.inventory.get(FlashSale, namespace, "laptop"))
        obj = await objects.get("FlashSale", "laptop", namespace)
        obj["spec"]["stock"] = 7
        obj = await objects.replace(obj)

        def edited() -> bool:
            found = seen.inventory.get(FlashSale, namespace, "laptop")
            return found is not None and found.spec.stock == 7 and found.metadata.generation == 2

        await eventually(edited)
        count = len(seen.updates)
        await objects.replace({**obj, "status": {"state": "Open", "admitted": 1}}, "status")
        ref = ObjectRef("FlashSale", namespace, "laptop")
        standings = seen.source.standings

        def stands() -> bool:
            standing = standings.get(ref)
            return standing is not None and standing.status.get("admitted") == 1

        await eventually(stands)
        await objects.delete("FlashSale", "laptop", namespace)
        await eventually(lambda: seen.inventory.get(FlashSale, namespace, "laptop") is None)
        assert standings.get(ref) is None
        assert len(seen.updates) == count + 1  # the deletion; the status made none


async def test_what_cannot_be_read_keeps_its_last_good_version(
    objects: Objects, session: Session, namespace: str
) -> None:
    route = {
        "apiVersion": TYPES["HTTPRoute"].api_version,
        "kind": "HTTPRoute",
        "metadata": {"name": "shop", "namespace": namespace},
        "spec": {"rules": [{"name": "buy"}]},
    }
    await objects.make(route)
    async with following(session, [namespace]) as seen:
        await seen.synced()
        found = await objects.get("HTTPRoute", "shop", namespace)
        found["spec"]["rules"] = [{"name": "Not A Name"}]
        await objects.replace(found)
        problem = await seen.problem()
        assert str(problem.ref) == f"HTTPRoute {namespace}/shop"
        assert problem.field == "spec.rules[0].name"
        assert problem.message.endswith("(the last good version stays in force)")
        kept = seen.inventory.get(HTTPRoute, namespace, "shop")
        assert kept is not None
        assert kept.spec.rules[0].name == "buy"
        found = await objects.get("HTTPRoute", "shop", namespace)
        found["spec"]["rules"] = [{"name": "sell", "newerThanUs": {"x": 1}}]
        await objects.replace(found)

        def read_past() -> bool:
            route = seen.inventory.get(HTTPRoute, namespace, "shop")
            return route is not None and route.spec.rules[0].name == "sell"

        await eventually(read_past)
        [warning] = seen.last.problems
        assert not warning.is_error
        assert warning.field == "spec.rules[0].newerThanUs"
        await objects.delete("HTTPRoute", "shop", namespace)
        await eventually(lambda: not seen.last.problems)


async def test_only_certificates_are_read_of_secrets(
    objects: Objects, session: Session, namespace: str
) -> None:
    for name, kind in (("cert", "kubernetes.io/tls"), ("password", "Opaque")):
        metadata = {"name": name, "namespace": namespace}
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": kind}
        await objects.make({**secret, "data": TLS})
    async with following(session, [namespace]) as seen:
        await seen.synced()
        assert [one.name for one in seen.inventory.all(Secret)] == ["cert"]


@pytest.mark.usefixtures("objects")
async def test_everything_is_seen_without_namespaces(session: Session) -> None:
    async with following(session) as seen:
        await seen.synced()
        # The API server's own, full of fields that mean nothing here.
        assert seen.inventory.get(Service, "default", "kubernetes") is not None
        assert not [one for one in seen.last.problems if "default/kubernetes" in str(one)]


async def test_a_missing_crd_is_named_and_waited_for(
    api_server: ApiServer, open_session: OpenSession
) -> None:
    await prepare(api_server, without="Gateway")
    session = await open_session(api_server, SERVICE_ACCOUNT)
    async with following(session) as seen:
        problem = await seen.problem()
        assert not seen.last.synced
        assert "cannot list gateways.gateway.networking.k8s.io" in problem.message
        assert "are the CRDs installed?" in problem.message
        assert problem.message.endswith("nothing is served before")
        assert "\n" not in problem.message
        await install(api_server, *gateway_api())
        await seen.synced()
        await eventually(lambda: not seen.last.problems)
        made = {
            "apiVersion": TYPES["Gateway"].api_version,
            "kind": "Gateway",
            "metadata": {"name": "edge", "namespace": "shop"},
            "spec": {"gatewayClassName": "x", "listeners": [_LISTENER]},
        }
        await Objects(api_server).make(made)
        await eventually(lambda: seen.inventory.get(Gateway, "shop", "edge"))


_LISTENER = {"name": "http", "protocol": "HTTP", "port": 80}
