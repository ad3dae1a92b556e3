"""All objects at one moment, indexed and frozen.

Everything behind the sources works on an inventory: translation is a pure function of it, and a
change is a new inventory that shares all but the kind that changed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Self, TypeVar, cast

from controlplane.model.kinds import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from controlplane.model.meta import ObjectRef, Resource

R = TypeVar("R", bound="Resource")
Key = tuple[str, str]
"""Namespace and name."""

_NOTHING: Final[Mapping[Key, Resource]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Inventory:
    """All objects by kind, namespace and name; each kind in order of namespace and name."""

    _kinds: Mapping[str, Mapping[Key, Resource]] = field(default_factory=dict)

    @classmethod
    def build(cls, objects: Iterable[Resource] = ()) -> Self:
        """Index objects; of two with one name the later counts."""
        return cls().with_(*objects)

    def with_(self, *objects: Resource) -> Self:
        """Put in objects, replacing those of the same name."""
        added: dict[str, dict[Key, Resource]] = {}
        for item in objects:
            added.setdefault(item.kind, {})[_key(item)] = item
        kinds = dict(self._kinds)
        for kind, items in added.items():
            before = kinds.get(kind, _NOTHING)
            merged = {**before, **items}
            if len(merged) != len(before):
                merged = dict(sorted(merged.items()))
            kinds[kind] = MappingProxyType(merged)
        return type(self)(MappingProxyType(kinds))

    def without_(self, *refs: ObjectRef) -> Self:
        """Take out objects; those that are not there are no error."""
        kinds = dict(self._kinds)
        for kind in {ref.kind for ref in refs} & kinds.keys():
            gone = {(ref.namespace, ref.name) for ref in refs if ref.kind == kind}
            kept = {key: item for key, item in kinds[kind].items() if key not in gone}
            kinds[kind] = MappingProxyType(kept)
        return type(self)(MappingProxyType({kind: held for kind, held in kinds.items() if held}))

    def all(self, kind: type[R]) -> tuple[R, ...]:
        """Every object of a kind, in order of namespace and name."""
        return cast("tuple[R, ...]", tuple(self._kinds.get(kind.__name__, _NOTHING).values()))

    def get(self, kind: type[R], namespace: str, name: str) -> R | None:
        """One object, or None."""
        return cast("R | None", self._kinds.get(kind.__name__, _NOTHING).get((namespace, name)))

    def find(self, ref: ObjectRef) -> Resource | None:
        """The object that is meant, or None."""
        return self._kinds.get(ref.kind, _NOTHING).get((ref.namespace, ref.name))

    @property
    def objects(self) -> tuple[Resource, ...]:
        """Every object, by kind (in the order of `KINDS`), namespace and name."""
        return tuple(
            item for kind in KINDS if kind in self._kinds for item in self._kinds[kind].values()
        )

    def __len__(self) -> int:
        return sum(len(held) for held in self._kinds.values())

    def __contains__(self, ref: ObjectRef) -> bool:
        return self.find(ref) is not None


def _key(item: Resource) -> Key:
    return (item.metadata.namespace, item.metadata.name)
