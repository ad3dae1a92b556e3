from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from controlplane.local import LocalError, StartError
from controlplane.local.process import Process, require
from tests.testkit.waiting import eventually


async def _yes() -> bool:
    return True


async def _no() -> bool:
    return False


def _alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


async def test_it_keeps_the_output_and_the_exit_status(tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = Process("echo", ["/bin/sh", "-c", "echo hello; exit 3"], log=log)
    await eventually(lambda: not process.running)
    assert process.returncode == 3
    assert log.read_text() == "hello\n"


async def test_one_that_ends_early_tells_status_and_last_words(tmp_path: Path) -> None:
    command = ["/bin/sh", "-c", "echo no such door; exit 7"]
    process = Process("porter", command, log=tmp_path / "log")
    with pytest.raises(StartError, match=r"porter ended with status 7; .* ends: no such door$"):
        await process.until_ready(_no, deadline=10)


async def test_one_that_does_not_get_ready_is_gone_afterwards(tmp_path: Path) -> None:
    process = Process("sleeper", ["/bin/sleep", "60"], log=tmp_path / "log")
    with pytest.raises(StartError, match=r"sleeper was not ready after 0\.05 s"):
        await process.until_ready(_no, deadline=0.05)
    assert not process.running


async def test_one_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    script = "trap '' TERM; echo ready; while true; do sleep 0.05; done"
    log = tmp_path / "log"
    process = Process("stubborn", ["/bin/sh", "-c", script], log=log)
    await eventually(lambda: "ready" in log.read_text())
    await process.terminate(deadline=0.1)
    assert process.returncode == -signal.SIGKILL


async def test_a_paused_one_can_be_ended_in_order(tmp_path: Path) -> None:
    process = Process("sleeper", ["/bin/sleep", "60"], log=tmp_path / "log")
    await process.until_ready(_yes, deadline=1)
    process.signal(signal.SIGSTOP)
    await process.terminate(deadline=10)
    assert process.returncode == -signal.SIGTERM


async def test_environment_is_added_to(tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = ["/bin/sh", "-c", 'echo "$SECRET ${PATH:+path}"']
    process = Process("env", command, log=log, env={"SECRET": "x"})
    await eventually(lambda: not process.running)
    assert log.read_text() == "x path\n"


def test_require_names_what_does_not_run() -> None:
    with pytest.raises(LocalError, match="Redis is not running: start it first"):
        require(None, "Redis")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties a process to its parent")
async def test_it_ends_when_its_starter_is_killed(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    code = f"""
        import pathlib, time
        from controlplane.local.process import Process
        log = pathlib.Path({str(tmp_path / "log")!r})
        process = Process("sleeper", ["/bin/sleep", "60"], log=log)
        pathlib.Path({str(pid_file)!r}).write_text(str(process.pid) + "\\n")
        time.sleep(60)
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)]) as starter:
        try:
            await eventually(lambda: pid_file.exists() and pid_file.read_text().endswith("\n"))
            pid = int(pid_file.read_text())
            # Not before it has become the program, or there is nothing to prove.
            await eventually(lambda: "sleep" in str(Path(f"/proc/{pid}/exe").readlink()))
        finally:
            starter.kill()
    await eventually(lambda: not _alive(pid), what="the sleeper ends")
