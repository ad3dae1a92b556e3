"""A translated gateway as one static Envoy configuration.

What a proxy gets over several discovery services is put where it is referred to, so that
`envoy --mode validate` judges all of it at once, and so that a test of the resources needs no
control plane.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from controlplane.translate import BootstrapOptions, bootstrap
from controlplane.translate.render import resources

if TYPE_CHECKING:
    from collections.abc import Mapping

    from controlplane.xds.snapshot import Snapshot


def static_bootstrap(
    snapshot: Snapshot,
    *,
    ports: Mapping[int, int] | None = None,
    options: BootstrapOptions | None = None,
) -> dict[str, Any]:
    """The bootstrap with everything in it; `ports` maps a listener's port to the one to bind."""
    found = resources(snapshot, reveal=True)
    document: dict[str, Any] = yaml.safe_load(bootstrap(options))
    del document["dynamic_resources"]
    parts = {
        "rds": {table["name"]: table for table in found["routes"]},
        "config_discovery": {item["name"]: _at_start(item) for item in found["extensions"]},
    }
    for listener in found["listeners"]:
        address = listener.get("address", {}).get("socket_address")
        if address:
            address["address"] = "127.0.0.1"
            address["port_value"] = (ports or {}).get(address["port_value"], address["port_value"])
    endpoints = {item["cluster_name"]: item for item in found["endpoints"]}
    for cluster in found["clusters"]:
        if cluster.get("type") == "EDS":
            del cluster["eds_cluster_config"]
            cluster |= {"type": "STATIC", "load_assignment": endpoints[cluster["name"]]}
    document["static_resources"] |= {
        "listeners": [_inline(listener, parts) for listener in found["listeners"]],
        "clusters": document["static_resources"]["clusters"] + found["clusters"],
        "secrets": found["secrets"],
    }
    return document


def _at_start(extension: Mapping[str, Any]) -> dict[str, Any]:
    """A filter as a proxy gets it that has just started: it waits for code that it has to fetch."""
    found: dict[str, Any] = extension["typed_config"]
    found["config"]["vm_config"].pop("nack_on_code_cache_miss", None)
    return found


def _inline(value: Any, parts: Mapping[str, Mapping[str, Any]]) -> Any:
    if isinstance(value, list):
        return [_inline(item, parts) for item in value]
    if not isinstance(value, dict):
        return value
    if "rds" in value:
        value = {**value, "route_config": parts["rds"][value["rds"]["route_config_name"]]}
        del value["rds"]
    if "config_discovery" in value:
        value = {**value, "typed_config": parts["config_discovery"][value["name"]]}
        del value["config_discovery"]
    value.pop("sds_config", None)
    return {key: _inline(item, parts) for key, item in value.items()}
