"""Namespace: read for its labels, by which listeners choose whose routes they take."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final, Literal

from pydantic import Field

from controlplane.model.meta import Resource

if TYPE_CHECKING:
    from collections.abc import Mapping

NAMESPACE_NAME: Final = "kubernetes.io/metadata.name"
"""The label that Kubernetes puts on every namespace: its name."""


class Namespace(Resource):
    """A namespace and its labels. Without one in sight, a namespace has its name as only label."""

    API_VERSIONS: ClassVar[tuple[str, ...]] = ("v1",)
    NAMESPACED: ClassVar[bool] = False
    ignored: ClassVar[frozenset[str]] = frozenset({"spec", "status"})

    api_version: Literal["v1"] = Field("v1", description="Group and version.")
    kind: Literal["Namespace"] = Field("Namespace", description="The kind.")

    @property
    def labels(self) -> Mapping[str, str]:
        """Its labels, with the one that an API server adds."""
        return {**self.metadata.labels, NAMESPACE_NAME: self.name}
