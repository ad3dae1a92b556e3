"""How the API server names things: where a kind lives, and which object is meant.

Objects are plain dicts all through this package. The client's own models refuse fields that they
do not know, and write times that the server does not read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeAlias
from urllib.parse import quote

Object: TypeAlias = dict[str, Any]
"""An object as the API server writes it."""
Key: TypeAlias = tuple[str, str]
"""Namespace ("" for none) and name: which object of one kind."""


@dataclass(frozen=True, slots=True)
class ResourceType:
    """One kind of objects, and its place in the API. The core group is ""."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """What objects of this kind say in `apiVersion`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None = None, name: str = "", subresource: str = "") -> str:
        """Give the path of one object, or of all; no namespace means all namespaces."""
        parts = ["apis" if self.group else "api", *self.api_version.split("/")]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        parts += [part for part in (self.plural, name, subresource) if part]
        return "/" + "/".join(quote(part, safe="") for part in parts)

    def __str__(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural


CONFIG_MAPS: Final = ResourceType("", "v1", "configmaps", "ConfigMap")
"""Where replicas of one program keep what they have to tell each other."""


def key_of(obj: Object) -> Key:
    """Tell which object this is."""
    metadata = obj["metadata"]
    return (metadata.get("namespace") or "", metadata["name"])


def version_of(obj: Object) -> str:
    """Give the resourceVersion of an object, or of a list."""
    return str(obj["metadata"]["resourceVersion"])
