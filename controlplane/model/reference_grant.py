"""ReferenceGrant of Gateway API: who may refer to objects of another namespace.

A reference across namespaces counts only when the namespace that it leads to agrees: else whoever
may write a route in one namespace could publish any Service of another, and its certificates.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal

from pydantic import Field

from controlplane.model.gateway import GATEWAY_API
from controlplane.model.meta import Model, ObjectRef, Resource
from controlplane.model.scalars import NAMESPACE, Group, Kind, Name

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_ENTRIES: Final = 16
"""Entries of each list, as Gateway API bounds them."""
_SOURCES: Final[Mapping[str, str]] = MappingProxyType({"FlashSale": "sluice.dev"})
"""Groups of kinds that refer and are not Gateway API's."""
_TARGETS: Final[Mapping[str, str]] = MappingProxyType(
    {"Deployment": "apps", "HorizontalPodAutoscaler": "autoscaling"}
)
"""Groups of kinds that are referred to and are not of the core group."""


class GrantFrom(Model):
    """Objects that may refer: of one kind, in one namespace."""

    group: Group = Field(description="Group: `gateway.networking.k8s.io`, or `sluice.dev`.")
    kind: Kind = Field(
        description="Kind: `HTTPRoute`, `Gateway` or `FlashSale`; others have no effect here."
    )
    namespace: Annotated[str, Field(min_length=1, max_length=63, pattern=NAMESPACE)] = Field(
        description="Namespace that they are in."
    )


class GrantTo(Model):
    """Objects that may be referred to, in the namespace of the grant."""

    group: Group = Field(
        description="Group; empty for Service and Secret, `apps` for Deployment, `autoscaling` "
        "for HorizontalPodAutoscaler."
    )
    kind: Kind = Field(
        description="Kind: `Service` or `Secret`, and for sales that scale `Deployment` or "
        "`HorizontalPodAutoscaler`; others have no effect here."
    )
    name: Name | None = Field(None, description="Name; without it, every object of the kind.")


class ReferenceGrantSpec(Model):
    """Each of `from` may refer to each of `to`."""

    from_: tuple[GrantFrom, ...] = Field(
        validation_alias="from",
        serialization_alias="from",
        min_length=1,
        max_length=MAX_ENTRIES,
        description="Who may refer.",
    )
    to: tuple[GrantTo, ...] = Field(
        min_length=1, max_length=MAX_ENTRIES, description="What may be referred to."
    )


class ReferenceGrant(Resource):
    """Leave for objects of other namespaces to refer to objects of this one."""

    API_VERSIONS: ClassVar[tuple[str, ...]] = (f"{GATEWAY_API}/v1beta1", f"{GATEWAY_API}/v1")

    api_version: Literal["gateway.networking.k8s.io/v1beta1", "gateway.networking.k8s.io/v1"] = (
        Field("gateway.networking.k8s.io/v1beta1", description="Group and version.")
    )
    kind: Literal["ReferenceGrant"] = Field("ReferenceGrant", description="The kind.")
    spec: ReferenceGrantSpec = Field(description="Who may refer to what.")

    def permits(self, source: ObjectRef, target: ObjectRef) -> bool:
        """Whether an object may refer to another.

        Grants only add up: what one does not permit, another still may.
        """
        if target.namespace != self.namespace:
            return False
        referrer = (_SOURCES.get(source.kind, GATEWAY_API), source.kind, source.namespace)
        trusted = any(
            (item.group, item.kind, item.namespace) == referrer for item in self.spec.from_
        )
        referred = (_TARGETS.get(target.kind, ""), target.kind)
        return trusted and any(
            (item.group, item.kind) == referred and item.name in {None, target.name}
            for item in self.spec.to
        )
