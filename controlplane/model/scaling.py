"""What a FlashSale asks to be scaled up before the rush, and for how long.

Pods come in tens of seconds, a crowd comes in one: whatever stands behind the edge must be there
before. Autoscaling answers to load that is there already, so the number is given here.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, ClassVar, Final, Literal, Self

from pydantic import Field, model_validator

from controlplane.model.durations import Duration
from controlplane.model.meta import Model
from controlplane.model.rules import Broken, Rule, demand
from controlplane.model.scalars import LABEL, Name

MAX_REPLICAS: Final = 100_000
MAX_TARGETS: Final = 16
LONGEST: Final = timedelta(hours=24)

Kind = Literal["Deployment", "HorizontalPodAutoscaler"]
_Replicas = Annotated[int, Field(ge=1, le=MAX_REPLICAS)]
_SAME: Final = (
    "self.targets.exists_one(b, a.kind == b.kind && a.name == b.name"
    " && (has(a.__namespace__) ? a.__namespace__ : '') =="
    " (has(b.__namespace__) ? b.__namespace__ : ''))"
)
"""CEL: of the targets that are the same as `a` there is one, itself; `namespace` is reserved."""


def _belongs(kind: Kind, field: str) -> tuple[Rule, Rule]:
    """A number is required with its kind, and has no meaning with the other."""
    return (
        Rule(
            f"is required with kind {kind}",
            f"self.kind != '{kind}' || has(self.{field})",
            field,
            "Required",
        ),
        Rule(
            f"applies only to kind {kind}: remove it",
            f"self.kind == '{kind}' || !has(self.{field})",
            field,
            "Forbidden",
        ),
    )


class ScalingTarget(Model):
    """One workload, and how many replicas it has at the least while the rush lasts."""

    kind: Kind = Field(
        description="`Deployment`, or `HorizontalPodAutoscaler` for what one scales already: the "
        "two would undo each other's work."
    )
    name: Name = Field(description="Name of the target.")
    namespace: Annotated[str, Field(min_length=1, max_length=63, pattern=LABEL)] | None = Field(
        None,
        description="Its namespace; without it the sale's. Another one needs a ReferenceGrant "
        "there.",
    )
    replicas: _Replicas | None = Field(None, description="Replicas of a Deployment.")
    min_replicas: _Replicas | None = Field(
        None,
        description="`minReplicas` of a HorizontalPodAutoscaler; its `maxReplicas` must allow it.",
    )

    REPLICAS: ClassVar = _belongs("Deployment", "replicas")
    MIN_REPLICAS: ClassVar = _belongs("HorizontalPodAutoscaler", "minReplicas")

    @model_validator(mode="after")
    def _number_of_its_kind(self) -> Self:
        given = (
            (self.REPLICAS, "Deployment", self.replicas),
            (self.MIN_REPLICAS, "HorizontalPodAutoscaler", self.min_replicas),
        )
        broken: list[Broken] = []
        for (required, foreign), kind, number in given:
            if self.kind == kind and number is None:
                broken.append(required.broken())
            if self.kind != kind and number is not None:
                broken.append(foreign.broken())
        demand(broken)
        return self

    @property
    def wanted(self) -> int:
        """The number, whatever its kind calls it."""
        return self.replicas or self.min_replicas or 1


class Scaling(Model):
    """What to scale up before the rush, and to put back after it.

    Nothing is scaled down below what it has; what somebody else sets meanwhile is left alone.
    """

    lead_time: Annotated[Duration, Field(ge=timedelta(0), le=LONGEST)] = Field(
        timedelta(minutes=15), description="How long before `startTime` to scale up."
    )
    cooldown: Annotated[Duration, Field(ge=timedelta(0), le=LONGEST)] = Field(
        timedelta(minutes=5),
        description="How long after `endTime` to put back; of a sale without one, how long it has "
        "to be sold out.",
    )
    targets: tuple[ScalingTarget, ...] = Field(
        min_length=1, max_length=MAX_TARGETS, description="What to scale."
    )

    TWICE: ClassVar = Rule("is named twice: remove one", f"self.targets.all(a, {_SAME})", "targets")

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        broken: list[Broken] = []
        seen: set[tuple[str, str, str]] = set()
        for index, target in enumerate(self.targets):
            key = (target.kind, target.namespace or "", target.name)
            if key in seen:
                broken.append(self.TWICE.broken("targets", index))
            seen.add(key)
        demand(broken)
        return self
