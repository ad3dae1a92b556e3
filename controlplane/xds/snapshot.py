"""All resources of one gateway at one moment, and what differs between two such moments.

Snapshots are compared by content: two replicas, or one process before and after a restart, that
translate the same objects give the same versions, so that a reconnecting proxy need not be sent
what it has.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from controlplane.xds.resource import Resource

_DIGITS = 16
_NONE: Mapping[str, Resource] = MappingProxyType({})
_REMEMBERED_CHANGES = 16


def content_version(resources: Iterable[Resource]) -> str:
    """One version for many resources of one type: a hash of their names and versions."""
    pairs = sorted((resource.name, resource.version) for resource in resources)
    lines = "".join(f"{name}\0{version}\n" for name, version in pairs)
    return hashlib.sha256(lines.encode()).hexdigest()[:_DIGITS]


EMPTY_VERSION = content_version(())


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """The resources of a gateway. Immutable; make one with `Snapshot.of`.

    Attributes:
        resources: by type URL and name.
        versions: per type URL, a hash of the content of that type.
        version: a hash of the whole.
    """

    resources: Mapping[str, Mapping[str, Resource]]
    versions: Mapping[str, str] = field(init=False, repr=False)
    version: str = field(init=False)
    _changes: dict[str, Mapping[str, frozenset[str]]] = field(
        init=False, repr=False, default_factory=dict
    )

    def __post_init__(self) -> None:
        versions = {
            url: content_version(named.values()) for url, named in sorted(self.resources.items())
        }
        lines = "".join(f"{url}\0{version}\n" for url, version in versions.items())
        set_once = object.__setattr__
        set_once(self, "versions", MappingProxyType(versions))
        set_once(self, "version", hashlib.sha256(lines.encode()).hexdigest()[:_DIGITS])

    @classmethod
    def of(cls, resources: Iterable[Resource]) -> Self:
        """The snapshot with these resources, in any order.

        Raises:
            ValueError: two of one type have the same name: a proxy would refuse both.
        """
        sorted_by_type: dict[str, dict[str, Resource]] = {}
        for resource in sorted(resources, key=lambda one: (one.type_url, one.name)):
            named = sorted_by_type.setdefault(resource.type_url, {})
            if resource.name in named:
                message = f"two resources of type {resource.type_url} are named {resource.name!r}"
                raise ValueError(message)
            named[resource.name] = resource
        frozen = {url: MappingProxyType(named) for url, named in sorted_by_type.items()}
        return cls(MappingProxyType(frozen))

    def of_type(self, type_url: str) -> Mapping[str, Resource]:
        """The resources of a type, by name; empty when there are none."""
        return self.resources.get(type_url, _NONE)

    def version_of(self, type_url: str) -> str:
        """The version of a type's content, also when that is empty."""
        return self.versions.get(type_url, EMPTY_VERSION)

    def get(self, type_url: str, name: str) -> Resource | None:
        """One resource, or None."""
        return self.of_type(type_url).get(name)

    def sharing(self, other: Snapshot) -> Snapshot:
        """This snapshot, with the objects of `other` where the content is equal.

        Streams keep what they sent; without this, equal bytes would be held twice.
        """
        return Snapshot.of(
            old if (old := other.get(url, name)) and old.version == new.version else new
            for url, named in self.resources.items()
            for name, new in named.items()
        )

    def changes_since(self, other: Snapshot) -> Mapping[str, frozenset[str]]:
        """Per type URL, the names whose content differs from `other`; types without are absent.

        Remembered for the latest few others, since all streams of a gateway ask the same.
        """
        known = self._changes.get(other.version)
        if known is None:
            if len(self._changes) >= _REMEMBERED_CHANGES:
                self._changes.pop(next(iter(self._changes)))
            known = self._changes[other.version] = self._differences(other)
        return known

    def _differences(self, other: Snapshot) -> Mapping[str, frozenset[str]]:
        found = {}
        for url in sorted({*self.resources, *other.resources}):
            if self.version_of(url) != other.version_of(url):
                found[url] = _different(self.of_type(url), other.of_type(url))
        return found


def _different(new: Mapping[str, Resource], old: Mapping[str, Resource]) -> frozenset[str]:
    changed = {
        name for name, one in new.items() if name not in old or old[name].version != one.version
    }
    return frozenset(changed.union(old.keys() - new.keys()))


EMPTY = Snapshot.of(())


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """What one proxy is to have now.

    Attributes:
        snapshot: the content; usually the gateway's newest, with last good content in the place
            of what proxies refused (see `gateway`).
        serial: counts the snapshots of the gateway, so that confirmations can be ordered.
        retries: counts how often an operator asked to try refused content again.
        published: when the newest snapshot was set, on the store's clock, in seconds.
        substituted: type URL and name of what is last good content in the place of refused.
        past: earlier content by type URL and type version: what a proxy that reconnects and names
            that version still has.
    """

    snapshot: Snapshot
    serial: int = 0
    retries: int = 0
    published: float = 0.0
    substituted: frozenset[tuple[str, str]] = frozenset()
    past: Mapping[tuple[str, str], Mapping[str, Resource]] = field(
        default_factory=lambda: MappingProxyType({}), repr=False
    )

    def recall(self, type_url: str, version: str) -> Mapping[str, Resource] | None:
        """The content of a type at a version; None when that is not known (any more)."""
        if version == self.snapshot.version_of(type_url):
            return self.snapshot.of_type(type_url)
        return self.past.get((type_url, version))
