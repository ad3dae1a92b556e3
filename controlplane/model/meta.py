"""What every resource has in common: strictness, metadata, and a reference to itself.

A manifest with a typo must not half work, so nothing is coerced and nothing unknown is let
through. Null means "not written", as it does to a Kubernetes API server.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from controlplane.model.durations import Instant
from controlplane.model.scalars import Annotations, Labels, Name, Namespace

CLUSTER_SCOPE: Final = ""
"""The namespace of objects that have none."""


class Model(BaseModel):
    """A part of a manifest: frozen, strict, camelCase outside and snake_case inside."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        populate_by_name=True,
        strict=True,
    )

    ignored: ClassVar[frozenset[str]] = frozenset()
    """Fields that Kubernetes allows here and that mean nothing to Sluice: read past."""

    @model_validator(mode="before")
    @classmethod
    def _written(cls, data: Any) -> Any:
        """Leave out what is null or ignored; lists become tuples, so that objects stay frozen."""
        if not isinstance(data, Mapping):
            return data
        return {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in data.items()
            if key not in cls.ignored and not (value is None and key in _names(cls))
        }


_NAMES: dict[type[Model], frozenset[str]] = {}


def _names(model: type[Model]) -> frozenset[str]:
    """Names a field may be given by, in manifests and in code."""
    known = _NAMES.get(model)
    if known is None:
        fields = model.model_fields
        aliases = (field.validation_alias for field in fields.values())
        known = frozenset({*fields, *(alias for alias in aliases if isinstance(alias, str))})
        _NAMES[model] = known
    return known


@dataclass(frozen=True, slots=True, order=True)
class ObjectRef:
    """Which object is meant, in the words of a message: `FlashSale shop/laptop`."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        where = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.kind} {where}"


class ObjectMeta(Model):
    """Who an object is. What only an API server writes here is read past."""

    ignored: ClassVar[frozenset[str]] = frozenset(
        {
            "clusterName",
            "deletionGracePeriodSeconds",
            "deletionTimestamp",
            "finalizers",
            "generateName",
            "managedFields",
            "ownerReferences",
            "resourceVersion",
            "selfLink",
        }
    )

    name: Name = Field(description="Name of the object, unique in its namespace and kind.")
    namespace: Namespace = Field("default", description="Namespace of the object.")
    generation: int = Field(1, ge=0, description="Counts the edits of `spec`; API server only.")
    uid: str = Field("", max_length=128, description="Set by the API server.")
    labels: Labels = Field(default_factory=dict, description="Labels.")
    annotations: Annotations = Field(default_factory=dict, description="Annotations.")
    creation_timestamp: Instant | None = Field(
        None, description="Set by the API server; of two policies on one target, the older wins."
    )


class Resource(Model):
    """A whole object. `status` is read past: it is what we say, never what we are told."""

    ignored: ClassVar[frozenset[str]] = frozenset({"status"})
    API_VERSIONS: ClassVar[tuple[str, ...]] = ()
    """Accepted values of `apiVersion`, the one to write first."""
    NAMESPACED: ClassVar[bool] = True
    SENSITIVE: ClassVar[bool] = False
    """No message may quote what stands in such an object."""

    api_version: str = Field(description="Group and version of the kind.")
    kind: str = Field(description="The kind.")
    metadata: ObjectMeta = Field(description="Name, namespace, labels.")

    @model_validator(mode="before")
    @classmethod
    def _scoped(cls, data: Any) -> Any:
        """Keep what has no namespace out of every namespace, `default` included."""
        if cls.NAMESPACED or not isinstance(data, Mapping):
            return data
        metadata = data.get("metadata")
        if not isinstance(metadata, Mapping) or metadata.get("namespace") is not None:
            return data
        return {**data, "metadata": {**metadata, "namespace": CLUSTER_SCOPE}}

    @property
    def name(self) -> str:
        """`metadata.name`."""
        return self.metadata.name

    @property
    def namespace(self) -> str:
        """`metadata.namespace`; empty for what has none."""
        return self.metadata.namespace

    @property
    def ref(self) -> ObjectRef:
        """This object's name for messages, reports and maps."""
        return ObjectRef(self.kind, self.metadata.namespace, self.metadata.name)
