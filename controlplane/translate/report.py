"""What a translation has to say about the objects it was made from.

Conditions use the words of Gateway API, so that people and tools that know them understand ours.
Nobody here knows whether a proxy took what was made: for that, `owners` leads from an Envoy
resource to the objects in it. So a refusal finds the object to blame, and an object is in force
when every resource it owns is.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from controlplane.model import Condition, ObjectRef, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from controlplane.model import Resource
    from controlplane.model.gateway import RouteGroupKind
    from controlplane.model.route import ParentReference

ResourceKey = tuple[str, str, str]
"""Gateway (``namespace/name``), type URL and name of an Envoy resource."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The conditions of one object, or of one part of it.

    `listener` is given for a listener of a Gateway, `parent` for what an HTTPRoute is to one of
    its parents. `attached_routes` and `supported_kinds` are given for listeners.
    """

    ref: ObjectRef
    conditions: tuple[Condition, ...]
    listener: str = ""
    parent: ParentReference | None = None
    attached_routes: int | None = None
    supported_kinds: tuple[RouteGroupKind, ...] | None = None

    @property
    def place(self) -> str:
        """The part in words, empty for the whole object."""
        if self.listener:
            return f"listener {self.listener}"
        if self.parent is None:
            return ""
        namespace = self.parent.namespace or self.ref.namespace
        section = f"/{self.parent.section_name}" if self.parent.section_name else ""
        return f"parent {namespace}/{self.parent.name}{section}"

    def condition(self, kind: str) -> Condition | None:
        """The condition of this type, such as ``Accepted``."""
        return next((found for found in self.conditions if found.type == kind), None)


@dataclass(frozen=True)
class Report:
    """Everything a translation has to say, in a stable order."""

    verdicts: tuple[Verdict, ...] = ()
    owners: Mapping[ResourceKey, tuple[ObjectRef, ...]] = field(default_factory=dict)
    warnings: tuple[Problem, ...] = ()
    """What works, and does not do all that its writer may think."""

    def about(self, ref: ObjectRef) -> tuple[Verdict, ...]:
        """Every verdict on one object and its parts."""
        return self._by_object.get(ref, ())

    def resources(self, ref: ObjectRef) -> tuple[ResourceKey, ...]:
        """The Envoy resources that an object is in; none when it is in force nowhere."""
        return self._resources.get(ref, ())

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What is not as its writer meant it, one line each; warnings at the end."""
        found = (
            Problem(verdict.ref, _sentence(verdict, condition), reason=condition.reason)
            for verdict in self.verdicts
            for condition in verdict.conditions
            if _is_bad(condition)
        )
        return tuple(dict.fromkeys((*found, *self.warnings)))

    @cached_property
    def _by_object(self) -> Mapping[ObjectRef, tuple[Verdict, ...]]:
        found: dict[ObjectRef, list[Verdict]] = {}
        for verdict in self.verdicts:
            found.setdefault(verdict.ref, []).append(verdict)
        return {ref: tuple(verdicts) for ref, verdicts in found.items()}

    @cached_property
    def _resources(self) -> Mapping[ObjectRef, tuple[ResourceKey, ...]]:
        found: dict[ObjectRef, list[ResourceKey]] = {}
        for key, refs in self.owners.items():
            for ref in refs:
                found.setdefault(ref, []).append(key)
        return {ref: tuple(keys) for ref, keys in found.items()}


class Findings:
    """Gathers a report while the translation goes on."""

    def __init__(self) -> None:
        self._verdicts: dict[tuple[ObjectRef, str, int], Verdict] = {}
        self._owners: dict[ResourceKey, tuple[ObjectRef, ...]] = {}
        self._warnings: list[Problem] = []

    def add(
        self,
        resource: Resource,
        *conditions: Condition,
        listener: str = "",
        parent: ParentReference | None = None,
        attached_routes: int | None = None,
        supported_kinds: tuple[RouteGroupKind, ...] | None = None,
    ) -> None:
        """Say something about an object, as it is in the generation that was read.

        What is said of one place at several times comes together in one verdict.
        """
        seen = resource.metadata.generation
        dated = tuple(replace(item, observed_generation=seen) for item in conditions)
        said = Verdict(resource.ref, dated, listener, parent, attached_routes, supported_kinds)
        key = (resource.ref, said.place, len(self._verdicts) if parent is not None else 0)
        before = self._verdicts.get(key)
        if before is not None:
            said = replace(before, conditions=before.conditions + dated)
        self._verdicts[key] = said

    def own(self, key: ResourceKey, *refs: ObjectRef) -> None:
        """Note which objects are in an Envoy resource."""
        self._owners[key] = tuple(sorted({*self._owners.get(key, ()), *refs}))

    def warn(self, resource: Resource, path: str, message: str) -> None:
        """Say something about a field that is no fault."""
        problem = Problem(resource.ref, message, "NoEffect", field=path, severity="warning")
        self._warnings.append(problem)

    def report(self) -> Report:
        """Everything found, sorted by object."""
        verdicts = sorted(self._verdicts.values(), key=lambda verdict: verdict.ref)
        warnings = sorted(self._warnings, key=lambda found: (str(found.ref), found.field))
        return Report(tuple(verdicts), dict(sorted(self._owners.items())), tuple(warnings))


def yes(kind: str, reason: str = "", message: str = "") -> Condition:
    """A condition that holds; its reason is its type unless given, as Gateway API does it."""
    return Condition(kind, "True", reason or kind, message)


def no(kind: str, reason: str, message: str) -> Condition:
    """A condition that does not hold."""
    return Condition(kind, "False", reason, message)


_BAD_WHEN_TRUE = frozenset({"Conflicted", "PartiallyInvalid"})


def _is_bad(condition: Condition) -> bool:
    if condition.type in _BAD_WHEN_TRUE:
        return condition.status == "True"
    return condition.status == "False"


def _sentence(verdict: Verdict, condition: Condition) -> str:
    return f"{verdict.place}: {condition.message}" if verdict.place else condition.message
