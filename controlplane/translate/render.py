"""Everything that the proxies of a gateway are sent, as YAML for people."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from controlplane.translate import names
from controlplane.translate.describe import describe, to_yaml
from controlplane.translate.parameters import to_text
from controlplane.translate.wire import message_class
from controlplane.xds import kinds

if TYPE_CHECKING:
    from controlplane.xds.snapshot import Snapshot

_SECTIONS: Final = {
    "clusters": kinds.CLUSTER,
    "endpoints": kinds.ENDPOINTS,
    "secrets": kinds.SECRET,
    "extensions": kinds.EXTENSION,
    "listeners": kinds.LISTENER,
    "routes": kinds.ROUTES,
}
_WITH_PARAMETERS: Final = frozenset({names.FLASH_SALE, names.QUOTA})


def render(snapshot: Snapshot) -> str:
    """The resources in the order in which they are sent, each type by name.

    Private keys are blanked out, and the filters' parameters, which travel as one line of JSON,
    are laid out; everything else is what proxies get.
    """
    found = resources(snapshot)
    for extension in found["extensions"]:
        if extension["name"] in _WITH_PARAMETERS:
            parameters = extension["typed_config"]["config"]["configuration"]
            parameters["value"] = to_text(json.loads(parameters["value"]))
    return to_yaml(found)


def resources(snapshot: Snapshot, *, reveal: bool = False) -> dict[str, list[dict[str, Any]]]:
    """The resources as plain data; with their private keys only if `reveal`."""
    found: dict[str, list[dict[str, Any]]] = {section: [] for section in _SECTIONS}
    for section, url in _SECTIONS.items():
        kind = message_class(url)
        if kind is not None:
            bodies = (resource.body for resource in snapshot.of_type(url).values())
            found[section] = [describe(kind, body, reveal=reveal) for body in bodies]
    return found
