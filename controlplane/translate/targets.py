"""What policies of every kind have in common: finding their targets, and telling how it went.

Of two policies that want the same thing the older wins, then the one that comes first by namespace
and name, as Gateway API has it (GEP-713). So the outcome hangs on the objects alone, never on the
order in which they came.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Protocol

from controlplane.model import HTTPRoute
from controlplane.translate.report import no, yes

if TYPE_CHECKING:
    from collections.abc import Collection

    from controlplane.model import Condition, Inventory, ObjectRef, Resource

MEND: Final = "create it, or correct targetRefs"
"""What to do about a target that is not there."""
_NEVER: Final = datetime.max.replace(tzinfo=UTC)

RuleKey = tuple["ObjectRef", int]
"""A route, and the place of a rule in it."""


class RouteTarget(Protocol):
    """A route that a policy names, or one rule of it."""

    @property
    def name(self) -> str:
        """Name of the route, in the namespace of the policy."""

    @property
    def section_name(self) -> str | None:
        """Name of the rule; None for all of them."""


@dataclass(slots=True)
class Outcome:
    """What became of one policy's targets."""

    won: int = 0
    """In how many places it is in force."""
    missing: list[str] = field(default_factory=list)
    detached: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    @property
    def conditions(self) -> tuple[Condition, Condition]:
        """Accepted, if it is in force anywhere; ResolvedRefs, if it is wherever it should be."""
        unresolved = self._unresolved()
        if self.won:
            return yes("Accepted"), unresolved or yes("ResolvedRefs")
        for reason, found in (
            ("Conflicted", self.lost),
            ("TargetNotAttached", self.detached),
            ("TargetNotFound", self.missing),
        ):
            if found:
                refused = no("Accepted", reason, "; ".join(found))
                return refused, unresolved or yes("ResolvedRefs")
        return no("Accepted", "TargetNotFound", "no target has any rule"), yes("ResolvedRefs")

    def _unresolved(self) -> Condition | None:
        """Targets where this policy is not in force although it names them."""
        if self.missing:
            return no("ResolvedRefs", "TargetNotFound", "; ".join(self.missing + self.detached))
        if self.detached:
            return no("ResolvedRefs", "TargetNotAttached", "; ".join(self.detached))
        if self.lost and self.won:
            return no("ResolvedRefs", "Conflicted", "; ".join(self.lost))
        return None


def age(resource: Resource) -> tuple[datetime, str, str]:
    """Sorts the older object first; one that has no age stands behind those that have."""
    metadata = resource.metadata
    return (metadata.creation_timestamp or _NEVER, metadata.namespace, metadata.name)


def why(winner: Resource, loser: Resource) -> str:
    """Why the winner goes first, of two with the same claim."""
    is_older = age(winner)[0] != age(loser)[0]
    return "is older" if is_older else "comes first by namespace and name"


def rules(
    policy: Resource,
    target: RouteTarget,
    inventory: Inventory,
    attached: Collection[ObjectRef],
    outcome: Outcome,
) -> list[RuleKey]:
    """The rules that a target means; none, and a word in the outcome, when that cannot be."""
    route = inventory.get(HTTPRoute, policy.namespace, target.name)
    if route is None:
        outcome.missing.append(f"HTTPRoute {policy.namespace}/{target.name} is not there: {MEND}")
        return []
    places = _places(route, target.section_name, outcome)
    if places and route.ref not in attached:
        outcome.detached.append(
            f"{route.ref} is attached to no gateway of ours: see its parentRefs"
        )
        return []
    return [(route.ref, place) for place in places]


def _places(route: HTTPRoute, name: str | None, outcome: Outcome) -> list[int]:
    found = route.spec.rules
    if name is None:
        return list(range(len(found)))
    places = [place for place, rule in enumerate(found) if rule.name == name]
    if not places:
        there = ", ".join(rule.name for rule in found if rule.name)
        known = f"its named rules are {there}" if there else "none of its rules has a name"
        outcome.missing.append(f"{route.ref} has no rule named {name}; {known}")
    return places
