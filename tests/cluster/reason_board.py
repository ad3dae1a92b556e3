"""Applies manifests in namespaces of their own, and waits for what is to be said of them.

One list of each kind shows what is said of all cases, so that many of them cost no more than one.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import httpx

from controlplane.model.gateway import CONTROLLER_NAME
from controlplane.sources.api_types import TYPES
from tests.cluster.cluster import by_type
from tests.cluster.reason_manifests import VAULT, Gone, certificate, service
from tests.testkit.waiting import eventually

if TYPE_CHECKING:
    from tests.cluster.api_server import ApiServer
    from tests.cluster.reason_manifests import Manifest, Says

Board: TypeAlias = Mapping[tuple[str, str, str], Mapping[str, Any]]
"""Objects by kind, namespace and name."""
KINDS: Final = ("GatewayClass", "Gateway", "HTTPRoute", "FlashSale", "QuotaPolicy")
"""Kinds that have a status."""
_NAMESPACES: Final = "/api/v1/namespaces"
DEADLINE: Final = 60.0


class Cluster:
    """What the admin does there, and sees."""

    def __init__(self, server: ApiServer) -> None:
        self.server = server
        self._made: set[tuple[str, str, str]] = set()
        self._at_once = asyncio.Semaphore(8)

    async def namespaces(self, names: Iterable[str]) -> None:
        """Makes namespaces, and what is in the vault."""
        there = (await self._call("GET", _NAMESPACES))["items"]
        wanted = {VAULT, *names} - {one["metadata"]["name"] for one in there}
        made = ({"metadata": {"name": name}} for name in wanted)
        await asyncio.gather(*(self._call("POST", _NAMESPACES, one) for one in made))
        await self.apply(VAULT, (service("pay"), certificate("cert")))

    async def apply(self, namespace: str, changes: Iterable[Manifest | Gone]) -> None:
        """Makes objects, or replaces or deletes those that were made; one after the other."""
        for change in changes:
            if isinstance(change, Gone):
                await self._call("DELETE", self._path(namespace, change.kind, change.name))
                self._made.discard((namespace, change.kind, change.name))
            else:
                await self._put(namespace, change)

    async def clear(self) -> None:
        """Deletes all that was made, but namespaces: no controller runs that could end them."""
        paths = [self._path(at, kind, name) for at, kind, name in self._made]
        await asyncio.gather(*(self._call("DELETE", path) for path in paths))

    async def edit(self, namespace: str, kind: str, name: str, **spec: Any) -> None:
        """Sets fields of a spec."""
        await self._change(
            self._path(namespace, kind, name), lambda found: found["spec"].update(spec)
        )

    async def until(self, *wanted: tuple[str, Says]) -> None:
        """Waits until all of it is said, each of a namespace, and of the newest generation."""

        async def said() -> bool:
            board = await self._board({one.kind for _, one in wanted})
            open_ = [found for at, one in wanted if (found := _lacks(board, at, one))]
            assert not open_, "\n".join(["", *open_])
            return True

        what = f"{len(wanted)} conditions are reached"
        await eventually(said, what=what, every=0.2, deadline=DEADLINE)

    async def first_said(self, namespace: str, wanted: Says) -> bool:
        """Whether a condition is as wanted before it is otherwise: sees each write, by a watch."""
        path = TYPES[wanted.kind].path(namespace)
        context = ssl.create_default_context(cafile=str(self.server.ca))
        headers = {"Authorization": f"Bearer {self.server.token()}"}
        async with (
            asyncio.timeout(DEADLINE),
            httpx.AsyncClient(
                base_url=self.server.url, verify=context, timeout=DEADLINE, trust_env=False
            ) as client,
            client.stream("GET", path, params={"watch": "1"}, headers=headers) as answer,
        ):
            async for line in answer.aiter_lines():
                one = json.loads(line)["object"]
                if one["metadata"]["name"] != wanted.name:
                    continue
                found = by_type(one.get("status") or {}).get(wanted.condition, {})
                if found.get("reason") in {None, "NotProgrammed"}:
                    continue
                board = {(wanted.kind, namespace, wanted.name): one}
                return not _lacks(board, namespace, wanted)
        return False

    async def _board(self, kinds: Iterable[str]) -> Board:
        found: dict[tuple[str, str, str], Mapping[str, Any]] = {}
        for kind in kinds:
            for one in (await self._call("GET", TYPES[kind].path()))["items"]:
                metadata = one["metadata"]
                found[kind, metadata.get("namespace", ""), metadata["name"]] = one
        return found

    async def _put(self, namespace: str, change: Manifest) -> None:
        metadata = change["metadata"]
        kind, name, at = change["kind"], metadata["name"], metadata.get("namespace", namespace)
        metadata = {"name": name, "namespace": at} if TYPES[kind].namespaced else {"name": name}
        path, body = self._path(at, kind, name), {**change, "metadata": metadata}
        if (at, kind, name) in self._made:
            await self._change(
                path, lambda found: found.update({**change, "metadata": found["metadata"]})
            )
        else:
            await self._call("POST", self._path(at, kind), body)
            self._made.add((at, kind, name))

    async def _change(self, path: str, change: Callable[[dict[str, Any]], None]) -> None:
        """Changes an object, again when its status was written meanwhile."""

        async def changed() -> bool:
            found = await self._call("GET", path)
            change(found)
            return bool(await self._call("PUT", path, found))

        await eventually(changed, what=f"{path} is changed", every=0.05)

    async def _call(self, method: str, path: str, body: Any = None) -> Any:
        async with self._at_once:
            return await self.server.call(method, path, body)

    @staticmethod
    def _path(namespace: str, kind: str, name: str = "") -> str:
        return TYPES[kind].path(namespace, name)


def _lacks(board: Board, namespace: str, wanted: Says) -> str:
    """What is said instead; empty when it is as wanted."""
    if not TYPES[wanted.kind].namespaced:
        namespace = ""
    obj = board.get((wanted.kind, namespace, wanted.name))
    where = f"{namespace} {wanted.about} {wanted.condition}"
    if obj is None:
        return f"{where}: there is no such object"
    found = by_type(dict(_place(obj.get("status") or {}, wanted))).get(wanted.condition)
    if found is None:
        return "" if not wanted.expected else f"{where}: not said"
    seen = f"{found['status']}/{found['reason']}"
    newest = found.get("observedGeneration") == obj["metadata"]["generation"]
    if seen == wanted.expected and wanted.words in found["message"] and newest:
        return ""
    return f"{where}: wants {wanted.expected} ({wanted.words}), and there is {found}"


def _place(status: Mapping[str, Any], wanted: Says) -> Mapping[str, Any]:
    """The part of a status that has the conditions."""
    if wanted.part:
        parts = [one for one in status.get("listeners", ()) if one["name"] == wanted.part]
    elif wanted.kind == "HTTPRoute":
        said = status.get("parents", ())
        parts = [one for one in said if one["controllerName"] == CONTROLLER_NAME]
    else:
        return status
    return parts[0] if parts else {}
