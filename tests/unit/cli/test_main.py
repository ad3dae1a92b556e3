"""Usage, help and exit codes: the same for every command."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import click
import pytest

from controlplane import __version__
from controlplane.cli.main import COMMANDS, sluice

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Sluice


def leaves() -> list[tuple[str, ...]]:
    """Every command that can be run, as its words."""
    found: list[tuple[str, ...]] = []
    context = click.Context(sluice)
    for name in COMMANDS:
        command = sluice.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            found += [(name, inner) for inner in command.commands]
        else:
            found.append((name,))
    return found


ISSUED = {
    "serve": (),
    "demo": (),
    "validate": (),
    "render": (),
    "bootstrap": (),
    "certificates": (),
    "status": (),
    "filters": ("list", "reload"),
    "sale": ("list", "show", "watch", "suspend", "resume", "set-limit", "restore", "reset"),
    "data": ("list", "apply", "delete"),
    "quota": ("list", "show", "get", "reset", "adjust", "top"),
    "keys": ("list", "rotate"),
    "version": (),
}


def test_the_commands_that_there_should_be() -> None:
    given: dict[str, set[str]] = {name: set() for name in COMMANDS}
    for name, *inner in leaves():
        given[name].update(inner)
    assert given == {name: set(inner) for name, inner in ISSUED.items()}


@pytest.mark.parametrize("words", leaves(), ids=" ".join)
def test_every_command_helps_with_examples(words: tuple[str, ...], sluice: Sluice) -> None:
    result = sluice(*words, "--help")
    assert result.code == 0
    assert "Examples:" in result.out
    assert f"sluice {' '.join(words)}" in result.out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("frob",), "error: No such command 'frob'. (see `sluice --help`)\n"),
        (("status", "--frob"), "error: No such option"),
        (("sale", "show"), "error: Missing argument"),
        (("sale", "show", "laptop"), "'laptop' is not NAMESPACE/NAME, such as shop/laptop"),
        (("sale", "show", "a/b/c"), "is not NAMESPACE/NAME"),
        (("sale", "set-limit", "a/b", "many"), "'many' is not a valid integer range"),
        (("sale", "set-limit", "a/b"), "give either a number or --clear"),
        (("bootstrap", "--gateway", "a/b", "--xds-address", "x"), "'x' is not HOST:PORT"),
        (("filters", "reload", "--to", "a", "--file", "b"), "give either --file or --to"),
        (("demo", "--sample", "x"), "no 'x'; the samples are: classic-recipe, flash-sale-full, "),
        (("data", "delete", "a/b", "--all", "--id", "x"), "but not both"),
        (("quota", "get", "model-api"), "is not NAMESPACE/NAME, such as shop/model-api"),
        (("quota", "get", "a/b", "--key", "k", "--consumer", "x"), "either --key or --consumer"),
        (("quota", "reset", "a/b", "--key", "k", "--all"), "but not both"),
        (("quota", "adjust", "a/b", "--key", "k"), "give either --charge or --give-back"),
        (("quota", "adjust", "a/b", "--charge", "1", "--give-back", "1"), "give either --charge"),
        (("quota", "adjust", "a/b", "--charge", "0"), "0 is not in the range"),
    ],
)
def test_wrong_usage_is_one_line_and_2(words: tuple[str, ...], told: str, sluice: Sluice) -> None:
    result = sluice(*words)
    assert result.code == 2
    assert told in result.err
    assert result.err.startswith("error: ")
    assert result.out == ""


def test_no_control_plane(sluice: Sluice) -> None:
    result = sluice("status", "--server", "http://127.0.0.1:9")
    assert result.code == 1
    assert result.err == (
        "error: no control plane answers at http://127.0.0.1:9: start one with `sluice serve`, or "
        "name it with --server or SLUICE_SERVER\n"
    )
    assert "write http://HOST:PORT" in sluice("status", "--server", "frob").err


def test_version(sluice: Sluice) -> None:
    assert sluice("version").out == f"sluice {__version__}\n"
    assert sluice("version", "-o", "json").json == {"version": __version__}


def test_a_reader_that_goes_away_is_no_error() -> None:
    command = f"{sys.executable} -m controlplane --help | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["/bin/bash", "-c", command], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0
    assert done.stderr == ""


def test_light_commands_load_nothing_heavy() -> None:
    code = (
        "import sys; from controlplane.cli.main import run; run(['sale', 'list', '--help']); "
        "sys.exit(any(name in sys.modules for name in ('grpc', 'envoy_data_plane', 'pydantic')))"
    )
    environment = {**os.environ, "NO_COLOR": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, env=environment, check=False, timeout=60
    )
    assert done.returncode == 0
