"""Reading and writing for scaling, on the API server: each write is a bet on what was read.

Deployments are scaled through their `scale` subresource, so that no right to change anything else
of them is needed; of a HorizontalPodAutoscaler only `minReplicas` is written. A write carries the
version that was read: of two that lead at once, by a stalled clock, one is refused.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from controlplane.kube import (
    Call,
    ForbiddenError,
    NotFoundError,
    ResourceType,
    apply_status,
)
from controlplane.model import FlashSale, Invalid
from controlplane.model.parsing import parse_served
from controlplane.scaling.condition import CONDITION
from controlplane.scaling.records import Recorded
from controlplane.scaling.rush import Sale
from controlplane.scaling.targets import FORBIDDEN, NOT_FOUND, REFUSED, Observed, Trouble
from controlplane.sources.api_types import TYPES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from controlplane.kube import KubeError, Object, Session
    from controlplane.model import FlashSaleSpec, ObjectRef
    from controlplane.scaling.plan import Write
    from controlplane.scaling.targets import Change
    from controlplane.sources.standings import Standing

FINALIZER: Final = "sluice.dev/scaling"
FIELD_MANAGER: Final = "sluice-scaling"
"""Not that of the other status: what one of the two leaves out must not be taken away."""
_KINDS: Final[Mapping[str, ResourceType]] = {
    "Deployment": ResourceType("apps", "v1", "deployments", "Deployment"),
    "HorizontalPodAutoscaler": ResourceType(
        "autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler"
    ),
}
_SUBRESOURCE: Final[Mapping[str, str]] = {"Deployment": "scale", "HorizontalPodAutoscaler": ""}
_FIELD: Final[Mapping[str, str]] = {
    "Deployment": "replicas",
    "HorizontalPodAutoscaler": "minReplicas",
}
_RIGHTS: Final[Mapping[str, str]] = {
    "Deployment": "get and patch deployments/scale",
    "HorizontalPodAutoscaler": "get and patch horizontalpodautoscalers",
    "FlashSale": "patch flashsales",
}
_SALES: Final = TYPES["FlashSale"]
_RBAC: Final = re.compile(r' cannot \w+ resource "')


def said_of(status: Mapping[str, Any]) -> Mapping[str, Any]:
    """Pick what is about scaling from a sale's status."""
    conditions = status.get("conditions")
    ours = [one for one in conditions or () if one.get("type") == CONDITION]
    found: dict[str, Any] = {"conditions": ours} if ours else {}
    if "scaling" in status:
        found["scaling"] = status["scaling"]
    return found


def sale_of(ref: ObjectRef, standing: Standing, spec: FlashSaleSpec | None) -> Sale:
    """Read what stands on the server of a sale."""
    return Sale(
        ref=ref,
        uid=standing.uid,
        version=standing.version,
        generation=standing.generation,
        deleting=standing.deleting,
        guarded=FINALIZER in standing.finalizers,
        spec=spec,
        state=str(standing.status.get("state") or ""),
        recorded=Recorded.read(standing.status),
        said=said_of(standing.status),
    )


def spec_of(obj: Object, known: FlashSaleSpec | None) -> FlashSaleSpec | None:
    """Read a sale's spec; one that cannot be read goes on by its last version that could."""
    try:
        resource, _ = parse_served(obj)
    except Invalid:
        return known
    return resource.spec if isinstance(resource, FlashSale) else known


async def read_sale(session: Session, ref: ObjectRef) -> Object:
    """Read a sale from the server itself: a watch may lag behind what was recorded."""
    return await session.get(_SALES, ref.name, ref.namespace)


async def read_target(session: Session, target: ObjectRef) -> Observed | Trouble:
    """Read what a target has.

    Raises:
        KubeError: it cannot be read now; it may be later.
    """
    kind, subresource = _KINDS[target.kind], _SUBRESOURCE[target.kind]
    path = kind.path(target.namespace, target.name, subresource)
    try:
        obj = await session.request(Call(f"read {target}", "GET", path))
    except NotFoundError:
        return Trouble(NOT_FOUND, "there is no such object: create it, or correct its name")
    except ForbiddenError as error:
        return forbidden(target, error)
    spec, metadata = obj.get("spec") or {}, obj["metadata"]
    # A Scale leaves out a zero; minReplicas is 1 when it is not given.
    value = int(spec.get(_FIELD[target.kind], 0 if subresource else 1))
    return Observed(
        value, str(metadata.get("uid") or ""), str(metadata["resourceVersion"]),
        spec.get("maxReplicas"),
    )  # fmt: skip


async def change(session: Session, change: Change) -> None:
    """Change a target, if it is still the one that was seen.

    Raises:
        ConflictError: it is not.
        KubeError: it cannot be changed.
    """
    target = change.target
    await session.patch(
        _KINDS[target.kind],
        target.name,
        target.namespace,
        body={
            "metadata": {"resourceVersion": change.seen.version},
            "spec": {_FIELD[target.kind]: change.to},
        },
        subresource=_SUBRESOURCE[target.kind],
        query={"fieldManager": FIELD_MANAGER},
    )


async def guard(session: Session, sale: Sale, obj: Object, *, on: bool) -> Object:
    """Set our finalizer or take it away, if the sale is still as it was read.

    By its whole list, not by server-side apply: a finalizer that a user's tool has sent along
    would stay then, and the sale with it.
    """
    others = [one for one in obj["metadata"].get("finalizers") or () if one != FINALIZER]
    return await session.patch(
        _SALES,
        sale.ref.name,
        sale.ref.namespace,
        body={
            "metadata": {
                "resourceVersion": sale.version,
                "finalizers": [*others, FINALIZER] if on else others,
            }
        },
        query={"fieldManager": FIELD_MANAGER},
    )


async def write_status(session: Session, write: Write, version: str) -> Object:
    """Write what the sale's status says about scaling, if the sale is still as it was read."""
    return await apply_status(
        session,
        _SALES,
        (write.sale.ref.namespace, write.sale.ref.name),
        write.status or {},
        uid=write.sale.uid,
        resource_version=version,
        field_manager=FIELD_MANAGER,
    )


def forbidden(about: ObjectRef, error: KubeError) -> Trouble:
    """Say which right is missing, and what gives it; a webhook that forbids it says so itself."""
    if not _RBAC.search(str(error)):
        return Trouble(REFUSED, str(error))
    message = (
        f"the control plane may not {_RIGHTS[about.kind]}: install the chart with "
        f"controlPlane.scaling=true ({error})"
    )
    return Trouble(FORBIDDEN, message)
