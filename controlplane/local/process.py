"""One program run by us: started, watched, paused, ended, always by its own process id.

Plain `subprocess` and short sleeps instead of asyncio's subprocesses: those belong to the event
loop that made them, while a test session keeps one Redis through many loops.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from controlplane.local.errors import LocalError, StartError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

_TETHER = Path(__file__).with_name("tether.py")
_STEP = 0.02
_KILL_DEADLINE = 10.0
_TAIL_LINES = 5


class Process:
    """A running program with its output in a file.

    It ends when the thread that made this object ends (on Linux), so make it in a thread that
    lives as long as the program shall: the event loop's is right, a worker thread is not.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.log = log
        argv = [sys.executable, "-I", "-S", str(_TETHER), str(os.getpid()), *map(str, command)]
        with log.open("ab") as output:
            # A group of its own: Ctrl-C in a terminal is for us, and we end things in order.
            self._popen = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=None if env is None else {**os.environ, **env},
                process_group=0,
            )

    @property
    def pid(self) -> int:
        """The process id."""
        return self._popen.pid

    @property
    def running(self) -> bool:
        """Whether the program has not ended yet (a paused one has not)."""
        return self._popen.poll() is None

    @property
    def returncode(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        return self._popen.poll()

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal; one to a program that has ended is nothing."""
        self._popen.send_signal(number)

    def kill(self) -> None:
        """Ends the program at once (SIGKILL) and waits until it is gone."""
        self._popen.kill()
        self._popen.wait(_KILL_DEADLINE)

    async def terminate(self, deadline: float) -> None:
        """Asks the program to end (SIGTERM), and kills it after `deadline` seconds."""
        self.signal(signal.SIGTERM)
        self.signal(signal.SIGCONT)  # a paused one could not hear it
        try:
            await asyncio.to_thread(self._popen.wait, deadline)
        except subprocess.TimeoutExpired:
            pass
        finally:
            if self.running:
                self.kill()

    async def until_ready(self, ready: Callable[[], Awaitable[bool]], deadline: float) -> None:
        """Waits until `ready()` is true.

        Raises:
            StartError: the program ended, or `deadline` seconds passed. It is gone then.
        """
        end = time.monotonic() + deadline
        while not await ready():
            if not self.running:
                raise StartError(self._obituary(f"ended with status {self.returncode}"))
            if time.monotonic() >= end:
                self.kill()
                raise StartError(self._obituary(f"was not ready after {deadline:g} s"))
            await asyncio.sleep(_STEP)

    def _obituary(self, what: str) -> str:
        lines = self.log.read_text(errors="replace").splitlines()
        last = " | ".join(line.strip() for line in lines[-_TAIL_LINES:] if line.strip())
        return f"{self.name} {what}; its log ({self.log}) ends: {last or 'empty'}"


def require(process: Process | None, name: str) -> Process:
    """The process, or a LocalError that says that `name` is not running."""
    if process is None or not process.running:
        message = f"{name} is not running: start it first"
        raise LocalError(message)
    return process
