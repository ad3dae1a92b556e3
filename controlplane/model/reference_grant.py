"""ReferenceGrant of Gateway API: who may refer to objects of another namespace.

A reference across namespaces counts only when the namespace that it leads to agrees: else whoever
may write a route in one namespace could publish any Service of another, and its certificates.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field

from controlplane.model.gateway import GATEWAY_API
from controlplane.model.meta import Model, ObjectRef, Resource
from controlplane.model.scalars import NAMESPACE, Group, Kind, Name

MAX_ENTRIES: Final = 16
"""Entries of each list, as Gateway API bounds them."""


class GrantFrom(Model):
    """Objects that may refer: of one kind, in one namespace."""

    group: Group = Field(description="Group, `gateway.networking.k8s.io`.")
    kind: Kind = Field(description="Kind: `HTTPRoute` or `Gateway`; others have no effect here.")
    namespace: Annotated[str, Field(min_length=1, max_length=63, pattern=NAMESPACE)] = Field(
        description="Namespace that they are in."
    )


class GrantTo(Model):
    """Objects that may be referred to, in the namespace of the grant."""

    group: Group = Field(description="Group; empty for Service and Secret.")
    kind: Kind = Field(description="Kind: `Service` or `Secret`; others have no effect here.")
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
        """Whether an object of Gateway API may refer to one of the core group.

        Grants only add up: what one does not permit, another still may.
        """
        if target.namespace != self.namespace:
            return False
        trusted = any(
            (item.group, item.kind, item.namespace) == (GATEWAY_API, source.kind, source.namespace)
            for item in self.spec.from_
        )
        return trusted and any(
            (item.group, item.kind) == ("", target.kind) and item.name in {None, target.name}
            for item in self.spec.to
        )
