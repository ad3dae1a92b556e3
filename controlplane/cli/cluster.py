"""A control plane in a cluster: found by the chart's labels, asked by port-forward to a pod.

Only commands that are told to go to a cluster import this: the Kubernetes client takes as long to
load as all of the rest. It is asynchronous and commands are not, so a loop runs while one waits.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, TypeVar

from controlplane.cli.errors import CommandError
from controlplane.kube import (
    PODS,
    ForbiddenError,
    KubeError,
    NotFoundError,
    PortForward,
    Session,
    UnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable
    from pathlib import Path

    from controlplane.kube import Object

T = TypeVar("T")

PORT: Final = 18080
"""Where a pod of the chart has its API, on its own loopback."""
HOME: Final = "sluice-system"
"""Where it is looked for when not all namespaces may be seen."""
LABELS: Final = "app.kubernetes.io/name=sluice,app.kubernetes.io/component=control-plane"
RELEASE: Final = "app.kubernetes.io/instance"
_ROUNDS: Final = 5
_NAME_IT: Final = "name it by --control-plane NAMESPACE/NAME"


class Cluster:
    """One cluster, as a kubeconfig names it, and the control plane in it that is meant."""

    def __init__(self, kubeconfig: Path | None, context: str | None, wanted: str | None) -> None:
        self._wanted = wanted
        self._runner = asyncio.Runner()
        self._pod: Object | None = None
        self._gone = ""
        self._opened: Session | None = None
        self._how = (kubeconfig, context)

    @property
    def namespace(self) -> str:
        """The namespace of the context."""
        return self._session.namespace

    @property
    def name(self) -> str:
        """The pod that is asked, for people."""
        return f"pod {_name(self._pod)}" if self._pod else "the control plane"

    def run(self, work: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        """Do something that waits.

        Raises:
            TimeoutError: it took longer.
        """
        return self._runner.run(_within(timeout, work))

    def connect(self) -> PortForward:
        """Connect to a ready pod; to another one when the first is not there any more.

        Raises:
            CommandError: there is none, or it may not be reached.
        """
        try:
            return self._connect()
        except (NotFoundError, UnavailableError) as error:
            if not self.turn_away():
                raise CommandError(str(error)) from error
        except KubeError as error:
            raise self._refused(error) from error
        try:
            return self._connect()
        except KubeError as error:
            raise self._refused(error) from error

    def turn_away(self) -> bool:
        """Choose again, another pod if there is one; tells whether any is ready."""
        self._gone = _uid(self._pod) if self._pod else ""
        self._pod = None
        try:
            self._pod = self._choose()
        except CommandError:
            return False
        return True

    def close(self) -> None:
        """End all connections."""
        if self._opened is not None:
            self._runner.run(_farewell(self._opened))
            self._opened = None
        self._runner.close()

    # ------------------------------------------------------------------------------- finding
    @property
    def _session(self) -> Session:
        if self._opened is None:
            try:
                self._opened = self._runner.run(Session.open(*self._how))
            except KubeError as error:
                raise CommandError(str(error)) from error
        return self._opened

    def _connect(self) -> PortForward:
        if self._pod is None:
            self._pod = self._choose()
        namespace, name = _name(self._pod).split("/")
        return self._runner.run(PortForward.open(self._session, namespace, name, PORT))

    def _refused(self, error: KubeError) -> CommandError:
        if self._pod is None or not isinstance(error, ForbiddenError):
            return CommandError(str(error))
        namespace = self._pod["metadata"]["namespace"]
        return CommandError(f"{error}: grant get and create of pods/portforward in {namespace}")

    def _choose(self) -> Object:
        session = self._session
        try:
            found, where = self._runner.run(_pods(session, self._wanted))
        except ForbiddenError as error:
            raise CommandError(str(error) if self._wanted else f"{error}: {_NAME_IT}") from error
        except KubeError as error:
            raise CommandError(str(error)) from error
        releases = sorted({_release(pod) for pod in found})
        if not releases:
            what = f"control plane {self._wanted}" if self._wanted else "control plane of Sluice"
            hint = f": {_NAME_IT}" if where and not self._wanted else ""
            place = f"namespace {where} of {session.server}" if where else session.server
            raise CommandError(f"there is no {what} in {place} ({session.origin}){hint}")
        if len(releases) > 1:
            raise CommandError(
                f"there are several control planes: {', '.join(releases)}: {_NAME_IT}"
            )
        ready = [pod for pod in found if _is_ready(pod)]
        if not ready:
            pods = ", ".join(f"{_name(pod)} ({_state(pod)})" for pod in found)
            raise CommandError(f"no pod of control plane {releases[0]} is ready: {pods}")
        self._wanted = releases[0]  # whatever comes up later, this one is meant
        return min(ready, key=self._rank)

    def _rank(self, pod: Object) -> tuple[bool, str, str]:
        # The oldest, so that one command after another asks the same one.
        return _uid(pod) == self._gone, pod["metadata"]["creationTimestamp"], _name(pod)


async def _within(seconds: float | None, work: Coroutine[Any, Any, T]) -> T:
    async with asyncio.timeout(seconds):
        return await work


async def _farewell(session: Session) -> None:
    await session.close()
    # Sockets are closed in the loop's next rounds, of which there are none after this.
    for _ in range(_ROUNDS):
        await asyncio.sleep(0)


async def _pods(session: Session, wanted: str | None) -> tuple[list[Object], str]:
    """List the pods of control planes, and say where was looked: "" is everywhere."""
    if wanted:
        namespace, _, release = wanted.partition("/")
        labels = f"{LABELS},{RELEASE}={release}"
        return _items(await session.page(PODS, namespace, labels=labels)), namespace
    try:
        return _items(await session.page(PODS, labels=LABELS)), ""
    except ForbiddenError:
        return _items(await session.page(PODS, HOME, labels=LABELS)), HOME


def _items(page: Object) -> list[Object]:
    return list(page["items"])


def _name(pod: Object) -> str:
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"


def _uid(pod: Object) -> str:
    return str(pod["metadata"]["uid"])


def _release(pod: Object) -> str:
    return f"{pod['metadata']['namespace']}/{pod['metadata'].get('labels', {}).get(RELEASE, '')}"


def _is_ready(pod: Object) -> bool:
    return "deletionTimestamp" not in pod["metadata"] and any(
        one["type"] == "Ready" and one["status"] == "True" for one in _conditions(pod)
    )


def _state(pod: Object) -> str:
    if "deletionTimestamp" in pod["metadata"]:
        return "ending"
    phase = pod.get("status", {}).get("phase", "Unknown")
    return "not ready" if phase == "Running" else str(phase)


def _conditions(pod: Object) -> Iterable[Object]:
    return pod.get("status", {}).get("conditions") or ()
