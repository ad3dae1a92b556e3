"""The processes of the demo, started in order and ended in reverse."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from controlplane.local.demo.place import GATEWAY, Place
from controlplane.local.envoy_process import EnvoyProcess, find_envoy
from controlplane.local.errors import LocalError
from controlplane.local.ports import LOOPBACK, free_port
from controlplane.local.process import Process
from controlplane.local.redis_server import RedisServer
from controlplane.local.shop import Shop
from controlplane.local.startable import Startable

if TYPE_CHECKING:
    from collections.abc import Callable

    from controlplane.local.demo.place import Scene

WORKERS = 2
_START_DEADLINE = 60.0
_STOP_DEADLINE = 10.0
_COMMAND_DEADLINE = 60.0


class Ground(Startable):
    """Redis, the shop, the control plane on a folder, and an Envoy; `async with` runs them.

    Args:
        folder: where everything goes: manifests, state, logs.
        scene: what it is about.
        say: told what is being started.
    """

    def __init__(self, folder: Path, scene: Scene, say: Callable[[str], None]) -> None:
        self.folder = folder
        self.scene = scene
        self.manifests = folder / "manifests"
        self.environment = folder / "env"
        self.port = free_port()
        self.web_port, self.xds_port = free_port(), free_port()
        # A replica that comes is sent everything at once, not after five seconds.
        self.redis = RedisServer(
            directory=folder / "redis",
            appendonly=True,
            settings={"repl-diskless-sync-delay": "0"},
        )
        self.shop = Shop()
        self._say = say
        self._stack = AsyncExitStack()

    @property
    def edge(self) -> str:
        """Where the gateway is."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def url(self) -> str:
        """Where the sale is."""
        return self.edge + self.scene.path

    @property
    def place(self) -> Place:
        """What manifests have to be told, once Redis and the shop run."""
        return Place(self.redis.address, self.port, self.shop.port, WORKERS)

    @property
    def server(self) -> str:
        """Where the command line finds the control plane."""
        return f"http://{LOOPBACK}:{self.web_port}"

    async def start(self) -> None:
        """Start all of it, telling what."""
        await asyncio.to_thread(find_envoy)  # missing? then better before anything is started
        self.manifests.mkdir(parents=True, exist_ok=True)
        self._say("starting Redis and the shop")
        await self._stack.enter_async_context(self.redis)
        if self.scene.replica:
            await self._stack.enter_async_context(self._replica())
        await self._stack.enter_async_context(self.shop)
        for file, text in self.scene.manifests(self.place).items():
            self.write(file, text)
        self._say("starting the control plane")
        await self._serve()
        self._say("starting Envoy")
        bootstrap = await self.sluice(
            *("bootstrap", "--gateway", GATEWAY),
            *("--xds-address", f"{LOOPBACK}:{self.xds_port}"),
            *("--manifests", str(self.manifests)),
        )
        envoy = EnvoyProcess(bootstrap, concurrency=WORKERS, directory=self.folder)
        await self._stack.enter_async_context(envoy)
        self._write_environment()

    async def close(self) -> None:
        """End all of it."""
        await self._stack.aclose()

    def write(self, file: str, text: str) -> None:
        """Write a manifest, or change it: at once, so that half a file is never read."""
        temporary = self.manifests / f".{file}.new"
        temporary.write_text(text)
        temporary.replace(self.manifests / file)

    async def sluice(self, *arguments: str, stdin: str = "") -> str:
        """Run a command as a user would; what it printed.

        Raises:
            LocalError: it failed; with what it said.
        """
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "controlplane", *arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "SLUICE_SERVER": self.server, "NO_COLOR": "1"},
        )
        try:
            async with asyncio.timeout(_COMMAND_DEADLINE):
                out, err = await process.communicate(stdin.encode())
        except TimeoutError as error:
            process.kill()
            await process.wait()
            name = " ".join(arguments)
            raise LocalError(f"sluice {name} took more than {_COMMAND_DEADLINE:g} s") from error
        if process.returncode:
            raise LocalError(err.decode().strip() or f"sluice {arguments[0]} failed")
        return out.decode()

    async def sluice_json(self, *arguments: str) -> Any:
        """Run a command with `--output json`, and read it."""
        return json.loads(await self.sluice(*arguments, "--output", "json"))

    def _replica(self) -> RedisServer:
        following = {"replicaof": f"{LOOPBACK} {self.redis.port}"}
        return RedisServer(directory=self.folder / "replica", settings=following)

    def _write_environment(self) -> None:
        """For `source` in another terminal: where the gateway, sale and control plane are."""
        programs = Path(sys.executable).parent
        sale = f"export SALE={self.url}\n" if self.scene.path else ""
        self.environment.write_text(
            f"export SLUICE_SERVER={self.server}\n"
            f"export EDGE={self.edge}\n{sale}"
            f"export MANIFESTS={shlex.quote(str(self.manifests))}\n"
            f"export PATH={shlex.quote(str(programs))}:$PATH\n"
        )

    async def _serve(self) -> None:
        process = Process(
            "sluice serve",
            [
                sys.executable,
                *("-m", "controlplane", "serve", self.manifests),
                *("--xds-port", str(self.xds_port)),
                *("--web-port", str(self.web_port)),
                *("--state-dir", self.folder / "state"),
            ],
            log=self.folder / "serve.log",
        )
        self._stack.push_async_callback(process.terminate, _STOP_DEADLINE)
        await process.until_ready(self._is_ready, _START_DEADLINE)

    async def _is_ready(self) -> bool:
        async with httpx.AsyncClient(timeout=1.0) as client:
            try:
                return (await client.get(f"{self.server}/readyz")).is_success
            except httpx.HTTPError:
                return False
