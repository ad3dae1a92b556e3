"""The whole thing as its users run it: `sluice serve` on a folder, Envoys, Redis, a shop.

Nothing here reaches into the control plane: manifests are written to the folder, and what is asked
of it is asked by the command line.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from controlplane.local import EnvoyProcess, RedisServer, Shop
from controlplane.local.ports import free_port
from controlplane.local.process import Process
from tests.testkit.load import Ask, get
from tests.testkit.redis_commands import command_calls
from tests.testkit.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SLUICE = Path(sys.executable).parent / "sluice"
SALE = "shop/laptop"
COMMAND_DEADLINE = 60.0
START_DEADLINE = 90.0
PATIENT = {"timeout": "5s"}
"""Of decisions, unless a test is about them: on a busy machine 100 ms is not much."""
IN_A_ROW = 8


@dataclass(frozen=True, slots=True)
class Finished:
    """How a command ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        assert self.code == 0, self.err
        return json.loads(self.out)


@dataclass
class Stack:
    """One control plane, one Redis, one shop, and any number of gateways with an Envoy each."""

    folder: Path
    redis: RedisServer
    shop: Shop
    gateways: tuple[str, ...] = ("edge-a",)
    workers: int = 2
    redis_spec: dict[str, Any] = field(default_factory=dict)
    edge_spec: dict[str, Any] = field(default_factory=dict)
    serve_options: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.manifests = self.folder / "manifests"
        self.manifests.mkdir(parents=True)
        self.ports = {name: free_port() for name in self.gateways}
        self.xds_port, self.web_port = free_port(), free_port()
        self.envoys: dict[str, EnvoyProcess] = {}
        self._serve: Process | None = None

    # ------------------------------------------------------------------------------ manifests

    def write(self, file: str, *documents: dict[str, Any]) -> None:
        """Puts manifests into the folder, in place of what that file held."""
        temporary = self.manifests / f".{file}.tmp"
        temporary.write_text(yaml.safe_dump_all(documents, sort_keys=False))
        temporary.rename(self.manifests / file)

    def write_edge(self) -> None:
        """The gateway class, the gateways, and a route for all of them to the shop."""
        redis = {"address": self.redis.address, **PATIENT, **self.redis_spec}
        config = {"redis": redis, **self.edge_spec}
        self.write(
            "edge.yaml",
            thing("EdgeConfig", "edge", config, group="sluice.dev/v1alpha1"),
            gateway_class(),
            *(gateway(name, port) for name, port in self.ports.items()),
            *backend(self.shop.port),
            route("shop", self.gateways),
        )

    def write_sale(self, **spec: Any) -> None:
        """The sale `shop/laptop`; what is given replaces defaults that let everybody in."""
        self.write("sale.yaml", flash_sale("laptop", **spec))

    # ------------------------------------------------------------------------------ processes

    async def serve(self) -> None:
        """Starts the control plane and waits until it is ready."""
        self._serve = Process(
            "sluice serve",
            [
                SLUICE,
                "serve",
                self.manifests,
                *("--xds-port", str(self.xds_port)),
                *("--web-port", str(self.web_port)),
                *("--state-dir", str(self.folder / "state")),
                *self.serve_options,
            ],
            log=self.log,
            env=self.env,
        )
        await self._serve.until_ready(self._ready, START_DEADLINE)

    async def stop_serving(self, *, kill: bool = False) -> None:
        """Ends the control plane, in order or at once."""
        if self._serve is not None:
            if kill:
                self._serve.kill()
            else:
                await self._serve.terminate(30.0)
            self._serve = None

    @property
    def log(self) -> Path:
        """What the control plane says."""
        return self.folder / "serve.log"

    async def start_envoy(self, gateway: str, **options: Any) -> EnvoyProcess:
        """One Envoy for a gateway, from the bootstrap that the command line makes."""
        made = await self.sluice(
            "bootstrap",
            *("--gateway", f"shop/{gateway}"),
            *("--node-id", gateway),
            *("--xds-address", f"127.0.0.1:{self.xds_port}"),
            *("--workers", str(self.workers)),
        )
        assert made.code == 0, made.err
        envoy = EnvoyProcess(
            made.out,
            concurrency=self.workers,
            name=gateway,
            directory=self.folder,
            env=self.env,
            **options,
        )
        self.envoys[gateway] = envoy
        await envoy.start(START_DEADLINE)
        return envoy

    async def start(self) -> None:
        """Everything: the edge's manifests, the control plane, an Envoy for each gateway."""
        self.write_edge()
        await self.serve()
        for name in self.gateways:
            await self.start_envoy(name)

    async def close(self) -> None:
        """Ends all that was started here."""
        for envoy in self.envoys.values():
            await envoy.stop()
        await self.stop_serving()

    # --------------------------------------------------------------------------------- asking

    async def sluice(self, *arguments: str, stdin: str = "") -> Finished:
        """Runs one command against the control plane of this stack."""
        process = await asyncio.create_subprocess_exec(
            SLUICE,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={
                "PATH": "/usr/bin:/bin",
                "NO_COLOR": "1",
                **self.env,
                "SLUICE_SERVER": f"http://127.0.0.1:{self.web_port}",
            },
        )
        async with asyncio.timeout(COMMAND_DEADLINE):
            out, err = await process.communicate(stdin.encode())
        return Finished(process.returncode or 0, out.decode(), err.decode())

    async def sale(self) -> dict[str, Any]:
        """What `sluice sale show` knows of the sale."""
        shown: dict[str, Any] = (await self.sluice("sale", "show", SALE, "--output", "json")).json()
        return shown

    async def permits(self) -> list[str]:
        """The users that `sluice data list` shows."""
        listed = (await self.sluice("data", "list", SALE, "--output", "json")).json()
        return [entry["user"] for entry in listed["users"]]

    def ask(self, user: str, *, gateway: str = "", **more: Any) -> Ask:
        """A request of one user, to the first gateway unless another is named."""
        port = self.ports[gateway or self.gateways[0]]
        return Ask(port, "/sale", headers=(("authorization", user),), **more)

    def asks(self, users: Iterable[str]) -> Iterator[Ask]:
        """A request of each user, gateways taking turns."""
        for number, user in enumerate(users):
            yield self.ask(user, gateway=self.gateways[number % len(self.gateways)])

    async def answers(self, text: str, *, user: str = "probe", gateway: str = "") -> None:
        """Waits until requests are answered with this text (status or part of the body).

        Some in a row, each on a connection of its own: a new configuration does not reach all
        workers at once.
        """
        port = self.ports[gateway or self.gateways[0]]

        async def seen() -> bool:
            for _ in range(IN_A_ROW):
                answer = await get(port, "/sale", authorization=user)
                assert text in f"{answer.status} {answer.text}", f"{answer.status} {answer.text}"
            return True

        await eventually(seen, what=f"the answer {text!r}")

    async def open(self) -> None:
        """Waits until the sale is open and every gateway decides by its books.

        Many probes ask, each once, so that one of them passes whatever the draw; they are forgotten
        again.
        """
        await self.shows(state="Open")
        probes = itertools.count()
        for port in self.ports.values():

            async def decides(port: int = port) -> bool:
                user = f"probe-{next(probes)}"
                return (await get(port, "/sale", authorization=user)).status == 200

            await eventually(decides, what="a probe to be let in")
        await self.forget_all()

    async def forget_all(self) -> None:
        """Empties the books, and waits until every worker of every gateway knows."""
        forgotten = await self.sluice("data", "delete", SALE, "--all", "--yes")
        assert forgotten.code == 0, forgotten.err
        await self.polled()
        assert not await self.permits()
        self.shop.orders.clear()

    async def shows(self, **fields: Any) -> None:
        """Waits until `sluice sale show` says this; what it shows is a look at the books old."""

        async def shown() -> bool:
            sale = await self.sale()
            seen = {name: sale[name] for name in fields}
            assert seen == fields, seen
            return True

        await eventually(shown, every=0.1, what=f"the sale to show {fields}")

    async def polled(self, rounds: int = 4) -> None:
        """Waits until every worker has looked at the books, if nobody asks meanwhile.

        Counted in looks, not in seconds: a busy machine's are late.
        """
        pollers = self.workers * len(self.gateways) + 1  # the control plane looks too
        before = await self._looks()

        async def looked() -> bool:
            return await self._looks() - before >= rounds * pollers

        await eventually(looked, every=0.1, what="all workers to look at the books")

    async def _looks(self) -> int:
        calls = await command_calls(self.redis)
        return calls["evalsha"] + calls["eval"]

    async def _ready(self) -> bool:
        try:
            return (await get(self.web_port, "/readyz", deadline=1.0)).status == 200
        except OSError:
            return False


# ------------------------------------------------------------------------------- manifest parts


def thing(kind: str, name: str, spec: dict[str, Any], *, group: str) -> dict[str, Any]:
    """One manifest in the namespace `shop`."""
    return {
        "apiVersion": group,
        "kind": kind,
        "metadata": {"name": name, "namespace": "shop"},
        "spec": spec,
    }


def gateway_class() -> dict[str, Any]:
    """Our class, with the EdgeConfig `shop/edge`."""
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "GatewayClass",
        "metadata": {"name": "sluice"},
        "spec": {
            "controllerName": "sluice.dev/controller",
            "parametersRef": {
                "group": "sluice.dev",
                "kind": "EdgeConfig",
                "name": "edge",
                "namespace": "shop",
            },
        },
    }


def gateway(name: str, port: int) -> dict[str, Any]:
    """A gateway with one HTTP listener."""
    listeners = [{"name": "http", "port": port, "protocol": "HTTP"}]
    return thing(
        "Gateway",
        name,
        {"gatewayClassName": "sluice", "listeners": listeners},
        group="gateway.networking.k8s.io/v1",
    )


def route(name: str, gateways: Iterable[str], **more: Any) -> dict[str, Any]:
    """A route of everything under /sale to the shop."""
    rule = {
        "name": "sale",
        "matches": [{"path": {"type": "PathPrefix", "value": "/sale"}}],
        "backendRefs": [{"name": "shop", "port": 80}],
    }
    parents = [{"name": gateway} for gateway in gateways]
    spec = {"parentRefs": parents, "rules": [rule], **more}
    return thing("HTTPRoute", name, spec, group="gateway.networking.k8s.io/v1")


def backend(port: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """A service and its endpoint: the shop on loopback."""
    return service("shop", port)


def service(name: str, port: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """A service and its endpoint on loopback."""
    slice_ = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{name}-1",
            "namespace": "shop",
            "labels": {"kubernetes.io/service-name": name},
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["127.0.0.1"], "conditions": {"ready": True}}],
        "ports": [{"name": "http", "port": port}],
    }
    return thing("Service", name, {"ports": [{"name": "http", "port": 80}]}, group="v1"), slice_


def flash_sale(name: str, *, route: str = "shop", **spec: Any) -> dict[str, Any]:
    """A sale on a route, open since an hour ago, with room for everybody unless told otherwise."""
    defaults = {
        "targetRefs": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": route}],
        "schedule": {"startTime": in_(-timedelta(hours=1))},
        "stock": 1000,
        "identity": {"header": "Authorization"},
    }
    return thing("FlashSale", name, {**defaults, **spec}, group="sluice.dev/v1alpha1")


def in_(delta: timedelta) -> str:
    """The time `delta` from now, as a manifest wants it."""
    moment = datetime.now(UTC) + delta
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
