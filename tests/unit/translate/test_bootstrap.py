from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from controlplane.model.edge_config import ProxySettings
from controlplane.translate import BootstrapOptions, bootstrap


def loaded(**options: Any) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(bootstrap(BootstrapOptions(**options)))
    return found


def test_options_stand_where_envoy_looks_for_them() -> None:
    found = loaded(
        gateway="shop/edge",
        node_id="no",
        workers=4,
        xds=("cp.example.com", 1),
        web=("10.0.0.1", 2),
        admin=("127.0.0.2", 3),
        max_connections=5,
        max_heap_bytes=6,
    )
    assert found["node"] == {"id": "no", "cluster": "shop/edge", "metadata": {"workers": 4}}
    place = {"address": "127.0.0.2", "port_value": 3}
    assert found["admin"]["address"]["socket_address"] == place
    clusters = {item["name"]: item for item in found["static_resources"]["clusters"]}
    assert {name: item["type"] for name, item in clusters.items()} == {
        "sluice-xds": "STRICT_DNS",
        "sluice-web": "STATIC",
    }
    limits = [item["typed_config"] for item in found["overload_manager"]["resource_monitors"]]
    assert limits[0]["max_active_downstream_connections"] == 5
    assert limits[1]["max_heap_size_bytes"] == 6


def test_a_name_that_yaml_would_read_as_something_else_stays_a_name() -> None:
    for name in ("no", "1", "a: b", '"', "#", "$x", "ä"):
        assert loaded(node_id=name)["node"]["id"] == name


def test_limits_come_from_the_edge_config() -> None:
    settings = ProxySettings(workers=3, max_connections=7, max_heap_bytes=1 << 30)
    options = BootstrapOptions.of(settings, gateway="a/b")
    assert (options.workers, options.max_connections, options.max_heap_bytes) == (3, 7, 1 << 30)
    assert options.gateway == "a/b"
    assert BootstrapOptions.of(settings, workers=9).workers == 9
    assert BootstrapOptions.of(ProxySettings()) == BootstrapOptions()


@pytest.mark.parametrize(
    ("stat", "tags"),
    [
        (
            "wasmcustom.sluice_sale.shop.laptop.sold_out",
            {"sale_namespace": "shop", "sale": "laptop", "outcome": "sold_out"},
        ),
        (
            "wasmcustom.sluice_sale.shop.laptop.v2.known",
            {"sale_namespace": "shop", "sale": "laptop.v2", "outcome": "known"},
        ),
        ("wasmcustom.sluice_redis.connects", {}),
        ("cluster.sluice-redis.upstream_cx_total", {}),
    ],
)
def test_counters_of_a_sale_carry_it_as_labels(stat: str, tags: dict[str, str]) -> None:
    found = {}
    for tag in loaded()["stats_config"]["stats_tags"]:
        matched = re.search(tag["regex"], stat)
        if matched:
            found[tag["tag_name"]] = matched[2]
    assert found == tags
