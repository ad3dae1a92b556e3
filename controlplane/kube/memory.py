"""What a reflector knows of the objects of one kind: no I/O, so that every order can be tried.

It keeps which version of each object was told of, not the objects: enough to tell after a new
list what has changed and what is gone.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from controlplane.kube.errors import GoneError, KubeError, UnavailableError, from_status
from controlplane.kube.resources import key_of, version_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from controlplane.kube.resources import Key, Object, ResourceType


@dataclass(frozen=True, slots=True)
class Listed:
    """All objects there are, as of one moment: on the first list, and after each new one."""

    objects: Mapping[Key, Object]
    changed: frozenset[Key]
    """Which of them are new or other than told before."""
    deleted: frozenset[Key]
    """Which were told of before and are no more."""


@dataclass(frozen=True, slots=True)
class Put:
    """An object was made or changed."""

    key: Key
    obj: Object


@dataclass(frozen=True, slots=True)
class Deleted:
    """An object is gone."""

    key: Key


@dataclass(frozen=True, slots=True)
class Bookmark:
    """Nothing has changed up to here; what was told is current."""

    resource_version: str


@dataclass(frozen=True, slots=True)
class Interrupted:
    """What was told may be out of date: the server is away, or refuses us. Tried again."""

    error: KubeError
    retry_in: float
    """Seconds."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """After `Interrupted`: changes are coming again, and none was missed."""


Change: TypeAlias = Listed | Put | Deleted | Bookmark | Interrupted | Resumed


class Memory:
    """The versions that were told of, and where the watch goes on."""

    def __init__(self, kind: ResourceType) -> None:
        self._kind = kind
        self._versions: dict[Key, str] = {}
        self._position = ""

    @property
    def position(self) -> str:
        """The resourceVersion to go on from; empty when only a list can tell the state."""
        return self._position

    def forget_position(self) -> None:
        """Have the next step be a list."""
        self._position = ""

    def listed(self, items: Iterable[Object], resource_version: str) -> Listed:
        """Take a whole list."""
        objects = {key_of(item): self._complete(item) for item in items}
        versions = {key: version_of(obj) for key, obj in objects.items()}
        before, self._versions = self._versions, versions
        self._position = resource_version
        changed = (key for key, version in versions.items() if before.get(key) != version)
        return Listed(objects, frozenset(changed), frozenset(before.keys() - versions.keys()))

    def take(self, line: bytes) -> Change:
        """Take one line of a watch.

        Raises:
            GoneError: the server cannot go on from here.
            KubeError: another error that the server tells of, or a line that makes no sense.
                After any of them only a list can tell the state.
        """
        try:
            return self._take(*_read(line))
        except KubeError:
            self.forget_position()
            raise

    def _take(self, kind: str, obj: Object) -> Change:
        if kind == "ERROR":
            raise from_status(f"watch {self._kind}", obj)
        try:
            version = version_of(obj)
            self._advance(version)
            if kind == "BOOKMARK":
                return Bookmark(version)
            key = key_of(obj)
        except (LookupError, TypeError, AttributeError) as error:
            raise UnavailableError(f"cannot watch {self._kind}: {kind} of no object") from error
        if kind == "DELETED":
            self._versions.pop(key, None)
            return Deleted(key)
        if kind not in {"ADDED", "MODIFIED"}:
            raise UnavailableError(f"cannot watch {self._kind}: unknown event {kind[:32]!r}")
        if self._versions.get(key) == version:
            return Bookmark(version)
        self._versions[key] = version
        return Put(key, self._complete(obj))

    def _advance(self, version: str) -> None:
        """Go on to a version. One that lies back is from a store that was restored or replaced."""
        before = self._position
        if version.isdecimal() and before.isdecimal() and int(version) < int(before):
            raise GoneError(f"cannot watch {self._kind}: the server went back to an older state")
        self._position = version

    def _complete(self, obj: Object) -> Object:
        """Add what lists leave out, and leave out what only the server needs."""
        obj.setdefault("apiVersion", self._kind.api_version)
        obj.setdefault("kind", self._kind.kind)
        obj["metadata"].pop("managedFields", None)  # often more than the rest of the object
        return obj


def _read(line: bytes) -> tuple[str, dict[str, Any]]:
    try:
        event = json.loads(line)
        kind, obj = str(event["type"]), event["object"]
    except (ValueError, LookupError, TypeError) as error:
        raise UnavailableError("the API server sent a watch event that cannot be read") from error
    if not isinstance(obj, dict):
        raise UnavailableError(f"the API server sent a watch event {kind[:32]!r} of no object")
    return kind, obj
