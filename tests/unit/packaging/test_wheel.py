from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SCRIPTS = {path.name for path in (ROOT / "filters" / "scripts").glob("*.lua")}
FOLDER = ROOT / "manifests" / "samples"
SAMPLES = {path.relative_to(FOLDER) for path in FOLDER.rglob("*.yaml")}


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel, built and unpacked; the filters must be built (`make filters`)."""
    target = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel"]
    subprocess.run([*command, "--directory", target], cwd=ROOT, check=True, timeout=60)
    (wheel,) = target.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(target / "unpacked")
    return target / "unpacked"


def test_it_carries_the_built_filters(unpacked: Path) -> None:
    for name in ("flash-sale.wasm", "quota.wasm", "redis-bridge.wasm"):
        assert (unpacked / "controlplane" / "filters" / name).read_bytes()[:4] == b"\0asm"


def test_it_carries_every_script_and_finds_them_there(unpacked: Path) -> None:
    assert SCRIPTS
    assert {path.name for path in (unpacked / "controlplane/ledger/scripts").iterdir()} == SCRIPTS
    code = "from controlplane.ledger import scripts; print(scripts.folder())"
    found = _run(unpacked, "-c", code)
    assert Path(found) == unpacked / "controlplane" / "ledger" / "scripts"


def test_it_carries_what_starts_an_envoy(unpacked: Path) -> None:
    assert (unpacked / "controlplane" / "envoy" / "bootstrap.yaml").is_file()


def test_it_carries_every_sample_and_finds_them_there(unpacked: Path) -> None:
    packaged = unpacked / "controlplane" / "samples"
    assert SAMPLES
    assert {path.relative_to(packaged) for path in packaged.rglob("*.yaml")} == SAMPLES
    code = "from controlplane.local.demo import samples; print(samples.folder())"
    assert Path(_run(unpacked, "-c", code)) == packaged


def test_it_carries_no_tests_and_nothing_of_the_workspace(unpacked: Path) -> None:
    top = {path.name for path in unpacked.iterdir() if not path.name.endswith(".dist-info")}
    assert top == {"controlplane"}
    assert not list(unpacked.rglob("*.rs"))
    assert (unpacked / "controlplane" / "py.typed").is_file()


def test_its_command_has_the_name_that_kubectl_looks_for(unpacked: Path) -> None:
    (found,) = unpacked.glob("*.dist-info/entry_points.txt")
    lines = found.read_text().splitlines()
    assert {line.split(" = ")[0] for line in lines if " = " in line} == {"sluice", "kubectl-sluice"}


def test_its_command_runs(unpacked: Path) -> None:
    assert "sluice" in _run(unpacked, "-m", "controlplane", "--help").lower()


def _run(unpacked: Path, *arguments: str) -> str:
    """Runs Python with the unpacked wheel in place of the checkout."""
    answer = subprocess.run(
        [sys.executable, *arguments],
        cwd=unpacked,
        env={**os.environ, "PYTHONPATH": str(unpacked)},
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return answer.stdout.strip()
