"""What an API server tells of an object that says nothing new is no change of the source."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from controlplane.kube import Deleted, Put, Target
from controlplane.model.meta import ObjectRef
from controlplane.sources.api_types import TYPES
from controlplane.sources.kubernetes import ClusterSource

if TYPE_CHECKING:
    from controlplane.kube import Session

KEY = ("shop", "laptop")
REF = ObjectRef("FlashSale", *KEY)


def sale(version: int, *, generation: int = 1, **metadata: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "namespace": "shop",
            "name": "laptop",
            "uid": "u",
            "resourceVersion": str(version),
            "generation": generation,
            "managedFields": [{"manager": str(version)}],
            **metadata,
        },
        "spec": {"stock": generation},
        "status": {"admitted": version},
    }


@pytest.fixture
def source() -> ClusterSource:
    return ClusterSource(cast("Session", SimpleNamespace(namespace="sluice-system")))


def test_a_status_is_noted_and_is_no_change(source: ClusterSource) -> None:
    target = Target(TYPES["FlashSale"])
    assert source._take(target, Put(KEY, sale(1)))
    assert not source._take(target, Put(KEY, sale(2)))
    standing = source.standings.get(REF)
    assert standing is not None
    assert standing.status == {"admitted": 2}
    # Whatever else there is to say is one, and so is the same after it was gone.
    assert source._take(target, Put(KEY, sale(3, generation=2)))
    assert not source._take(target, Put(KEY, sale(4, generation=2)))
    assert source._take(target, Put(KEY, sale(5, generation=2, labels={"a": "b"})))
    assert source._take(target, Put(KEY, sale(6, generation=2, annotations={"a": "b"})))
    assert source._take(target, Put(KEY, sale(7, generation=2, annotations={"a": "b"}, uid="v")))
    again = sale(8, generation=2, annotations={"a": "b"}, uid="v")
    assert not source._take(target, Put(KEY, again))
    assert source._take(target, Deleted(KEY))
    assert source._take(target, Put(KEY, again))


def test_kinds_without_generations_are_always_looked_at(source: ClusterSource) -> None:
    """A Service has none, and an EndpointSlice only sometimes."""
    for kind in ("Service", "EndpointSlice", "EdgeConfig"):
        target = Target(TYPES[kind])
        assert source._take(target, Put(KEY, sale(1)))
        assert source._take(target, Put(KEY, sale(2)))
