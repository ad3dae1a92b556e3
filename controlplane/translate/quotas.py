"""Which quota policies hold for which requests.

A policy names gateways, routes, or single rules of them. On each target one policy is in force,
the oldest; but a gateway, a route on it and a rule of that are three targets, and what is in force
on them applies together.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

from controlplane.model import Gateway, ObjectRef, QuotaPolicy
from controlplane.translate import targets
from controlplane.translate.targets import Outcome, RuleKey

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from controlplane.model import Inventory, QuotaTargetRef
    from controlplane.translate.gateways import Edges
    from controlplane.translate.report import Findings

_GATEWAY: Final = "Gateway"


@dataclass(frozen=True, slots=True, order=True)
class Target:
    """What a policy is in force on."""

    ref: ObjectRef
    rule: str = ""
    """Name of the rule; empty for the whole object."""

    @classmethod
    def of(cls, ref: QuotaTargetRef, namespace: str) -> Self:
        """The target that a policy of this namespace names."""
        return cls(ObjectRef(ref.kind, namespace, ref.name), ref.section_name or "")

    def __str__(self) -> str:
        """Give the target in the words of a message."""
        return f"rule {self.rule} of {self.ref}" if self.rule else str(self.ref)


@dataclass(frozen=True, slots=True)
class Quotas:
    """The policies in force, gateway by gateway and rule by rule."""

    gateways: Mapping[str, QuotaPolicy] = field(default_factory=dict)
    """By the gateway's key: ``shop/edge``."""
    rules: Mapping[RuleKey, tuple[QuotaPolicy, ...]] = field(default_factory=dict)
    """The route's own policy, then that of the rule."""

    def on(self, gateway: str, rule: RuleKey | None = None) -> tuple[QuotaPolicy, ...]:
        """All that hold for a rule on a gateway, the gateway's first; without a rule, its own."""
        wide = self.gateways.get(gateway)
        found = () if wide is None else (wide,)
        close = () if rule is None else self.rules.get(rule, ())
        # A policy that names a gateway and a route on it counts each request once.
        return tuple({one.ref: one for one in (*found, *close)}.values())


@dataclass(frozen=True, slots=True)
class EdgeQuotas:
    """The policies in force on one gateway."""

    otherwise: tuple[QuotaPolicy, ...] = ()
    """The gateway's own, which hold for all of its routes."""
    routes: Mapping[str, tuple[QuotaPolicy, ...]] = field(default_factory=dict)
    """What holds for each Envoy route that has any."""

    @property
    def policies(self) -> tuple[QuotaPolicy, ...]:
        """Each once, by namespace and name."""
        found = (*self.otherwise, *(one for held in self.routes.values() for one in held))
        return tuple(sorted({one.ref: one for one in found}.values(), key=lambda one: one.ref))


def settle(
    inventory: Inventory, attached: Collection[ObjectRef], edges: Edges, findings: Findings
) -> Quotas:
    """The policies in force on gateways and attached routes; each policy is told how it went."""
    claims: dict[Target, list[QuotaPolicy]] = {}
    places: dict[Target, list[RuleKey]] = {}
    outcomes: dict[ObjectRef, Outcome] = {}
    for policy in inventory.all(QuotaPolicy):
        outcome = outcomes[policy.ref] = Outcome()
        for ref in policy.spec.target_refs:
            target = Target.of(ref, policy.namespace)
            if ref.kind == _GATEWAY:
                found = _is_ours(target, edges, inventory, outcome)
            else:
                places[target] = targets.rules(policy, ref, inventory, attached, outcome)
                found = bool(places[target])
            if found:
                claims.setdefault(target, []).append(policy)
    winners = {target: min(found, key=targets.age) for target, found in claims.items()}
    for target, claimants in sorted(claims.items(), key=_by_target):
        _tell(target, winners[target], claimants, outcomes)
    for policy in inventory.all(QuotaPolicy):
        findings.add(policy, *outcomes[policy.ref].conditions)
    return _in_force(winners, places)


def _by_target(item: tuple[Target, object]) -> Target:
    return item[0]


def _is_ours(target: Target, edges: Edges, inventory: Inventory, outcome: Outcome) -> bool:
    ref = target.ref
    key = f"{ref.namespace}/{ref.name}"
    if any(edge.key == key for edge in edges.ready):
        return True
    if inventory.get(Gateway, ref.namespace, ref.name) is None:
        outcome.missing.append(f"{ref} is not there: {targets.MEND}")
    elif key in edges.held:
        outcome.detached.append(f"{ref} cannot be configured: see its conditions")
    else:
        outcome.detached.append(
            f"{ref} is none of ours: its GatewayClass is another's, or not there"
        )
    return False


def _tell(
    target: Target,
    winner: QuotaPolicy,
    claimants: Iterable[QuotaPolicy],
    outcomes: Mapping[ObjectRef, Outcome],
) -> None:
    for policy in claimants:
        if policy is winner:
            outcomes[policy.ref].won += 1
        else:
            reason = targets.why(winner, policy)
            outcomes[policy.ref].lost.append(f"{target} has {winner.ref}, which {reason}")


def _in_force(
    winners: Mapping[Target, QuotaPolicy], places: Mapping[Target, Iterable[RuleKey]]
) -> Quotas:
    gateways: dict[str, QuotaPolicy] = {}
    rules: dict[RuleKey, tuple[QuotaPolicy, ...]] = {}
    # In this order a route comes before its rules.
    for target, policy in sorted(winners.items(), key=_by_target):
        if target.ref.kind == _GATEWAY:
            gateways[f"{target.ref.namespace}/{target.ref.name}"] = policy
        for key in places.get(target, ()):
            rules[key] = (*rules.get(key, ()), policy)
    return Quotas(gateways, rules)
