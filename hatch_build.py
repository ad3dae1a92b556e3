"""What a wheel carries beside the Python files: filters, Redis scripts, bootstrap, samples.

A hook and not `force-include` in pyproject.toml, since hatchling applies that to editable installs
too: they would hold copies that grow old, and could not be made before the filters are built.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# Where it is in the tree -> where it is in the wheel.
CARRIED = {
    "controlplane/filters/flash-sale.wasm": "controlplane/filters/flash-sale.wasm",
    "controlplane/filters/quota.wasm": "controlplane/filters/quota.wasm",
    "controlplane/filters/redis-bridge.wasm": "controlplane/filters/redis-bridge.wasm",
    "filters/scripts": "controlplane/ledger/scripts",
    "envoy": "controlplane/envoy",
    "manifests/samples": "controlplane/samples",
}


class CarryHook(BuildHookInterface[Any]):
    """Adds CARRIED to a wheel, and refuses to build one that would lack any of it."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before each build; `version` is "standard" or "editable"."""
        if version == "editable":
            return
        missing = [path for path in CARRIED if not (Path(self.root) / path).exists()]
        if missing:
            message = f"{', '.join(missing)} not found: run `make filters` first"
            raise FileNotFoundError(message)
        build_data["force_include"].update(CARRIED)
