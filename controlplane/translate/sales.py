"""Which sale guards which rule of a route.

A sale names routes, or single rules of them. For each rule one sale is in force: of those that
name it, one that names the rule goes before one that names the whole route; then the older sale,
then the one that comes first by namespace and name. The others say who won. So the outcome hangs
on the objects alone, never on the order in which they came.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from controlplane.model import FlashSale, HTTPRoute
from controlplane.translate.report import no, yes

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from controlplane.model import Condition, Inventory, ObjectRef
    from controlplane.model.flash_sale import TargetRef
    from controlplane.translate.report import Findings

_NEVER: Final = datetime.max.replace(tzinfo=UTC)

RuleKey = tuple["ObjectRef", int]
"""A route, and the place of a rule in it."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A sale that names a rule, by the rule's own name or by that of its route."""

    sale: FlashSale
    whole_route: bool

    @property
    def precedence(self) -> tuple[bool, datetime, str, str]:
        """Sorts the claim that wins first."""
        metadata = self.sale.metadata
        return (
            self.whole_route,
            metadata.creation_timestamp or _NEVER,
            metadata.namespace,
            metadata.name,
        )


@dataclass(slots=True)
class Outcome:
    """What became of one sale's targets."""

    guarded: list[RuleKey] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    detached: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


def settle(
    inventory: Inventory, attached: Collection[ObjectRef], findings: Findings
) -> Mapping[RuleKey, FlashSale]:
    """The sale in force for each rule of the attached routes; every sale is told how it went."""
    claims: dict[RuleKey, list[Claim]] = {}
    outcomes: dict[ObjectRef, Outcome] = {}
    for sale in inventory.all(FlashSale):
        outcome = outcomes[sale.ref] = Outcome()
        for key, claim in _claims(sale, inventory, attached, outcome):
            claims.setdefault(key, []).append(claim)
    winners = {key: min(found, key=lambda claim: claim.precedence) for key, found in claims.items()}
    for key, found in sorted(claims.items()):
        _tell(key, winners[key], found, inventory, outcomes)
    for sale in inventory.all(FlashSale):
        findings.add(sale, *_conditions(outcomes[sale.ref]))
    return {key: claim.sale for key, claim in winners.items()}


def _claims(
    sale: FlashSale, inventory: Inventory, attached: Collection[ObjectRef], outcome: Outcome
) -> Iterable[tuple[RuleKey, Claim]]:
    found: dict[RuleKey, Claim] = {}
    for target in sale.spec.target_refs:
        route = inventory.get(HTTPRoute, sale.namespace, target.name)
        places = _places(route, target, sale, outcome)
        if route is None or not places:
            continue
        if route.ref not in attached:
            outcome.detached.append(f"{route.ref} is attached to no gateway of ours")
            continue
        whole_route = target.section_name is None
        for place in places:
            before = found.get((route.ref, place))
            if before is None or before.whole_route:
                found[route.ref, place] = Claim(sale, whole_route)
    return found.items()


def _places(
    route: HTTPRoute | None, target: TargetRef, sale: FlashSale, outcome: Outcome
) -> list[int]:
    if route is None:
        outcome.missing.append(f"HTTPRoute {sale.namespace}/{target.name} is not there")
        return []
    rules = route.spec.rules
    if target.section_name is None:
        return list(range(len(rules)))
    places = [place for place, rule in enumerate(rules) if rule.name == target.section_name]
    if not places:
        there = ", ".join(rule.name for rule in rules if rule.name)
        known = f"its named rules are {there}" if there else "none of its rules has a name"
        outcome.missing.append(f"{route.ref} has no rule named {target.section_name}; {known}")
    return places


def _tell(
    key: RuleKey,
    winner: Claim,
    claims: Iterable[Claim],
    inventory: Inventory,
    outcomes: Mapping[ObjectRef, Outcome],
) -> None:
    route = inventory.find(key[0])
    name = route.rule_key(key[1]) if isinstance(route, HTTPRoute) else str(key[0])
    for claim in claims:
        outcome = outcomes[claim.sale.ref]
        if claim is winner:
            outcome.guarded.append(key)
        else:
            outcome.lost.append(
                f"{name} is guarded by {winner.sale.ref}, which {_why(winner, claim)}"
            )


def _why(winner: Claim, loser: Claim) -> str:
    if winner.whole_route != loser.whole_route:
        return "names the rule itself"
    is_older = winner.precedence[1] != loser.precedence[1]
    return "is older" if is_older else "comes first by namespace and name"


def _conditions(outcome: Outcome) -> tuple[Condition, Condition]:
    unresolved = _unresolved(outcome)
    if outcome.guarded:
        return yes("Accepted"), unresolved or yes("ResolvedRefs")
    for reason, found in (
        ("Conflicted", outcome.lost),
        ("TargetNotAttached", outcome.detached),
        ("TargetNotFound", outcome.missing),
    ):
        if found:
            refused = no("Accepted", reason, "; ".join(found))
            return refused, unresolved or yes("ResolvedRefs")
    return no("Accepted", "TargetNotFound", "no target has any rule"), yes("ResolvedRefs")


def _unresolved(outcome: Outcome) -> Condition | None:
    """Targets that are not guarded by this sale although it names them."""
    if outcome.missing:
        return no("ResolvedRefs", "TargetNotFound", "; ".join(outcome.missing + outcome.detached))
    if outcome.detached:
        return no("ResolvedRefs", "TargetNotAttached", "; ".join(outcome.detached))
    if outcome.lost and outcome.guarded:
        return no("ResolvedRefs", "Conflicted", "; ".join(outcome.lost))
    return None
