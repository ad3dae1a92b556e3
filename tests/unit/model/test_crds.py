"""The CRDs in manifests/crds are what the models say now, and good ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from controlplane.model import Condition
from controlplane.model.crd_status import STATES
from controlplane.model.crds import definitions, files, main
from controlplane.model.rules import Rule, rules_of
from controlplane.status.objects import SalePhase

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
KEPT = ROOT / "manifests" / "crds"
CRDS = definitions()
SALE = CRDS["flashsales.sluice.dev.yaml"]
QUOTA = CRDS["quotapolicies.sluice.dev.yaml"]
EDGE = CRDS["edgeconfigs.sluice.dev.yaml"]


def version(crd: dict[str, Any]) -> dict[str, Any]:
    (only,) = crd["spec"]["versions"]
    assert isinstance(only, dict)
    return only


def at(crd: dict[str, Any], path: str) -> dict[str, Any]:
    """The schema of a field, such as `spec.limits[].name`."""
    schema = version(crd)["schema"]["openAPIV3Schema"]
    for step in path.split("."):
        name = step.removesuffix("[]")
        schema = schema["properties"][name]
        schema = schema["items"] if step.endswith("[]") else schema
    assert isinstance(schema, dict)
    return schema


def walk(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, inner in schema.get("properties", {}).items():
        yield from walk(inner, f"{path}.{name}")
    if "items" in schema:
        yield from walk(schema["items"], f"{path}[]")


EVERYTHING = [
    pytest.param(path, schema, id=f"{name.split('.', 1)[0]}{path}")
    for name, crd in CRDS.items()
    for path, schema in walk(version(crd)["schema"]["openAPIV3Schema"])
    if path not in {".apiVersion", ".kind", ".metadata"}
]


def test_the_crds_are_not_stale() -> None:
    kept = {path.name: path.read_text() for path in KEPT.iterdir()}

    assert kept == files(), "run: make generate"


def test_they_are_written_into_a_folder(tmp_path: Path) -> None:
    main([str(tmp_path / "deep" / "down")])

    written = {path.name: path.read_text() for path in (tmp_path / "deep" / "down").iterdir()}
    assert written == files()
    assert {name: yaml.safe_load(text) for name, text in written.items()} == CRDS


@pytest.mark.parametrize(("path", "schema"), EVERYTHING)
def test_every_place_is_bounded_and_told(path: str, schema: dict[str, Any]) -> None:
    kind = schema["type"]
    if not path.endswith("[]") or kind == "object":
        assert schema["description"]
    if kind == "array":
        assert schema["maxItems"] > 0
        assert schema["x-kubernetes-list-type"] in {"atomic", "map", "set"}
    if kind == "string":
        assert "maxLength" in schema or "enum" in schema
    if kind in {"integer", "number"}:
        assert {"minimum", "maximum"} <= set(schema)


@pytest.mark.parametrize(
    ("crd", "names", "columns"),
    [
        (SALE, ("fs", "flashsales"), "State Admitted Remaining Proxies Starts Age"),
        (QUOTA, ("qp", "quotapolicies"), "Accepted Programmed Limits Proxies Age"),
        (EDGE, ("ec", "edgeconfigs"), "Redis Filters Age"),
    ],
)
def test_what_kubectl_shows(crd: dict[str, Any], names: tuple[str, str], columns: str) -> None:
    told = crd["spec"]["names"]

    assert (*told["shortNames"], told["plural"]) == names
    assert told["categories"] == ["sluice"]
    shown = [column["name"] for column in version(crd)["additionalPrinterColumns"]]
    assert shown == columns.split()


def test_policies_are_labelled_as_such() -> None:
    labels = {name: crd["metadata"].get("labels") for name, crd in CRDS.items()}

    assert labels == {
        "flashsales.sluice.dev.yaml": {"gateway.networking.k8s.io/policy": "Direct"},
        "quotapolicies.sluice.dev.yaml": {"gateway.networking.k8s.io/policy": "Direct"},
        "edgeconfigs.sluice.dev.yaml": None,
    }


@pytest.mark.parametrize("crd", [SALE, QUOTA])
def test_status_holds_what_is_said(crd: dict[str, Any]) -> None:
    conditions = at(crd, "status.conditions")

    assert version(crd)["subresources"] == {"status": {}}
    assert conditions["x-kubernetes-list-map-keys"] == ["type"]
    said = Condition("Accepted", "True", "Accepted", "", 1).as_json()
    assert set(said) == set(conditions["items"]["properties"])
    assert tuple(STATES) == tuple(SalePhase)


def test_bounds_defaults_and_rules_come_from_the_models() -> None:
    ratio = at(SALE, "spec.admission.blockRatio")
    assert (ratio["minimum"], ratio["maximum"], ratio["exclusiveMaximum"]) == (0, 1, True)
    assert ratio["default"] == 0
    assert at(SALE, "spec.admission")["default"]["draw"] == "PerUser"
    assert at(SALE, "spec.targetRefs[].kind")["enum"] == ["HTTPRoute"]
    assert at(QUOTA, "spec.targetRefs[].kind")["enum"] == ["Gateway", "HTTPRoute"]
    assert at(QUOTA, "spec.limits")["x-kubernetes-list-map-keys"] == ["name"]
    (later,) = at(SALE, "spec.schedule")["x-kubernetes-validations"]
    assert later == {
        "rule": "!has(self.endTime) || self.endTime > self.startTime",
        "message": "must be after startTime",
        "fieldPath": ".endTime",
    }
    (bounds,) = at(EDGE, "spec.redis.timeout")["x-kubernetes-validations"]
    assert bounds["message"] == "must be at least 1ms and at most 10s"


def test_the_words_of_a_message_are_filled_in_by_both() -> None:
    class Body:
        RULE = Rule(
            "an answer {status} isn't {what}",
            "true",
            "body",
            words={"status": "string(self.status)", "what": "'it'"},
        )

    (rule,) = rules_of(Body)
    assert rule.broken(status=204, what="it") == (("body",), "an answer 204 isn't it")
    assert rule.broken("headers", 3, status=1, what=2) == (("headers", 3), "an answer 1 isn't 2")
    assert rule.message_cel == "'an answer ' + (string(self.status)) + ' isn\\'t ' + ('it')"
