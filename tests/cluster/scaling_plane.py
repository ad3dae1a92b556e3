"""What of a control plane scales, with the chart's rights: it can be killed at any write."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import CollectorRegistry

from controlplane.kube import ResourceType, Session, find_access
from controlplane.model import Inventory
from controlplane.model.durations import format_instant
from controlplane.scaling import Rhythm, Scaler
from controlplane.sources.kubernetes import ClusterSource
from tests.cluster.chart.golden import NAMESPACE, documents, render
from tests.cluster.cluster import by_type
from tests.cluster.gateway_api import install
from tests.testkit.waiting import eventually, holds

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from controlplane.kube import Call, Object
    from tests.cluster.api_server import ApiServer

QUICK: Final = Rhythm(settle=0.01, watchful=0.3, longest=0.5, shortest_retry=0.1, longest_retry=0.3)
START: Final = datetime(2026, 1, 1, tzinfo=UTC)
RIGHTS: Final = frozenset(
    {"ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"}
)
WITHOUT: Final = "unable"
"""ServiceAccount of a release that may not scale."""
UNGUARDED: Final = "unguarded"
"""ServiceAccount that may scale, but not set the finalizer of sales."""
_TYPES: Final = {
    "Deployment": ResourceType("apps", "v1", "deployments", "Deployment"),
    "HorizontalPodAutoscaler": ResourceType(
        "autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler"
    ),
    "FlashSale": ResourceType("sluice.dev", "v1alpha1", "flashsales", "FlashSale"),
    "ReferenceGrant": ResourceType(
        "gateway.networking.k8s.io", "v1beta1", "referencegrants", "ReferenceGrant"
    ),
}
_SELECTOR: Final = {"matchLabels": {"app": "x"}}
_POD: Final = {
    "metadata": {"labels": {"app": "x"}},
    "spec": {"containers": [{"name": "x", "image": "x"}]},
}


async def prepare(server: ApiServer) -> None:
    """Installs all kinds, and the rights of releases: all, too few, and none to scale."""
    await install(server)
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    await server.call("POST", "/api/v1/namespaces", body)
    for name, scaling in (("sluice", True), (UNGUARDED, True), (WITHOUT, False)):
        for one in _rights(name, scaling=scaling):
            if name == UNGUARDED and one["kind"] == "ClusterRole":
                patched = {"apiGroups": ["sluice.dev"], "resources": ["flashsales"]}
                one["rules"].remove({**patched, "verbs": ["patch"]})
            await server.call("POST", _place(one), one)


def _rights(name: str, *, scaling: bool) -> list[dict[str, Any]]:
    options = [f"redis.address=redis:6379,fullnameOverride={name},rbac.aggregate=false"]
    options.append(f"controlPlane.scaling={str(scaling).lower()},controlPlane.readSecrets=true")
    found = documents(render("--set", ",".join(options)))
    kinds = [one for one in found if one["kind"] in RIGHTS]
    return [one for one in kinds if "certificates" not in one["metadata"]["name"]]


def _place(obj: dict[str, Any]) -> str:
    group = obj["apiVersion"]
    prefix = f"/apis/{group}" if "/" in group else f"/api/{group}"
    plural = f"{obj['kind'].lower()}s"
    namespace = obj["metadata"].get("namespace")
    return f"{prefix}/namespaces/{namespace}/{plural}" if namespace else f"{prefix}/{plural}"


@dataclass
class Scene:
    """One namespace, as the admin sees it, and the time there."""

    server: ApiServer
    namespace: str
    now: datetime = START - timedelta(hours=1)

    def at(self, minutes: float) -> None:
        """Sets the clock of all control planes, from the sale's start."""
        self.now = START + timedelta(minutes=minutes)

    # ------------------------------------------------------------------------------- objects
    async def call(
        self, method: str, kind: str, name: str = "", body: Any = None, *, at: str = ""
    ) -> dict[str, Any]:
        path = _TYPES[kind].path(at or self.namespace, name)
        return dict(await self.server.call(method, path, body))

    async def deployment(self, name: str = "web", replicas: int = 3, *, at: str = "") -> None:
        spec = {"replicas": replicas, "selector": _SELECTOR, "template": _POD}
        body = {"apiVersion": "apps/v1", "kind": "Deployment", "spec": spec}
        await self.call("POST", "Deployment", "", {**body, "metadata": {"name": name}}, at=at)

    async def autoscaler(self, minimum: int, maximum: int, name: str = "web") -> None:
        target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
        spec = {"minReplicas": minimum, "maxReplicas": maximum, "scaleTargetRef": target}
        body = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "spec": spec}
        await self.call("POST", "HorizontalPodAutoscaler", "", {**body, "metadata": {"name": name}})

    async def sale(self, name: str = "laptop", *, end: float = 10, **scaling: Any) -> None:
        scaling.setdefault("targets", [{"kind": "Deployment", "name": "web", "replicas": 20}])
        schedule = {
            "startTime": format_instant(START),
            "endTime": format_instant(START + timedelta(minutes=end)),
        }
        spec = {
            "targetRefs": [{"name": "shop"}],
            "schedule": schedule,
            "stock": 3,
            "identity": {"header": "Authorization"},
            "scaling": scaling,
        }
        body = {"apiVersion": "sluice.dev/v1alpha1", "kind": "FlashSale", "spec": spec}
        await self.call("POST", "FlashSale", "", {**body, "metadata": {"name": name}})

    async def edit(self, kind: str, name: str, **spec: Any) -> None:
        """Sets fields of a spec."""
        found = await self.call("GET", kind, name)
        found["spec"].update(spec)
        await self.call("PUT", kind, name, found)

    async def frozen(self, name: str, message: str) -> Callable[[], Awaitable[None]]:
        """Has a policy refuse to scale a Deployment; gives what lifts it."""
        group = "admissionregistration.k8s.io/v1"
        rule = {
            "apiGroups": ["apps"],
            "apiVersions": ["v1"],
            "resources": ["deployments/scale"],
            "operations": ["UPDATE"],
        }
        only = {"matchLabels": {"kubernetes.io/metadata.name": self.namespace}}
        spec = {
            "matchConstraints": {"resourceRules": [rule], "namespaceSelector": only},
            "validations": [
                {"expression": f"object.metadata.name != '{name}'", "message": message}
            ],
        }
        bound = {"policyName": self.namespace, "validationActions": ["Deny"]}
        paths = []
        for kind, one in (("", spec), ("Binding", bound)):
            path = f"/apis/{group}/validatingadmissionpolic{'ybindings' if kind else 'ies'}"
            head = {"apiVersion": group, "kind": f"ValidatingAdmissionPolicy{kind}"}
            await self.server.call(
                "POST", path, {**head, "metadata": {"name": self.namespace}, "spec": one}
            )
            paths.append(f"{path}/{self.namespace}")
        place = _TYPES["Deployment"].path(self.namespace, name, "scale")

        async def in_force() -> bool:
            scale = await self.server.call("GET", place)
            scale["spec"]["replicas"] = 4
            try:
                await self.server.call("PUT", f"{place}?dryRun=All", scale)
            except AssertionError as error:
                return message in str(error)
            return False

        await eventually(in_force, what="the policy is in force", deadline=60)

        async def lift() -> None:
            for path in reversed(paths):
                await self.server.call("DELETE", path)

        return lift

    async def replicas(self, name: str = "web", *, at: str = "") -> int:
        return int((await self.call("GET", "Deployment", name, at=at))["spec"]["replicas"])

    async def changes(self, name: str = "web") -> int:
        """How often a Deployment was changed since it was made."""
        found = await self.call("GET", "Deployment", name)
        return int(found["metadata"]["generation"]) - 1

    async def events(self, reason: str) -> list[dict[str, Any]]:
        path = f"/apis/events.k8s.io/v1/namespaces/{self.namespace}/events"
        found = (await self.server.call("GET", path))["items"]
        return [one for one in found if one["reason"] == reason]

    # ------------------------------------------------------------------------------- waiting
    async def has(self, replicas: int, name: str = "web", *, at: str = "") -> None:
        async def reached() -> None:
            assert await self.replicas(name, at=at) == replicas

        await holds(reached, deadline=60)

    async def is_scaled(self, expected: str, name: str = "laptop") -> dict[str, Any]:
        """Waits for the condition, as `True/Scaled`; gives it."""

        async def reached() -> dict[str, Any]:
            sale = await self.call("GET", "FlashSale", name)
            found = by_type(sale.get("status") or {}).get("Scaled", {})
            assert f"{found.get('status')}/{found.get('reason')}" == expected, found
            return found

        return dict(await eventually(reached, what=f"{name} is {expected}", deadline=60))

    async def is_gone(self, name: str = "laptop") -> None:
        async def gone() -> bool:
            items = (await self.call("GET", "FlashSale"))["items"]
            return name not in {one["metadata"]["name"] for one in items}

        await eventually(gone, what=f"{name} is gone", deadline=60)

    async def is_let_go(self, name: str = "laptop") -> None:
        async def free() -> None:
            assert not (await self.call("GET", "FlashSale", name))["metadata"].get("finalizers")

        await holds(free, deadline=60)


class MortalSession(Session):
    """Dies at one of its writes: before it is sent, or before its answer is seen."""

    tried: int = 0
    written: list[str]
    """Paths of the writes that succeeded."""
    lives: int | None = None
    answered: bool = True
    dead: asyncio.Event

    async def request(self, call: Call, *, deadline: float | None = None) -> Object:
        if call.method != "PATCH" or "/events" in call.path:
            return await super().request(call, deadline=deadline)
        last = self.lives is not None and self.tried >= self.lives
        if last and not self.answered and not self.dead.is_set():
            await super().request(call, deadline=deadline)
        if last:
            self.dead.set()
            await asyncio.Event().wait()
        self.tried += 1
        answer = await super().request(call, deadline=deadline)
        self.written.append(call.path)
        return answer


@dataclass
class Plane:
    """One control plane that scales, and only that."""

    scene: Scene
    session: MortalSession
    scaler: Scaler
    source: ClusterSource
    leading: bool = True
    inventory: Inventory = field(default_factory=Inventory)

    async def follow(self) -> None:
        async with aclosing(self.source.updates()) as updates:
            async for update in updates:
                self.inventory = update.inventory
                if update.synced:
                    self.scaler.offer(update.inventory)

    async def dies(self) -> None:
        """Waits until it has reached the write that kills it."""
        await asyncio.wait_for(self.session.dead.wait(), 60)


@asynccontextmanager
async def plane(
    scene: Scene,
    *,
    account: str = "sluice",
    lives: int | None = None,
    answered: bool = True,
    namespaces: tuple[str, ...] = (),
) -> AsyncIterator[Plane]:
    """A control plane, until the context ends: as if it were killed."""
    token = await scene.server.service_account_token(NAMESPACE, account)
    kubeconfig = scene.server.kubeconfig(account, token=token, namespace=NAMESPACE)
    session = MortalSession(await find_access(kubeconfig))
    session.written, session.lives, session.answered = [], lives, answered
    session.dead = asyncio.Event()
    source = ClusterSource(session, (scene.namespace, *namespaces), secrets=False)
    made: Plane

    def leading() -> bool:
        return made.leading

    scaler = Scaler(
        session,
        source.standings,
        leading,
        registry=CollectorRegistry(),
        rhythm=QUICK,
        now=lambda: scene.now,
    )
    made = Plane(scene, session, scaler, source)
    async with session:
        tasks = [asyncio.create_task(one) for one in (made.follow(), scaler.lead())]
        try:
            yield made
        finally:
            for task in tasks:
                task.cancel()
            for ended in await asyncio.gather(*tasks, return_exceptions=True):
                assert isinstance(ended, asyncio.CancelledError), ended
