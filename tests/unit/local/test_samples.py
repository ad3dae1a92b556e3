"""Samples as a machine needs them: good manifests, and nothing changed that need not be."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from controlplane.cli import offline
from controlplane.local import LocalError
from controlplane.local.demo import RECIPES, samples
from controlplane.local.demo.ground import Ground
from controlplane.local.demo.place import GATEWAY, Place
from controlplane.local.demo.staging import Sample
from controlplane.sources import load

if TYPE_CHECKING:
    from pathlib import Path

PLACE = Place("127.0.0.1:7001", 7002, 7003, 3)
START = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)
CHANGED = {"EdgeConfig", "GatewayClass", "Gateway", "EndpointSlice", "FlashSale"}

Documents = dict[tuple[str, str], dict[str, Any]]


def documents(text: str) -> Documents:
    return {(one["kind"], one["metadata"]["name"]): one for one in yaml.safe_load_all(text)}


def adapted(name: str) -> tuple[Documents, Documents]:
    text = samples.read(name)
    return documents(text), documents(samples.adapt(name, text, PLACE, START))


def test_there_is_something_to_see_of_every_sample() -> None:
    assert list(RECIPES) == samples.names()


@pytest.mark.parametrize("name", RECIPES)
def test_an_adapted_sample_is_good(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"{name}.yaml"
    path.write_text(samples.adapt(name, samples.read(name), PLACE, START))
    update = load([path])
    assert [str(problem) for problem in update.problems] == []
    report = offline.translated(update, tmp_path, ()).report
    assert [str(problem) for problem in report.problems] == []


@pytest.mark.parametrize("name", RECIPES)
def test_it_is_at_home_here(name: str) -> None:
    _, now = adapted(name)
    (gateway,) = (one for (kind, _), one in now.items() if kind == "Gateway")
    assert f"{gateway['metadata']['namespace']}/{gateway['metadata']['name']}" == GATEWAY
    assert {one["port"] for one in gateway["spec"]["listeners"]} == {7002}
    (slice_,) = (one for (kind, _), one in now.items() if kind == "EndpointSlice")
    assert {one["port"] for one in slice_["ports"]} == {7003}
    assert [one["addresses"] for one in slice_["endpoints"]] == [["127.0.0.1"]]
    config = now["EdgeConfig", "edge"]["spec"]
    assert config["redis"] == {"address": "127.0.0.1:7001", "timeout": "2s"}
    assert config["proxy"]["workers"] == 3
    assert "filters" not in config
    reference = now["GatewayClass", "sluice"]["spec"]["parametersRef"]
    assert (reference["kind"], reference["namespace"], reference["name"]) == (
        "EdgeConfig",
        "shop",
        "edge",
    )


@pytest.mark.parametrize("name", RECIPES)
def test_nothing_else_is_changed(name: str) -> None:
    before, now = adapted(name)
    assert now.keys() - before.keys() <= {("EdgeConfig", "edge")}
    for key, document in before.items():
        if key[0] == "FlashSale":
            assert now[key]["spec"].pop("schedule")["startTime"] == "2031-05-06T07:08:09.000Z"
            document["spec"].pop("schedule")
        elif key[0] == "EdgeConfig":
            for part in ("redis", "filters", "proxy"):
                document["spec"].pop(part, None)
                now[key]["spec"].pop(part, None)
        elif key[0] in CHANGED:
            continue
        assert now[key] == document


def test_what_proxies_may_use_is_kept() -> None:
    _, now = adapted("flash-sale-full")
    spec = now["EdgeConfig", "edge"]["spec"]
    assert spec["proxy"]["trustedHops"] == 1
    assert spec["proxy"]["maxConnections"] == 50_000
    assert spec["accessLog"]["format"] == "Json"


def test_a_sale_lasts_as_long_as_before() -> None:
    _, now = adapted("flash-sale-full")
    schedule = now["FlashSale", "laptop"]["spec"]["schedule"]
    assert schedule["endTime"] == "2031-05-06T19:08:09.000Z"
    _, now = adapted("two-sales")
    schedule = now["FlashSale", "phone"]["spec"]["schedule"]
    ten_years = datetime(2036, 1, 1, tzinfo=UTC) - datetime(2026, 1, 1, tzinfo=UTC)
    assert datetime.fromisoformat(schedule["endTime"]) == START + ten_years


def test_comments_stay_but_for_those_that_are_wrong_now() -> None:
    text = samples.adapt("classic-recipe", samples.read("classic-recipe"), PLACE, START)
    assert "# four of ten tries lose the draw," in text
    assert "in the past" not in text
    assert not re.search(r"\b(8080|18090|6379)\b", text)


def test_only_what_is_confirmed_by_a_replica_has_one() -> None:
    with_one = [name for name in RECIPES if Sample(name).scene.replica]
    assert with_one == ["flash-sale-full"]


def test_a_sample_waits_until_it_is_told_to_start(tmp_path: Path) -> None:
    sample = Sample("classic-recipe", "/flashsale")
    ground = Ground(tmp_path, sample.scene, print)
    ground.manifests.mkdir()
    ((file, text),) = sample.scene.manifests(PLACE).items()

    def start(text: str) -> datetime:
        schedule = documents(text)["FlashSale", "laptop"]["spec"]["schedule"]
        return datetime.fromisoformat(schedule["startTime"])

    assert start(text) > datetime.now(UTC) + timedelta(minutes=30)
    sample.start(ground, START)
    assert [path.name for path in ground.manifests.iterdir()] == [file]
    assert start((ground.manifests / file).read_text()) == START


def test_a_sample_that_is_not_there() -> None:
    with pytest.raises(LocalError, match=r"gone cannot be read: there is none"):
        samples.read("gone")


LISTS = """\
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
spec:
  listeners: [{name: a, port: 80}, {name: b, port: 81}] # ports
---
kind: EndpointSlice
ports:
- port: 1 # one
- port: 2
endpoints:
- addresses:
  - 10.0.0.1
  - 10.0.0.2
---
kind: GatewayClass
spec: {controllerName: x, parametersRef: {name: other}}
---
kind: EdgeConfig
metadata: {name: other}
"""


def test_any_way_to_write_it() -> None:
    text = samples.adapt("lists", LISTS, PLACE, START)
    gateway, slice_, class_, config = yaml.safe_load_all(text)
    assert [one["port"] for one in gateway["spec"]["listeners"]] == [7002, 7002]
    assert slice_["ports"] == [{"port": 7003}, {"port": 7003}]
    assert slice_["endpoints"] == [{"addresses": ["127.0.0.1", "127.0.0.1"]}]
    assert class_["spec"]["parametersRef"] == {"name": "other"}
    assert config["metadata"] == {"name": "other"}
    assert config["spec"]["redis"]["address"] == "127.0.0.1:7001"
