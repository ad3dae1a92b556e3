"""`kubectl sluice` through a real API server, and a kubelet's own handler of port-forwards."""

from __future__ import annotations

import asyncio
import io
import json
import os
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import httpx
import pytest
import structlog
import yaml

from controlplane.cli.client import Client
from controlplane.cli.cluster import Cluster
from controlplane.cli.main import run
from controlplane.cli.target import Target
from controlplane.local import RedisServer, free_port
from tests.cluster.api_server import ApiServer
from tests.cluster.plugin import FORWARDS, HOME, SEES_PODS, Rig
from tests.unit.cli.conftest import Result

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.cluster, pytest.mark.redis]


class Kubectl(Protocol):
    """Runs `kubectl sluice` with some words."""

    def __call__(self, *words: str, stdin: str = "") -> Result: ...


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    folder = tmp_path_factory.mktemp("plugin")
    made = Rig(folder, ApiServer(folder / "api"), RedisServer(directory=folder / "redis"))
    try:
        asyncio.run(made.start())
        yield made
    finally:
        asyncio.run(made.close())


@pytest.fixture(scope="module")
def operator(rig: Rig) -> Path:
    """The kubeconfig of somebody with the least rights."""
    return rig.user("operator", SEES_PODS, FORWARDS)


@pytest.fixture(autouse=True)
def _clean(rig: Rig) -> Iterator[None]:
    yield
    rig.remove_pods()
    structlog.reset_defaults()


@pytest.fixture
def kubectl(
    operator: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Kubectl:
    monkeypatch.setenv("KUBECONFIG", str(operator))
    # It was set for a control plane of this machine.
    monkeypatch.setenv("SLUICE_SERVER", "http://127.0.0.1:9")

    def command(*words: str, stdin: str = "") -> Result:
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        capsys.readouterr()
        code = run(words, program="kubectl-sluice")
        printed = capsys.readouterr()
        if code:
            assert printed.err.count("\n") <= 1, printed.err
        return Result(code, printed.out, printed.err)

    return command


@contextmanager
def listener(*answers: bytes) -> Iterator[list[bytes]]:
    """A program at a port: the n-th request gets the n-th answer; one that is empty ends it all.

    Gives the requests; the port stands first.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        seen = [str(server.getsockname()[1]).encode()]

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    while request := connection.recv(65536):
                        seen.append(request)
                        answer = answers[min(len(seen) - 2, len(answers) - 1)]
                        connection.sendall(answer)
                        if not answer.endswith(b"}"):
                            break

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield seen
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(20)


def answer(text: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(text), text)


def test_all_commands_that_ask(rig: Rig, kubectl: Kubectl) -> None:
    rig.add_pod("sluice-0")
    assert "shop/laptop" in kubectl("sale", "list").out
    assert kubectl("sale", "list", "-n", "elsewhere", "-o", "json").json == {"sales": []}
    assert kubectl("sale", "show", "laptop", "-o", "json").json["name"] == "laptop"
    assert kubectl("sale", "show", "laptop", "-n", "shop").code == 0
    assert kubectl("sale", "show", "shop/laptop").code == 0
    assert "no sale 'other/laptop'" in kubectl("sale", "show", "laptop", "-n", "other").err
    assert kubectl("sale", "suspend", "laptop").out == "shop/laptop: suspended\n"
    assert kubectl("sale", "resume", "laptop").out == "shop/laptop: resumed\n"
    assert kubectl("status").code == 0
    assert kubectl("keys", "list").code == 0
    assert kubectl("filters", "list").code == 0
    assert kubectl("quota", "list").code == 0
    assert kubectl("version").code == 0


def test_much_goes_out_and_comes_in(rig: Rig, kubectl: Kubectl, tmp_path: Path) -> None:
    rig.add_pod("sluice-0")
    users = "".join(f"- id: {'user' * 8} {number}\n" for number in range(12_000))
    assert kubectl("data", "apply", "laptop", stdin=users).out.endswith("12000 users let in\n")
    listed = kubectl("data", "list", "laptop")
    assert [one["order"] for one in yaml.safe_load(listed.out)["users"]] == [*range(1, 12_001)]
    assert kubectl("data", "delete", "laptop", "--all", "--yes").code == 0
    # More than a megabyte of code, which is refused only when all of it was read.
    code = tmp_path / "new.wasm"
    code.write_bytes(os.urandom(1_500_000))
    assert "it is not a Wasm module" in kubectl("filters", "reload", "--file", str(code)).err


def test_one_pod_after_another(rig: Rig, kubectl: Kubectl) -> None:
    rig.add_pod("sluice-0")
    rig.add_pod("sluice-1")
    rig.forget_pod("sluice-0")
    assert kubectl("sale", "suspend", "laptop").code == 0
    assert kubectl("sale", "resume", "laptop").code == 0
    rig.forget_pod("sluice-1")
    assert "sluice-1 in sluice-system: HTTP status 404" in kubectl("sale", "list").err


def test_a_pod_that_does_not_listen(rig: Rig, kubectl: Kubectl) -> None:
    rig.add_pod("sluice-0", port=None)
    refused = kubectl("sale", "suspend", "laptop")
    assert refused.code == 1
    assert "sluice-0" in refused.err
    assert "connection refused" in refused.err
    rig.add_pod("sluice-1")
    assert kubectl("sale", "suspend", "laptop").code == 0
    assert kubectl("sale", "resume", "laptop").code == 0


@pytest.mark.parametrize(
    "beginning", [b"", answer(b'{"sales": []}')[:-3]], ids=("at once", "in its answer")
)
def test_a_pod_that_dies_in_the_middle(rig: Rig, kubectl: Kubectl, beginning: bytes) -> None:
    with listener(beginning) as seen:
        rig.add_pod("sluice-0", port=int(seen[0]))
        assert f"pod {HOME}/sluice-0 cannot be asked" in kubectl("sale", "list").err
        rig.add_pod("sluice-1")
        assert "shop/laptop" in kubectl("sale", "list").out


def test_a_change_is_sent_once(rig: Rig, kubectl: Kubectl) -> None:
    """To a pod that is there, but dies when it is told to do something."""
    with listener(answer(b"{}"), b"") as seen:
        rig.add_pod("sluice-0", port=int(seen[0]))
        rig.add_pod("sluice-1")
        lost = kubectl("sale", "suspend", "laptop")
        assert lost.code == 1
        assert "see whether it was done before you do it again" in lost.err
        methods = [request.split()[0] for request in seen[1:]]
    assert methods == [b"GET", b"POST"]
    assert kubectl("sale", "show", "laptop", "-o", "json").json["state"] == "Open"


def test_a_connection_that_has_ended_meanwhile(rig: Rig, operator: Path) -> None:
    """Between two questions, or by the second; then it is asked on a new one."""
    one = answer(b'{"n": 1}')
    with listener(one + b"\n", one, b"", one) as seen:
        rig.add_pod("sluice-0", port=int(seen[0]))
        target = Target("", lambda: Cluster(operator, None, None))
        try:
            with Client(target) as client:
                assert [client.get("/status") for _ in range(3)] == [{"n": 1}] * 3
        finally:
            target.close()
        assert len(seen) == 5


def test_an_answer_comes_as_it_is_sent(rig: Rig, operator: Path) -> None:
    rig.add_pod("sluice-0")
    seen = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(
                    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n"
                )
                seen.wait(60)
                connection.sendall(b"2\r\ncd\r\n0\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        rig.pods[HOME, "sluice-0"] = server.getsockname()[1]
        rig.tell_kubelet()
        target = Target("", lambda: Cluster(operator, None, None))
        try:
            with (
                httpx.Client(transport=target.transport()) as client,
                client.stream("GET", target.url) as streamed,
            ):
                parts = streamed.iter_bytes()
                assert next(parts) == b"ab"
                seen.set()
                assert next(parts) == b"cd"
        finally:
            seen.set()
            target.close()
            thread.join(20)


def test_a_kubelet_that_is_away(rig: Rig, kubectl: Kubectl) -> None:
    rig.add_pod("sluice-0")
    asyncio.run(rig.move_kubelet(free_port()))
    try:
        away = kubectl("status")
        assert "cannot forward port 18080 of pod sluice-0" in away.err
        assert "dial tcp 127.0.0.1:" in away.err
    finally:
        asyncio.run(rig.move_kubelet(rig.kubelet_port))


def test_there_is_none(rig: Rig, kubectl: Kubectl) -> None:
    none = kubectl("status")
    assert none.code == 1
    assert f"there is no control plane of Sluice in namespace {HOME} of https://" in none.err
    rig.add_pod("sluice-0", ready=False)
    assert kubectl("status").err == (
        f"error: no pod of control plane {HOME}/sluice is ready: {HOME}/sluice-0 (not ready)\n"
    )


def test_two_releases(
    rig: Rig, kubectl: Kubectl, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rig.add_pod("sluice-0")
    rig.add_pod("green-0", release="green")
    assert f"several control planes: {HOME}/green, {HOME}/sluice: name" in kubectl("status").err
    assert kubectl("status", "--control-plane", f"{HOME}/green").code == 0
    none = kubectl("status", "--control-plane", f"{HOME}/blue")
    assert f"there is no control plane {HOME}/blue in namespace {HOME}" in none.err
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    assert "no kubeconfig at" in kubectl("status").err


def test_another_namespace(rig: Rig, kubectl: Kubectl, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.add_pod("sluice-0", namespace="shop")
    assert "there is no control plane of Sluice in namespace" in kubectl("status").err
    everywhere = rig.user("everywhere", SEES_PODS, FORWARDS, everywhere=True)
    assert kubectl("status", "--kubeconfig", str(everywhere)).code == 0
    monkeypatch.setenv("KUBECONFIG", str(everywhere))
    assert kubectl("status").code == 0
    assert kubectl("status", "--control-plane", "shop/sluice").code == 0


def test_rights(rig: Rig, kubectl: Kubectl) -> None:
    rig.add_pod("sluice-0")
    nobody = kubectl("status", "--kubeconfig", str(rig.user("nobody")))
    assert f'cannot list resource "pods" in API group "" in the namespace "{HOME}"' in nobody.err
    assert "name it by --control-plane NAMESPACE/NAME" in nobody.err
    reader = kubectl("status", "--kubeconfig", str(rig.user("reader", SEES_PODS)))
    assert 'cannot get resource "pods/portforward"' in reader.err
    assert f"grant get and create of pods/portforward in {HOME}" in reader.err
    assert "context missing" in kubectl("status", "--context", "missing").err


def test_credentials_by_a_plug_in(rig: Rig, kubectl: Kubectl, operator: Path) -> None:
    rig.add_pod("sluice-0")
    config = yaml.safe_load(operator.read_text())
    credential = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": config["users"][0]["user"]["token"]},
    }
    program = rig.folder / "credential"
    program.write_text(f"#!/bin/sh\ncat <<'EOF'\n{json.dumps(credential)}\nEOF\n")
    program.chmod(0o700)
    config["users"][0]["user"] = {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": str(program),
            "interactiveMode": "Never",
        }
    }
    kubeconfig = rig.folder / "exec.kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(config))
    assert kubectl("sale", "show", "laptop", "--kubeconfig", str(kubeconfig)).code == 0


def test_kubectl_finds_it(rig: Rig, operator: Path) -> None:
    """The real one calls it; and by its own name it goes to a cluster that is named."""
    rig.add_pod("sluice-0")
    programs = rig.folder / "bin"
    programs.mkdir()
    program = programs / "kubectl-sluice"
    program.write_text(f"#!{sys.executable}\nfrom controlplane.cli.main import main\nmain()\n")
    program.chmod(0o700)
    environment: dict[str, Any] = {
        **os.environ,
        "KUBECONFIG": str(operator),
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        # Not where kubectl keeps what it found out about other servers.
        "HOME": str(rig.folder),
    }
    show = ["sale", "show", "laptop"]
    for words in (
        ["kubectl", "sluice", *show, "-n", "shop"],
        [sys.executable, "-m", "controlplane", *show, "--context", "test"],
    ):
        done = subprocess.run(
            words, capture_output=True, text=True, check=False, timeout=60, env=environment
        )
        assert done.stderr == ""
        assert done.stdout.startswith("Sale       shop/laptop")
