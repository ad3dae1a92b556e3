"""The CRDs in manifests/crds, written from the models: `python -m controlplane.model.crds`.

They are checked in, since users apply them; a test fails when they are stale. The functions of
CEL in them need Kubernetes 1.31 or newer.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from controlplane.model.crd_schema import Schema, object_schema
from controlplane.model.crd_status import QUOTA_STATUS, SALE_STATUS
from controlplane.model.edge_config import EdgeConfig
from controlplane.model.flash_sale import FlashSale
from controlplane.model.quota_policy import QuotaPolicy

if TYPE_CHECKING:
    from controlplane.model.meta import Resource

FOLDER: Final = "manifests/crds"
CATEGORY: Final = "sluice"
_HEAD: Final = (
    "# Written by `make generate` from the models in controlplane/model: edit those instead.\n"
)
_POLICY: Final = {"gateway.networking.k8s.io/policy": "Direct"}
_META: Final[Schema] = {
    "apiVersion": {"type": "string", "description": "Group and version."},
    "kind": {"type": "string", "description": "The kind."},
    "metadata": {"type": "object"},
}


@dataclass(frozen=True, slots=True)
class _Column:
    """What `kubectl get` shows of an object."""

    name: str
    path: str
    description: str
    type: str = "string"

    def as_json(self) -> Schema:
        shown = {"name": self.name, "type": self.type, "jsonPath": self.path}
        return {**shown, "description": self.description}


@dataclass(frozen=True, slots=True)
class _Definition:
    """One kind, and how it is served and shown."""

    model: type[Resource]
    plural: str
    short_name: str
    columns: tuple[_Column, ...]
    status: Schema | None = None
    policy: bool = True


def _condition(name: str, description: str) -> _Column:
    path = f'.status.conditions[?(@.type=="{name}")].status'
    return _Column(name, path, description)


_AGE: Final = _Column("Age", ".metadata.creationTimestamp", "Since when it exists.", "date")
_PROXIES: Final = _Column(
    "Proxies", ".status.proxies.summary", "How many proxies run it, of how many."
)
_DEFINITIONS: Final = (
    _Definition(
        FlashSale,
        "flashsales",
        "fs",
        (
            _Column("State", ".status.state", "What users get to see now."),
            _Column("Admitted", ".status.admitted", "Users let in.", "integer"),
            _Column("Remaining", ".status.remaining", "Permits that are left.", "integer"),
            _PROXIES,
            _Column("Starts", ".spec.schedule.startTime", "When it opens."),
            _AGE,
        ),
        SALE_STATUS,
    ),
    _Definition(
        QuotaPolicy,
        "quotapolicies",
        "qp",
        (
            _condition("Accepted", "Whether it is good, and attached."),
            _condition("Programmed", "Whether every proxy runs it."),
            _Column("Limits", ".status.limits", "How many limits it has.", "integer"),
            _PROXIES,
            _AGE,
        ),
        QUOTA_STATUS,
    ),
    _Definition(
        EdgeConfig,
        "edgeconfigs",
        "ec",
        (
            _Column("Redis", ".spec.redis.address", "Where the books are kept."),
            _Column("Filters", ".spec.filters.source", "Where proxies get the code from."),
            _AGE,
        ),
        policy=False,
    ),
)


def definitions() -> dict[str, Schema]:
    """Every CRD by file name."""
    written = map(_definition, _DEFINITIONS)
    return {f"{crd['metadata']['name']}.yaml": crd for crd in written}


def files() -> dict[str, str]:
    """Every CRD as text, by file name."""
    return {name: _HEAD + _dumped(crd) for name, crd in definitions().items()}


def _definition(this: _Definition) -> Schema:
    group, _, version = this.model.API_VERSIONS[0].partition("/")
    kind = this.model.__name__
    names = {
        "kind": kind,
        "listKind": f"{kind}List",
        "plural": this.plural,
        "singular": kind.lower(),
        "shortNames": [this.short_name],
        "categories": [CATEGORY],
    }
    metadata: Schema = {"name": f"{this.plural}.{group}"}
    if this.policy:
        metadata["labels"] = _POLICY
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": metadata,
        "spec": {
            "group": group,
            "scope": "Namespaced" if this.model.NAMESPACED else "Cluster",
            "names": names,
            "versions": [_version(this, version)],
        },
    }


def _version(this: _Definition, name: str) -> Schema:
    schema = object_schema(this.model, leave_out=_META)
    schema["properties"] = {**_META, **schema["properties"]}
    if this.status is not None:
        schema["properties"]["status"] = this.status
    version: Schema = {
        "name": name,
        "served": True,
        "storage": True,
        "additionalPrinterColumns": [column.as_json() for column in this.columns],
    }
    if this.status is not None:
        version["subresources"] = {"status": {}}
    return {**version, "schema": {"openAPIV3Schema": schema}}


class _Dumper(yaml.SafeDumper):
    """Writes every part out: an API server knows no anchors."""

    def ignore_aliases(self, _data: Any) -> bool:
        return True


def _dumped(crd: Schema) -> str:
    return yaml.dump(crd, Dumper=_Dumper, sort_keys=False, width=100, allow_unicode=True)


def main(arguments: list[str]) -> None:
    """Write the CRDs into a folder, `manifests/crds` unless another is named."""
    folder = Path(arguments[0] if arguments else FOLDER)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
