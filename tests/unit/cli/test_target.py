"""Which control plane is asked, and what names mean there. For clusters that are: tests/cluster."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import click
import pytest

from controlplane.cli.main import COMMANDS, run, sluice as root
from controlplane.cli.target import PLUGIN
from tests.unit.cli.conftest import Result

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.unit.cli.conftest import Sluice

ASKING = ("status", "sale", "data", "quota", "filters", "keys")
CLUSTER = {"--kubeconfig", "--context", "--control-plane", "--server"}


def asking() -> list[click.Command]:
    """Every command that asks a control plane."""
    context = click.Context(root)
    found: list[click.Command] = []
    for name in ASKING:
        command = root.get_command(context, name)
        assert command is not None
        found += command.commands.values() if isinstance(command, click.Group) else [command]
    return found


@pytest.fixture
def kubectl(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., Result]:
    """Run `kubectl sluice`, where there is no cluster."""
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))

    def command(*words: str) -> Result:
        capsys.readouterr()
        code = run(words, program="kubectl-sluice")
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err
        return Result(code, printed.out, printed.err)

    return command


@pytest.mark.parametrize("command", asking(), ids=lambda one: str(one.name))
def test_all_that_ask_can_be_led_to_a_cluster(command: click.Command) -> None:
    given = {option for parameter in command.params for option in parameter.opts}
    assert given >= CLUSTER
    names = {parameter.name for parameter in command.params}
    assert "namespace" in names or not names & {"sale", "policy"}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("status", "--server", "http://x", "--context", "y"), "give one or the other"),
        (("status", "--control-plane", "x"), "'x' is not NAMESPACE/NAME"),
        (("status", "--control-plane", "a/b/c"), "'a/b/c' is not NAMESPACE/NAME"),
        (("sale", "show", "shop/laptop", "-n", "other"), "is not of namespace other"),
        (("sale", "show", ""), "'' is not NAMESPACE/NAME"),
        (("sale", "show", "/laptop", "-n", "shop"), "is not NAMESPACE/NAME"),
        (("sale", "show", "a/b/c", "-n", "a"), "is not NAMESPACE/NAME"),
    ],
)
def test_wrong_usage(words: tuple[str, ...], told: str, sluice: Sluice) -> None:
    result = sluice(*words)
    assert result.code == 2
    assert told in result.err


def test_a_bare_name_needs_a_namespace(sluice: Sluice) -> None:
    nobody = ("--server", "http://127.0.0.1:9")
    assert "is not NAMESPACE/NAME, such as shop/laptop" in sluice("sale", "show", "laptop").err
    assert "no control plane" in sluice("sale", "show", "laptop", "-n", "shop", *nobody).err
    assert "no control plane" in sluice("sale", "show", "s/l", "-n", "s", *nobody).err


def test_a_cluster_wins_over_the_environment(
    sluice: Sluice, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SLUICE_SERVER", "http://127.0.0.1:9")
    assert "no control plane answers at http://127.0.0.1:9" in sluice("status").err
    none = tmp_path / "none"
    for words in (("--kubeconfig", str(none)), ("--context", "x"), ("--control-plane", "a/b")):
        monkeypatch.setenv("KUBECONFIG", str(none))
        assert f"no kubeconfig at {none}" in sluice("status", *words).err


def test_as_a_plug_in_a_cluster_is_the_default(
    kubectl: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLUICE_SERVER", "http://127.0.0.1:9")
    assert "no kubeconfig at" in kubectl("status").err
    assert "no kubeconfig at" in kubectl("sale", "show", "laptop").err
    assert "no control plane answers" in kubectl("status", "--server", "http://127.0.0.1:9").err


def test_help_speaks_of_kubectl(kubectl: Callable[..., Result], sluice: Sluice) -> None:
    assert "Usage: kubectl sluice [OPTIONS]" in kubectl("--help").out
    assert "kubectl sluice sale watch laptop -n shop" in kubectl("--help").out
    assert kubectl("frob").err.endswith("(see `kubectl sluice --help`)\n")
    for name in COMMANDS:
        told = kubectl(name, "--help").out
        assert f"Usage: {PLUGIN} {name}" in told
        assert f"  {PLUGIN} {name}" in told.partition("Examples:")[2]
        assert "kubectl" not in sluice(name, "--help").out.partition("Examples:")[2]
    shown = kubectl("sale", "suspend", "--help").out
    assert "  kubectl sluice sale suspend shop/laptop" in shown


@pytest.mark.parametrize(
    ("program", "told"), [("sluice", "no control plane answers"), ("kubectl-sluice", "kubeconfig")]
)
def test_the_name_it_is_called_by(program: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / program
    path.write_text(f"#!{sys.executable}\nfrom controlplane.cli.main import main\nmain()\n")
    path.chmod(0o700)
    environment = {**os.environ, "KUBECONFIG": str(tmp_path / "none")}
    environment["SLUICE_SERVER"] = "http://127.0.0.1:9"
    done = subprocess.run(
        [path, "status"], capture_output=True, text=True, check=False, timeout=60, env=environment
    )
    assert done.returncode == 1
    assert told in done.stderr


def test_kubernetes_is_loaded_for_clusters_only() -> None:
    code = (
        "import sys; from controlplane.cli.main import run; "
        "run(['status', '--server', 'http://127.0.0.1:9']); "
        "sys.exit(any(name in sys.modules for name in ('kubernetes', 'aiohttp', 'grpc')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=False, timeout=60
    )
    assert done.returncode == 0
