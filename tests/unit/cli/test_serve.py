"""`sluice serve` as a process: it says where it is, and ends in order when it is told to."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

import httpx
import pytest
from click.testing import CliRunner

from controlplane.cli.serve import command
from controlplane.local import free_port
from controlplane.local.process import Process
from tests.testkit.waiting import eventually
from tests.unit.app.control_plane import write_manifests

if TYPE_CHECKING:
    from pathlib import Path

    from controlplane.local import RedisServer

pytestmark = pytest.mark.redis


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda one: one.name)
async def test_it_ends_in_order(
    number: signal.Signals, redis_server: RedisServer, tmp_path: Path
) -> None:
    manifests = write_manifests(tmp_path / "manifests", redis_server.address)
    web_port, log = free_port(), tmp_path / "serve.log"
    serve = Process(
        "sluice serve",
        [
            sys.executable,
            *("-m", "controlplane", "serve", manifests, "--state-dir", tmp_path / "state"),
            *("--xds-port", str(free_port()), "--web-port", str(web_port)),
        ],
        log=log,
    )

    async def ready() -> bool:
        async with httpx.AsyncClient(trust_env=False) as client:
            try:
                return (await client.get(f"http://127.0.0.1:{web_port}/readyz")).is_success
            except httpx.HTTPError:
                return False

    try:
        await serve.until_ready(ready, 30)
        serve.signal(number)
        await eventually(lambda: not serve.running, deadline=30, what="it has ended")
        assert serve.returncode == 0
    finally:
        await serve.terminate(5)
    text = log.read_text()
    assert f"http://127.0.0.1:{web_port}" in text
    assert "Stopping" in text
    assert "Traceback" not in text
    assert "rror" not in text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Name a PATH, or say --kubernetes"),
        (["manifests", "--kubernetes"], "from PATH or from --kubernetes"),
        (["manifests", "--context", "x"], "go with --kubernetes"),
    ],
)
def test_objects_come_from_one_place(arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 2
    assert said in result.output


def test_a_missing_kubeconfig_is_one_line(tmp_path: Path) -> None:
    arguments = ["--kubernetes", "--kubeconfig", str(tmp_path / "no"), "--state-dir", str(tmp_path)]
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 1
    assert f"Error: no kubeconfig at {tmp_path / 'no'}" in result.output
