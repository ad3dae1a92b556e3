"""Commands that need manifests only: they tell what is wrong, where, and what would be served."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.unit.app.control_plane import EDGE, SALE, write_manifests

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Sluice

SAMPLES = Path(__file__).parents[3] / "manifests" / "samples"


@pytest.fixture
def manifests(tmp_path: Path) -> Path:
    return write_manifests(tmp_path / "manifests", "127.0.0.1:6379")


@pytest.mark.parametrize("sample", sorted(SAMPLES.glob("*/")), ids=lambda path: path.name)
def test_samples_are_valid(sample: Path, sluice: Sluice) -> None:
    result = sluice("validate", str(sample))
    assert result.code == 0, result.out
    assert result.out.endswith(" objects, 0 errors\n")


@pytest.mark.parametrize(
    ("change", "line", "told"),
    [
        ("kind: [", 0, "sale.yaml"),
        (SALE.replace("stock:", "stok:"), 7, "FlashSale shop/laptop: spec.stok"),
        (
            SALE.replace('00Z"', '00Z", endTime: "2025-01-01T00:00:00Z"'),
            6,
            "spec.schedule.endTime: must be after startTime",
        ),
        (SALE.replace("[{{name: shop}}]", "[{{name: nowhere}}]"), 1, "nowhere"),
        (f"{SALE}---\n{SALE.replace('{name}', 'zebra')}", 10, "FlashSale shop/zebra"),
    ],
    ids=["broken YAML", "unknown field", "end before start", "no target", "two on one target"],
)
def test_problems_name_file_and_line(
    manifests: Path, change: str, line: int, told: str, sluice: Sluice
) -> None:
    file = manifests / "sale.yaml"
    file.write_text(change.format(stock=3, name="laptop") if "{{" in change else change)
    result = sluice("validate", str(manifests))
    assert result.code == 1
    assert told in result.out
    assert f"{file}:{line}: " in result.out if line else str(file) in result.out
    assert result.err == ""
    listed = sluice("validate", str(manifests), "-o", "json").json
    assert listed["problems"][0]["severity"] == "error"


def test_a_path_to_nothing(sluice: Sluice, tmp_path: Path) -> None:
    result = sluice("validate", str(tmp_path / "nowhere"))
    assert result.code == 1
    assert "nowhere" in result.out


def test_render_is_stable_and_readable(manifests: Path, sluice: Sluice) -> None:
    first = sluice("render", str(manifests), "--gateway", "shop/edge")
    assert first.code == 0
    assert first.out == sluice("render", str(manifests), "--gateway", "shop/edge").out
    found = yaml.safe_load(first.out)
    assert [one["name"] for one in found["listeners"]] == ["edge-8080", "sluice-redis"]
    assert "sluice.flash-sale" in {one["name"] for one in found["extensions"]}


def test_render_tells_problems_and_renders_the_rest(manifests: Path, sluice: Sluice) -> None:
    (manifests / "more.yaml").write_text("kind: [")
    result = sluice("render", str(manifests), "--gateway", "shop/edge")
    assert result.code == 0
    assert "more.yaml" in result.err


def test_render_of_an_unknown_gateway(manifests: Path, sluice: Sluice) -> None:
    result = sluice("render", str(manifests), "--gateway", "shop/frob")
    assert result.code == 1
    assert "there is no gateway 'shop/frob' that can be rendered; known: shop/edge" in result.err


def test_bootstrap(sluice: Sluice) -> None:
    result = sluice(
        *("bootstrap", "--gateway", "shop/edge", "--node-id", "edge-b", "--workers", "3"),
        *("--xds-address", "[::1]:1", "--admin-address", "127.0.0.1:2"),
    )
    found = yaml.safe_load(result.out)
    assert found["node"]["id"] == "edge-b"
    assert found["node"]["cluster"] == "shop/edge"
    assert found["node"]["metadata"]["workers"] == 3
    assert found["admin"]["address"]["socket_address"]["port_value"] == 2


def test_bootstrap_with_the_limits_of_an_edge_config(tmp_path: Path, sluice: Sluice) -> None:
    folder = write_manifests(tmp_path / "m", "127.0.0.1:6379")
    limited = EDGE.format(redis="127.0.0.1:6379").replace(
        "spec:\n  redis", "spec:\n  proxy: {workers: 4, maxConnections: 777}\n  redis", 1
    )
    (folder / "edge.yaml").write_text(limited)
    result = sluice("bootstrap", "--gateway", "shop/edge", "--manifests", str(folder))
    assert yaml.safe_load(result.out)["node"]["metadata"]["workers"] == 4
    assert "max_active_downstream_connections: 777" in result.out
    result = sluice("bootstrap", "--gateway", "shop/frob", "--manifests", str(folder))
    assert result.code == 1
    assert "there is no gateway 'shop/frob' of ours" in result.err


def test_serve_that_cannot_start(tmp_path: Path, sluice: Sluice) -> None:
    result = sluice("serve", str(tmp_path / "nowhere"), "--state-dir", str(tmp_path / "state"))
    assert result.code == 1
    assert result.err == f"error: there is no file or folder {tmp_path}/nowhere: check the path\n"
