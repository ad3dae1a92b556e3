"""What a cluster's source makes of what it is told, in an order that no server gives on demand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from controlplane.kube import Listed
from controlplane.model import GatewayClass
from controlplane.sources.kubernetes import ClusterSource

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pytest

    from controlplane.kube import Object, Session, Target
    from controlplane.model import ObjectRef

NOTHING = Listed({}, frozenset(), frozenset())
CLASS: dict[str, Any] = {
    "apiVersion": "gateway.networking.k8s.io/v1",
    "kind": "GatewayClass",
    "metadata": {"name": "sluice", "uid": "1", "resourceVersion": "7"},
    "spec": {"controllerName": "sluice.dev/controller"},
}


async def test_a_list_that_comes_while_others_are_read_counts_once_it_is_read_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = ClusterSource(cast("Session", SimpleNamespace(namespace="sluice-system")))
    [late] = [target for target in source._targets if target.kind.kind == "GatewayClass"]
    for target in source._targets:
        if target is not late:
            source._take(target, NOTHING)
    some = next(target for target in source._targets if target.kind.kind == "Namespace")
    source._take(some, _listed(some, {"metadata": {"name": "shop", "resourceVersion": "3"}}))
    read = source._read

    def meanwhile(waiting: Mapping[ObjectRef, Object | None]) -> None:
        source._take(late, _listed(late, CLASS))
        read(waiting)

    monkeypatch.setattr(source, "_read", meanwhile)
    update = await source._update()
    assert not update.inventory.all(GatewayClass)
    assert not update.synced
    monkeypatch.undo()
    update = await source._update()
    assert update.inventory.all(GatewayClass)
    assert update.synced


def _listed(target: Target, obj: Object) -> Listed:
    key = ("", obj["metadata"]["name"])
    found = {"apiVersion": target.kind.api_version, "kind": target.kind.kind, "spec": {}, **obj}
    return Listed({key: found}, frozenset({key}), frozenset())
