"""A chart can only read files in its own folder: what it has copies of must be the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from controlplane import __version__
from controlplane.model import crds
from controlplane.translate import chart

CHART = Path(__file__).parents[3] / "manifests" / "chart"
EXPECTED = {
    **{f"crds/{name}": text for name, text in crds.files().items()},
    **{f"files/{name}": text for name, text in chart.files().items()},
}


@pytest.mark.parametrize("name", EXPECTED)
def test_the_copies_in_the_chart_are_fresh(name: str) -> None:
    assert (CHART / name).read_text() == EXPECTED[name], "run `make generate`"


def test_there_are_no_other_copies() -> None:
    found = {str(path.relative_to(CHART)) for path in CHART.glob("*/*") if path.suffix == ".yaml"}
    assert {name for name in found if not name.startswith("templates/")} == EXPECTED.keys()


def test_the_chart_is_for_this_version() -> None:
    described = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert described["appVersion"] == __version__


def test_every_value_has_a_schema() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert not list(_differences(values, schema, "values"))


def _differences(values: Any, schema: dict[str, Any], place: str) -> list[str]:
    properties = schema.get("properties")
    # Lists, free objects, and what is optional in them.
    if properties is None or not isinstance(values, dict) or not values:
        return []
    # `global` is Helm's own, and `resources` is passed on as it is.
    known = properties.keys() - {"global", "claims"}
    found = [f"{place}.{key}" for key in known ^ values.keys()]
    for key in known & values.keys():
        found += _differences(values[key], properties[key], f"{place}.{key}")
    return found
