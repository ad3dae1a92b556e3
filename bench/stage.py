"""The parts that are measured: Redis, the control plane, and one Envoy, all of them real.

Envoy gets everything from the control plane, with one addition: a listener of its own for the
filter that does nothing, which is a copy of what the control plane renders with that filter put in
the place of ours.
"""

from __future__ import annotations

import asyncio
import copy
import itertools
import subprocess
import sys
import time
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

import yaml
from redis.asyncio import Redis

from bench import loader, machine
from bench.cases import CASES, FROM_FILE, PLAIN, header
from bench.loader import Load
from bench.passes import Passes, write_lines
from controlplane.ledger.counters import parse
from controlplane.local import EnvoyProcess, RedisServer, StartError, find_envoy, free_port
from controlplane.local.process import Process
from controlplane.local.startable import Startable

if TYPE_CHECKING:
    from bench.cases import Case
    from bench.machine import Cores

ROOT = Path(__file__).parent.parent
NOOP = ROOT / "filters" / "target" / "wasm32-wasip1" / "release" / "noop_filter.wasm"
GATEWAY = "bench/edge"
MANIFESTS = Path(__file__).parent / "manifests.yaml"
_FLASH_SALE = "sluice.flash-sale"
_QUOTA = "sluice.quota"
_KNOWN_USERS = 1_000
_CONSUMERS = 100
_STEP = 0.1
_PROBES = 10
_IN_FORCE = 30.0
_WRITTEN = 1.5  # seconds after which the filters' own counters are surely written
_COUNTED = 10.0
_COMMAND = 60.0


class StageError(Exception):
    """A part did not start, or did not do what it should."""


class Stage(Startable):
    """Redis, control plane and Envoy, from start to end.

    Args:
        folder: where all their files go.
        cores: which processors are whose.
    """

    def __init__(self, folder: Path, cores: Cores) -> None:
        self.folder = folder
        self.cores = cores
        self.port = free_port()
        self.noop_port = free_port()
        self.envoy_binary = find_envoy()
        self._manifests = folder / "manifests"
        self._values: dict[str, dict[str, Path]] = {}
        self._counted: dict[str, int] = {}
        self._policies: frozenset[str] = frozenset()
        self._server = RedisServer(directory=made(folder / "redis"))
        self._exit = AsyncExitStack()
        self._envoy: EnvoyProcess | None = None
        self._redis: Redis | None = None

    # ------------------------------------------------------------------------------- starting

    async def start(self) -> None:
        """Starts all of it; an error says what to make first."""
        _need(loader.PROGRAM, "make bench")
        _need(NOOP, "make filters")
        await self._server.start()
        self._exit.push_async_callback(self._server.close)
        self._redis = Redis.from_url(self._server.url, decode_responses=True)
        self._exit.push_async_callback(self._redis.aclose)
        made(self._manifests)
        self.edit(0)
        await self._start_control_plane()
        await self.restart_envoy(1)

    async def close(self) -> None:
        """Ends all of it."""
        await self._exit.aclose()

    async def _start_control_plane(self) -> None:
        self._xds, self._web = free_port(), free_port()
        command = [sys.executable, "-m", "controlplane", "serve", str(self._manifests)]
        command += ["--state-dir", str(self.folder / "state")]
        command += ["--xds-port", str(self._xds), "--web-port", str(self._web)]
        control = Process("sluice", command, log=self.folder / "sluice.log")
        self._exit.push_async_callback(control.terminate, 10.0)

        async def ready() -> bool:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self._xds)
            except OSError:
                return False
            writer.close()
            return True

        await control.until_ready(ready, _IN_FORCE)
        self._control = control

    async def restart_envoy(self, workers: int) -> None:
        """Starts Envoy, in the place of one that runs, and waits until every case works."""
        if self._envoy is not None:
            await self._envoy.stop()
        envoy = EnvoyProcess(
            self._bootstrap(),
            concurrency=workers,
            directory=made(self.folder / f"envoy-{workers}"),
            binary=self.envoy_binary,
        )
        self._exit.push_async_callback(envoy.stop)
        try:
            await envoy.start()
        except StartError as error:
            if self._control.running:
                raise
            message = f"the control plane has ended; its log is {self._control.log}"
            raise StageError(message) from error
        self._envoy = envoy
        self._counted.clear()
        if workers == 1:
            machine.pin(envoy.pid, self.cores.envoy)
        for case in CASES[:2]:
            await self._until(case, _PROBES)

    def _bootstrap(self) -> dict[str, Any]:
        gateway = ["--gateway", GATEWAY]
        state = ["--state-dir", str(self.folder / "state")]
        address = f"127.0.0.1:{self._xds}"
        bootstrap: dict[str, Any] = sluice("bootstrap", *gateway, "--xds-address", address)
        rendered = sluice("render", str(self._manifests), *gateway, *state)
        listener = noop_listener(rendered, self.port, self.noop_port)
        bootstrap["static_resources"].setdefault("listeners", []).append(listener)
        return bootstrap

    async def _until(self, case: Case, requests: int) -> None:
        """Waits until a case is answered as it should be."""
        end = time.monotonic() + _IN_FORCE
        for first in itertools.count(
            step=requests
        ):  # with new users: one gets what there is to get
            load = self.load(case, requests=requests, connections=1, first=first)
            figures = await loader.send(load)
            wrong = figures.unexpected(case.status)
            if not wrong:
                return
            if time.monotonic() > end:
                logs = f"see {self.envoy_log} and {self.folder / 'sluice.log'}"
                message = f"{case.name} never got right: {wrong}; {logs}"
                raise StageError(message)
            await asyncio.sleep(_STEP)

    async def _until_counted(self, case: Case) -> None:
        """Waits until the filter counts each request: what it allows looks like no filter."""
        end = time.monotonic() + _IN_FORCE
        while True:
            before = sum((await self.envoy.stats(case.counter)).values())
            await loader.send(self.load(case, requests=_PROBES, connections=1))
            await asyncio.sleep(_WRITTEN)
            counted = sum((await self.envoy.stats(case.counter)).values())
            if counted - before == _PROBES:
                self._counted[case.name] = counted
                return
            if time.monotonic() > end:
                message = f"{case.name} never came into force; see {self.envoy_log}"
                raise StageError(message)

    async def _prepare(self, case: Case) -> None:
        """Makes the users who are to be known, or passes for users who are not."""
        if case.quota:
            users = [f"consumer-{i}" for i in range(_CONSUMERS)]
            self._values[case.name] = {"user": write_lines(self.folder / case.name, users)}
        elif case.name == "known":
            users = [f"known-{i}" for i in range(_KNOWN_USERS)]
            self._values["known"] = {"user": write_lines(self.folder / "known", users)}
        else:
            await self._books_of(case)
            self._passes = await Passes.open(self.redis, self.folder)
            self._values["pass"] = await self._passes.write(_KNOWN_USERS)

    async def _books_of(self, case: Case) -> None:
        """Waits until the control plane has opened the books of a sale."""
        end = time.monotonic() + _IN_FORCE
        while not await self.redis.exists(f"sluice:{{bench/{case.name}/1}}:meta"):
            if time.monotonic() > end:
                message = f"the books of {case.name} were never opened"
                raise StageError(message)
            await asyncio.sleep(_STEP)

    # --------------------------------------------------------------------------------- asking

    @property
    def envoy(self) -> EnvoyProcess:
        """The Envoy that runs."""
        if self._envoy is None:
            message = "Envoy is not running"
            raise StageError(message)
        return self._envoy

    @property
    def redis(self) -> Redis:
        """A client of the Redis that runs."""
        if self._redis is None:
            message = "Redis is not running"
            raise StageError(message)
        return self._redis

    @property
    def redis_binary(self) -> Path:
        """The redis-server that runs."""
        if self._server.binary is None:
            message = "Redis is not running"
            raise StageError(message)
        return self._server.binary

    @property
    def envoy_log(self) -> Path:
        """What Envoy and the filters say."""
        return self.envoy.log

    def load(
        self,
        case: Case,
        *,
        seconds: float = 0.0,
        requests: int = 0,
        connections: int = 64,
        first: int = 0,
        rate: float = 0.0,
    ) -> Load:
        """The load of a case."""
        port = self.noop_port if case.own_listener else self.port
        return Load(
            url=f"http://127.0.0.1:{port}{case.path}",
            seconds=seconds,
            requests=requests,
            connections=connections,
            rate=rate,
            headers=header(case),
            values=self._values.get(case.name),
            first=first,
        )

    async def supply(self, case: Case, requests: int) -> None:
        """Gets ready what a case needs for that many requests: its policy above all."""
        if case.policies and case.policies != self._policies:
            self._policies = case.policies
            self.edit(0)
        if case.name in FROM_FILE and case.name not in self._values:
            await self._prepare(case)
        everybody = _KNOWN_USERS if case.name == "known" else _CONSUMERS
        await self._until(case, everybody if case.name in FROM_FILE else _PROBES)
        if case.quota:
            await self._until_counted(case)
        await asyncio.sleep(case.settle)
        if case.name == "pass":
            self._values["pass"] = await self._passes.write(requests)

    def envoy_cpu(self) -> float:
        """Seconds of processor time that Envoy has used."""
        return machine.cpu_seconds(self.envoy.pid)

    async def looks(self, case: Case) -> int:
        """How often Redis has looked a user up in any books; of a quota, what it has counted."""
        if case.quota:
            pattern = f"sluice:{{quota}}:bench/{case.name}/first:*"
            async with Redis.from_url(self._server.url) as redis:  # whose values stay bytes
                keys = [key async for key in redis.scan_iter(pattern, count=1000)]
                counters = await redis.mget(keys) if keys else []
            return sum(parse(value).b for value in counters if not isinstance(value, str))
        stats = await self.redis.info("commandstats")
        return int(stats.get("cmdstat_hget", {}).get("calls", 0))

    async def account(self, case: Case, answers: int) -> None:
        """Waits until the filter's own counter has gone up by what was answered.

        Raises:
            StageError: it has not: the answers did not come from where they should have.
        """
        if not case.outcome:
            return
        end = time.monotonic() + _COUNTED
        before = self._counted.get(case.name, 0)
        while True:
            now = sum((await self.envoy.stats(case.counter)).values())
            if now - before >= answers:
                self._counted[case.name] = now
                return
            if time.monotonic() > end:
                message = f"{case.name}: of {answers} requests the filter counted {now - before}"
                raise StageError(message)
            await asyncio.sleep(_STEP)

    async def by_worker(self) -> list[int]:
        """Open client connections of each worker."""
        return await clients_by_worker(self.envoy, self.port)

    # -------------------------------------------------------------------------------- editing

    def edit(self, revision: int) -> None:
        """Writes the manifests anew, in place at once, as editors do: those of the case at hand."""
        wanted = manifests(
            redis=self._server.address,
            port=self.port,
            revision=revision,
            policies=self._policies,
        )
        draft = self.folder / "draft"
        draft.write_text(yaml.safe_dump_all(wanted))
        draft.replace(self._manifests / "bench.yaml")


def manifests(
    *, redis: str, port: int, revision: int, policies: frozenset[str]
) -> list[dict[str, Any]]:
    """What a control plane is to read: of the policies only those that are named."""
    now = datetime.now(UTC)
    text = Template(MANIFESTS.read_text()).substitute(
        redis=redis,
        port=port,
        past=_instant(now - timedelta(hours=1)),
        future=_instant(now.replace(month=1, day=1) + timedelta(days=800)),
        revision=revision,
    )
    return [each for each in yaml.safe_load_all(text) if _is_wanted(each, policies)]


async def clients_by_worker(envoy: EnvoyProcess, port: int) -> list[int]:
    """Open client connections of each worker."""
    found = await envoy.stats(rf"^listener\..*_{port}\.worker_\d+\.downstream_cx_active$")
    return [found[name] for name in sorted(found)]


def noop_listener(rendered: dict[str, Any], port: int, new_port: int) -> dict[str, Any]:
    """The edge listener with the filter that does nothing, and with its routes inside."""
    listener = copy.deepcopy(_named(rendered["listeners"], f"edge-{port}"))
    listener["name"] = "noop"
    listener["address"]["socket_address"]["port_value"] = new_port
    manager = listener["filter_chains"][0]["filters"][-1]["typed_config"]
    manager["stat_prefix"] = "noop"
    del manager["rds"]
    routes = copy.deepcopy(_named(rendered["routes"], f"routes-{port}"))
    for host in routes["virtual_hosts"]:
        host["routes"] = [r for r in host["routes"] if r["match"].get("path") == f"/{PLAIN}"]
        for route in host["routes"]:
            route.pop("typed_per_filter_config", None)
    manager["route_config"] = routes
    manager["http_filters"] = [
        _noop_filter() if each["name"] == _FLASH_SALE else each
        for each in manager["http_filters"]
        if each["name"] != _QUOTA
    ]
    return listener


def _noop_filter() -> dict[str, Any]:
    code = {"local": {"filename": str(NOOP)}}
    vm = {"vm_id": "noop", "runtime": "envoy.wasm.runtime.v8", "code": code}
    return {
        "name": "noop",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
            "config": {"name": "noop", "root_id": "noop", "vm_config": vm},
        },
    }


def sluice(*arguments: str) -> Any:
    """What a command prints."""
    done = subprocess.run(
        [sys.executable, "-m", "controlplane", *arguments],
        capture_output=True,
        text=True,
        timeout=_COMMAND,
        check=False,
    )
    if done.returncode:
        message = f"sluice {arguments[0]} failed: {done.stderr.strip()}"
        raise StageError(message)
    return yaml.safe_load(done.stdout)


def _named(resources: list[dict[str, Any]], name: str) -> dict[str, Any]:
    for resource in resources:
        if resource["name"] == name:
            return resource
    message = f"the control plane renders no {name}"
    raise StageError(message)


def _is_wanted(manifest: dict[str, Any], policies: frozenset[str]) -> bool:
    is_policy = manifest["kind"] in {"FlashSale", "QuotaPolicy"}
    return not is_policy or manifest["metadata"]["name"] in policies


def _need(program: Path, command: str) -> None:
    if not program.exists():
        message = f"{program} is missing: run {command}"
        raise StageError(message)


def made(folder: Path) -> Path:
    """The folder, which is there then."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _instant(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")
