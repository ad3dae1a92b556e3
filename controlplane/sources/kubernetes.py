"""Objects of a Kubernetes API server, followed.

One reflector for each kind (and namespace, when some are named); all together they are the source.
Nothing counts as known before every one of them has listed its objects: a gateway without the
routes that come a moment later would be an outage. From then on whatever happens to the server
changes nothing here; what was told last stays in force.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from controlplane.kube import (
    Deleted,
    Interrupted,
    Listed,
    NotFoundError,
    Put,
    Resumed,
    Rhythm,
    Target,
    targets,
    watching,
)
from controlplane.model.inventory import Inventory
from controlplane.model.meta import CLUSTER_SCOPE, ObjectRef
from controlplane.model.parsing import parse_served
from controlplane.model.problems import Invalid, Problem
from controlplane.sources.api_types import SELECTED, TYPES, WITH_STATUS
from controlplane.sources.loading import STAYS, Update
from controlplane.sources.standings import Standings

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Mapping

    from controlplane.kube import Change, Key, KubeError, Object, Session
    from controlplane.model.meta import Resource

_LONGEST_DEBOUNCE: Final = 1.0
"""Seconds after which a change is read even if more keep coming."""


class ClusterSource:
    """A source of objects: those of an API server, in the given namespaces or in all.

    Without `secrets` it asks for none: to be refused is to be never synced.
    An object that cannot be read keeps its last good version in force; the problem stays until
    the object is good again, or gone.
    """

    def __init__(
        self,
        session: Session,
        namespaces: Iterable[str] = (),
        *,
        secrets: bool = True,
        debounce: float = 0.05,
        rhythm: Rhythm | None = None,
    ) -> None:
        self.standings = Standings(session.namespace)
        self._session = session
        kinds = [kind for name, kind in TYPES.items() if secrets or name != "Secret"]
        self._targets = tuple(
            replace(target, fields=SELECTED.get(target.kind.kind, ""))
            for target in targets(kinds, namespaces)
        )
        self._debounce = debounce
        self._rhythm = rhythm or Rhythm()
        self._unlisted = set(self._targets)
        self._waiting: dict[ObjectRef, Object | None] = {}
        self._said: dict[ObjectRef, Mapping[str, object]] = {}
        self._troubles: dict[Target, Problem] = {}
        self._problems: dict[ObjectRef, tuple[Problem, ...]] = {}
        self._inventory = Inventory()
        self._changed = asyncio.Event()

    async def updates(self) -> AsyncGenerator[Update]:
        """Give the state, not synced at first, and again after each change; never ends."""
        async with asyncio.TaskGroup() as group:
            following = group.create_task(self._follow(), name="reflectors")
            try:
                last = Update(self._inventory, synced=False)
                yield last
                while True:
                    await self._settle()
                    update = await self._update()
                    if update.differs(last):
                        last = update
                        yield update
            except GeneratorExit:
                pass  # nobody listens any more; the group must not take it for a failure
            finally:
                following.cancel()

    # ------------------------------------------------------------------------ what is told
    async def _follow(self) -> None:
        async with watching(self._session, self._targets, rhythm=self._rhythm) as changes:
            async for target, change in changes:
                if self._take(target, change):
                    self._changed.set()

    def _take(self, target: Target, change: Change) -> bool:
        """Note a change; gives whether it is one to us, who write status but do not read it."""
        if isinstance(change, Listed):
            for key in change.deleted:
                self._gone(target, key)
            for key in change.changed:
                self._seen(target, key, change.objects[key], listed=True)
            self._unlisted.discard(target)
        elif isinstance(change, Put):
            return self._seen(target, change.key, change.obj)
        elif isinstance(change, Deleted):
            self._gone(target, change.key)
        elif isinstance(change, Interrupted):
            self._troubles[target] = self._trouble(target, change.error)
        elif isinstance(change, Resumed):
            self._troubles.pop(target, None)
        else:
            return False
        return True

    def _seen(self, target: Target, key: Key, obj: Object, *, listed: bool = False) -> bool:
        ref = _ref(target, key)
        if ref.kind in WITH_STATUS:
            self.standings.see(ref, obj, listed=listed)
            before, self._said[ref] = self._said.get(ref), _said(obj)
            if self._said[ref] == before:
                return False
        elif ref.kind == "Service":
            self.standings.see_service(*key, obj)
        self._waiting[ref] = None if _is_leaving(ref, obj) else obj
        return True

    def _gone(self, target: Target, key: Key) -> None:
        ref = _ref(target, key)
        self._waiting[ref] = None
        self._said.pop(ref, None)
        if ref.kind in WITH_STATUS:
            self.standings.forget(ref)
        elif ref.kind == "Service":
            self.standings.see_service(*key, None)

    def _trouble(self, target: Target, error: KubeError) -> Problem:
        """Say what keeps us from knowing; what it costs depends on whether we knew before."""
        reason = "NotInstalled" if isinstance(error, NotFoundError) else "NotWatched"
        if target in self._unlisted:
            return Problem(None, f"{error}; nothing is served before", reason=reason)
        message = f"{error}{STAYS}"
        return Problem(None, message, reason=reason, severity="warning")

    # ----------------------------------------------------------------------- what is given
    async def _settle(self) -> None:
        """Wait for a change, then until no more come, or for as long as is bearable.

        One that comes alone is in force at once; the more follow, the longer it is worth waiting
        for the rest of an apply of many objects.
        """
        await self._changed.wait()
        nap = self._debounce / 8
        loop = asyncio.get_running_loop()
        latest = loop.time() + _LONGEST_DEBOUNCE
        while self._changed.is_set() and loop.time() < latest:
            self._changed.clear()
            await asyncio.sleep(nap)
            nap = min(2 * nap, self._debounce)
        self._changed.clear()

    async def _update(self) -> Update:
        # As of now: while these are read, more may come, and the last of the lists with them.
        waiting, self._waiting = self._waiting, {}
        synced = not self._unlisted
        if waiting:
            # A thread of its own: a first list may bring thousands of objects.
            await asyncio.to_thread(self._read, waiting)
        problems = [*self._troubles.values()]
        problems += [one for found in self._problems.values() for one in found]
        problems.sort(key=lambda problem: (str(problem.ref or ""), problem.field, problem.message))
        return Update(self._inventory, tuple(dict.fromkeys(problems)), synced)

    def _read(self, waiting: Mapping[ObjectRef, Object | None]) -> None:
        """Parse what has changed, and put it in the place of what was known."""
        good: list[Resource] = []
        gone: list[ObjectRef] = []
        for ref, obj in waiting.items():
            before = self._inventory.find(ref)
            self._problems.pop(ref, None)
            if obj is None:
                gone.append(ref)
                continue
            try:
                resource, warnings = parse_served(obj)
            except Invalid as error:
                self._problems[ref] = _kept(error.problems) if before else error.problems
                continue
            if warnings:
                self._problems[ref] = warnings
            if resource != before:  # what is equal stays the very same object: see Update.differs
                good.append(resource)
        self._inventory = self._inventory.without_(*gone).with_(*good)


def _kept(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    return tuple(
        replace(problem, message=problem.message + STAYS) if problem.is_error else problem
        for problem in problems
    )


def _said(obj: Object) -> Mapping[str, object]:
    """What tells whether an object says something new, of kinds with a status of its own.

    A new spec has a new generation there. What is left out changes with each write of a status.
    """
    metadata: Mapping[str, object] = obj["metadata"]
    return {
        name: value
        for name, value in metadata.items()
        if name not in {"managedFields", "resourceVersion"}
    }


def _ref(target: Target, key: Key) -> ObjectRef:
    namespace, name = key
    return ObjectRef(target.kind.kind, namespace or CLUSTER_SCOPE, name)


def _is_leaving(ref: ObjectRef, obj: Object) -> bool:
    """Whether a sale is deleted, and only waits for what it has scaled to be put back."""
    return ref.kind == "FlashSale" and bool(obj["metadata"].get("deletionTimestamp"))
