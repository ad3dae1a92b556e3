"""References from one namespace into another: whether the other one agrees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from controlplane.model import ReferenceGrant

if TYPE_CHECKING:
    from controlplane.model import Inventory, ObjectRef

REASON: Final = "RefNotPermitted"
"""What Gateway API calls a reference that is not permitted."""


def fault(source: ObjectRef, target: ObjectRef, inventory: Inventory) -> str:
    """Why an object may not refer to another; empty when it may.

    Nothing is said about whether the target exists: that is not for everyone to know.
    """
    if source.namespace == target.namespace:
        return ""
    if any(grant.permits(source, target) for grant in inventory.all(ReferenceGrant)):
        return ""
    return (
        f"{target} is in another namespace, and no ReferenceGrant in {target.namespace} lets "
        f"{source.kind}s of {source.namespace} refer to it: create one"
    )
