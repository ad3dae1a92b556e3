"""The benchmark's own logic: what is true of it without running it."""

from __future__ import annotations

import json
from datetime import date
from string import Template
from typing import TYPE_CHECKING, Any

import pytest

from bench.cases import CASES, MORE_CASES, PLAIN
from bench.loader import Figures, Load
from bench.results import Run, quantile, summarize, write
from bench.stage import MANIFESTS, StageError, noop_listener
from controlplane.sources import load
from controlplane.translate import CodeRef, FilterCode, Options, translate
from controlplane.translate.render import resources

if TYPE_CHECKING:
    from pathlib import Path

PORT = 13000
EVERY = {case.name: case for case in (*CASES, *MORE_CASES)}


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("manifests")
    text = Template(MANIFESTS.read_text()).substitute(
        redis="127.0.0.1:6379",
        port=PORT,
        past="2026-01-01T00:00:00Z",
        future="2036-01-01T00:00:00Z",
        revision=1,
    )
    (folder / "bench.yaml").write_text(text)
    update = load([folder])
    assert update.problems == ()
    code = FilterCode(
        flash_sale=CodeRef("a" * 64, "/flash-sale.wasm"),
        quota=CodeRef("c" * 64, "/quota.wasm"),
        redis_bridge=CodeRef("b" * 64, "/bridge.wasm"),
    )
    options = Options(filters=code, today=date(2027, 1, 10))
    return resources(translate(update.inventory, options).snapshots["bench/edge"])


def test_every_case_has_a_route_and_all_but_plain_a_sale(
    rendered: dict[str, list[dict[str, Any]]],
) -> None:
    routes = {r["match"]["path"]: r for r in rendered["routes"][0]["virtual_hosts"][0]["routes"]}
    for case in EVERY.values():
        route = routes[case.path]
        assert "redirect" in route
        assert ("typed_per_filter_config" in route) == (case.path != f"/{PLAIN}")


def test_the_noop_listener_is_the_edge_with_another_filter(
    rendered: dict[str, list[dict[str, Any]]],
) -> None:
    listener = noop_listener(rendered, PORT, 13001)
    assert listener["address"]["socket_address"]["port_value"] == 13001
    manager = listener["filter_chains"][0]["filters"][-1]["typed_config"]
    assert manager["http_filters"][0]["name"] == "noop"
    assert "rds" not in manager
    (route,) = manager["route_config"]["virtual_hosts"][0]["routes"]
    assert route["match"] == {"path": "/plain"}
    edge = rendered["listeners"][0]["filter_chains"][0]["filters"][-1]["typed_config"]
    assert manager.keys() ^ edge.keys() == {"rds", "route_config"}


def test_a_listener_that_is_not_there_is_named() -> None:
    with pytest.raises(StageError, match="edge-1"):
        noop_listener({"listeners": [], "routes": []}, 1, 2)


def figures(rps: float, **changes: object) -> Figures:
    values: dict[str, object] = {
        "answers": 10,
        "rps": rps,
        "p50_ms": 1.0,
        "p99_ms": 2.0,
        "statuses": {302: 10},
        "errors": {"reset": 0},
        "unsent": 0,
        "cpu_share": 0.5,
    }
    return Figures(**{**values, **changes})  # type: ignore[arg-type]


def test_the_median_of_the_rounds_ratios_counts() -> None:
    pairs = [(100, 50), (10, 8), (1000, 900)]
    rounds = [{PLAIN: Run(figures(p), 10, 1), "pass": Run(figures(v), 20, 1)} for p, v in pairs]
    plain, passed = summarize(rounds, [EVERY[PLAIN], EVERY["pass"]])
    assert plain.ratio == 1
    assert plain.verdict == ""
    assert passed.ratio == pytest.approx(0.8)
    assert passed.cpu_ratio == pytest.approx(0.5)
    assert passed.verdict == "passed"


@pytest.mark.parametrize(
    ("rps", "share", "verdict"),
    [(9, 0.5, "passed"), (5, 0.5, "disturbed"), (5, 1, "missed"), (9, 1, "passed")],
)
def test_nothing_is_missed_when_envoy_was_not_the_limit(
    rps: float, share: float, verdict: str
) -> None:
    rounds = [{PLAIN: Run(figures(10), 1, share), "pass": Run(figures(rps), 1, 1)}]
    (passed,) = summarize(rounds, [EVERY["pass"]])
    assert passed.verdict == verdict


def test_unexpected_answers_are_told() -> None:
    assert figures(1).unexpected(302) == ""
    assert "500" in figures(1, statuses={302: 9, 500: 1}).unexpected(302)
    assert "reset" in figures(1, errors={"reset": 1}).unexpected(302)
    assert figures(1, answers=0, statuses={}).unexpected(302)


def test_quantiles() -> None:
    row = [float(n) for n in range(1, 101)]
    assert [quantile(row, q) for q in (0, 0.5, 0.99, 1)] == [1, 50, 99, 100]
    assert quantile([7.0], 0.99) == 7


def test_the_load_generator_is_told_only_what_is_wanted(tmp_path: Path) -> None:
    whole = Load("http://x/", seconds=1, values={"user": tmp_path}, headers=("a: {user}",))
    assert whole.arguments()[-1] == "http://x/"
    assert "--rate" not in whole.arguments()
    assert f"user={tmp_path}" in whole.arguments()


def test_results_are_written_whole(tmp_path: Path) -> None:
    write(tmp_path / "results" / "latest.json", {"cases": []})
    assert json.loads((tmp_path / "results" / "latest.json").read_text()) == {"cases": []}
    assert [p.name for p in (tmp_path / "results").iterdir()] == ["latest.json"]
