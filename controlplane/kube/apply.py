"""Server-side apply: send the fields that are ours, and leave alone what is others'.

No read before, no conflict after: the server keeps who owns which field. What a field manager
sent before and leaves out now is removed, so each manager always sends all that it means to say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from controlplane.kube.errors import ConflictError
from controlplane.kube.session import APPLY_PATCH

if TYPE_CHECKING:
    from collections.abc import Mapping

    from controlplane.kube.resources import Key, Object, ResourceType
    from controlplane.kube.session import Session

FIELD_MANAGER: Final = "sluice"


async def apply(
    session: Session, kind: ResourceType, obj: Object, *, field_manager: str = FIELD_MANAGER
) -> Object:
    """Make an object, or set the given fields of the one that is there."""
    metadata = obj["metadata"]
    return await session.patch(
        kind,
        metadata["name"],
        metadata.get("namespace"),
        body={"apiVersion": kind.api_version, "kind": kind.kind, **obj},
        content_type=APPLY_PATCH,
        query=_query(field_manager),
    )


async def apply_status(
    session: Session,
    kind: ResourceType,
    key: Key,
    status: Mapping[str, Any],
    *,
    uid: str | None = None,
    resource_version: str | None = None,
    field_manager: str = FIELD_MANAGER,
) -> Object:
    """Set the given fields of an object's status, and give the object as it is then.

    With `resource_version`, only if nothing has changed since: for lists that the schema makes
    atomic, where one has to send others' items too. With `uid`, it is an error when another
    object has taken the name since. It has the fields by then, as the server takes no notice of
    a uid here; they are to be set anew.

    Raises:
        NotFoundError: there is no such object.
        ConflictError: it has changed, or is another one.
    """
    namespace, name = key
    metadata = {"name": name, "namespace": namespace, "resourceVersion": resource_version}
    obj = await session.patch(
        kind,
        name,
        namespace or None,
        body={
            "apiVersion": kind.api_version,
            "kind": kind.kind,
            "metadata": {field: value for field, value in metadata.items() if value},
            "status": dict(status),
        },
        content_type=APPLY_PATCH,
        subresource="status",
        query=_query(field_manager),
    )
    if uid and obj["metadata"].get("uid") != uid:
        raise ConflictError(f"cannot patch status of {kind} {name}: it is another object by now")
    return obj


def _query(field_manager: str) -> Mapping[str, str]:
    # Force takes fields over from other managers; only our own fields are ever sent.
    return {"fieldManager": field_manager, "force": "true"}
