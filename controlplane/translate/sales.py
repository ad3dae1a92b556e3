"""Which sale guards which rule of a route.

A sale names routes, or single rules of them. For each rule one sale is in force: of those that
name it, one that names the rule goes before one that names the whole route; then the older sale,
then the one that comes first by namespace and name. The others say who won.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from controlplane.model import FlashSale, HTTPRoute
from controlplane.translate import targets
from controlplane.translate.targets import Outcome, RuleKey

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime

    from controlplane.model import Inventory, ObjectRef
    from controlplane.translate.report import Findings


@dataclass(frozen=True, slots=True)
class Claim:
    """A sale that names a rule, by the rule's own name or by that of its route."""

    sale: FlashSale
    whole_route: bool

    @property
    def precedence(self) -> tuple[bool, datetime, str, str]:
        """Sorts the claim that wins first."""
        return (self.whole_route, *targets.age(self.sale))


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
        findings.add(sale, *outcomes[sale.ref].conditions)
    return {key: claim.sale for key, claim in winners.items()}


def _claims(
    sale: FlashSale, inventory: Inventory, attached: Collection[ObjectRef], outcome: Outcome
) -> Iterable[tuple[RuleKey, Claim]]:
    found: dict[RuleKey, Claim] = {}
    for target in sale.spec.target_refs:
        whole_route = target.section_name is None
        for key in targets.rules(sale, target, inventory, attached, outcome):
            before = found.get(key)
            if before is None or before.whole_route:
                found[key] = Claim(sale, whole_route)
    return found.items()


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
            outcome.won += 1
        else:
            outcome.lost.append(
                f"{name} is guarded by {winner.sale.ref}, which {_why(winner, claim)}"
            )


def _why(winner: Claim, loser: Claim) -> str:
    if winner.whole_route != loser.whole_route:
        return "names the rule itself"
    return targets.why(winner.sale, loser.sale)
