"""The chart, as Helm renders it for three sets of values, in files beside them.

After a wanted change, write them anew and read the difference:

    .venv/bin/python -m tests.cluster.chart.golden
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any, Final

import yaml

from controlplane.local.errors import MissingBinaryError

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[2]
CHART: Final = ROOT / "manifests" / "chart"
CASES: Final = ("trial", "production", "own-gateway")
RELEASE: Final = "sluice"
NAMESPACE: Final = "sluice-system"
KUBERNETES: Final = "1.34.2"
HINT: Final = "if this is wanted: .venv/bin/python -m tests.cluster.chart.golden, and read the diff"
_DEADLINE: Final = 60.0


def helm_binary() -> Path:
    """The program `helm`: named by TEST_ASSET_HELM, or built by `make rig`."""
    named = os.environ.get("TEST_ASSET_HELM")
    path = Path(named) if named else ROOT / ".rig" / "helm"
    if not path.is_file():
        raise MissingBinaryError(f"there is no {path}: run `make rig`, which builds helm")
    return path


def helm(*arguments: object, home: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Runs Helm, without the settings of whoever runs the tests."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(home or "/nonexistent")}
    return subprocess.run(
        [helm_binary(), *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        timeout=_DEADLINE,
        env=environment,
    )


def values_of(case: str) -> Path:
    """The values of a case."""
    return HERE / f"{case}.yaml"


def golden_of(case: str) -> Path:
    """What came of them when it was last looked at."""
    return HERE / f"{case}.expected"


def render(*arguments: object) -> str:
    """The chart as text."""
    options = ("--namespace", NAMESPACE, "--kube-version", KUBERNETES)
    done = helm("template", RELEASE, CHART, *options, *arguments)
    if done.returncode:
        raise AssertionError(done.stderr)
    return done.stdout


def documents(text: str) -> list[dict[str, Any]]:
    """Its objects."""
    return [one for one in yaml.safe_load_all(text) if one]


if __name__ == "__main__":
    for name in CASES:
        golden_of(name).write_text(render("--values", values_of(name)))
