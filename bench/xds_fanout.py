"""One control plane process, a thousand proxies: how long until a push has reached them all?

    python bench/xds_fanout.py [--proxies 1000] [--rounds 20]

Each proxy is a delta ADS stream on a connection of its own, in other processes on the same
machine, that answers as Envoy does. Measured in the server: from `Store.set` to each proxy's
confirmation. A round ends when all have confirmed; p50 and p99 are over all proxies and rounds,
`last` is the median of the rounds' slowest, `cpu` what a round costs the server.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import structlog

sys.path.insert(0, str(Path(__file__).parent.parent))

from controlplane.xds import Resource, Snapshot, Store, discovery_pb2, kinds
from controlplane.xds.server import Server
from controlplane.xds.session import Limits

if TYPE_CHECKING:
    from collections.abc import Iterable

    from controlplane.xds.events import Accepted
    from controlplane.xds.requests import Node

GATEWAY = "bench/edge"
METHOD = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
SERVICES = 100
NAMED = {
    kinds.CLUSTER: [],
    kinds.ENDPOINTS: [f"svc/shop/s{number}/80" for number in range(SERVICES)],
    kinds.EXTENSION: ["sluice.flash-sale", "sluice.quota", "sluice.redis-bridge"],
    kinds.LISTENER: [],
    kinds.ROUTES: ["routes-80", "routes-443"],
}
SIZES = {kinds.EXTENSION: 3_000, kinds.LISTENER: 4_000, kinds.ROUTES: 20_000, kinds.ENDPOINTS: 200}
DEADLINE = 60.0
CLIENT_PROCESSES = 4


class Watched(Store):
    """A store that notes when which proxy confirmed what was pushed."""

    def __init__(self) -> None:
        super().__init__(clock=time.perf_counter)
        self.url = ""
        self.confirmed: dict[str, float] = {}
        self.all_confirmed = asyncio.Event()
        self.expected = 0

    def accept(self, node: Node, event: Accepted) -> None:
        """As the store does, and looks at the clock."""
        super().accept(node, event)
        if event.kind.url == self.url and event.resources:
            self.confirmed[node.id] = time.perf_counter()
            if len(self.confirmed) == self.expected:
                self.all_confirmed.set()

    def expect(self, url: str, proxies: int) -> None:
        """Begins a round."""
        self.url, self.expected = url, proxies
        self.confirmed.clear()
        self.all_confirmed.clear()


@dataclass(frozen=True)
class Case:
    """What is pushed: which type, and how many of its resources change."""

    name: str
    url: str
    changed: int


CASES = (
    Case("a sale's edit (1 ECDS, 3 kB)", kinds.EXTENSION, 1),
    Case("a route table (1 RDS, 20 kB)", kinds.ROUTES, 1),
    Case("all endpoints (100 EDS, 20 kB)", kinds.ENDPOINTS, SERVICES),
)


def content(edits: dict[str, int]) -> Snapshot:
    """A gateway of 100 services; `edits` changes as many resources of a type as it says."""
    return Snapshot.of(_resources(edits))


def _resources(edits: dict[str, int]) -> Iterable[Resource]:
    for name in NAMED[kinds.ENDPOINTS]:
        cluster = discovery_pb2.Cluster(name=name, type=3)
        yield Resource.of(kinds.CLUSTER, name, cluster.SerializeToString() + b"\xa2\x06\x00" * 90)
    names = {**NAMED, kinds.LISTENER: ["edge-80", "edge-443"]}
    for url, size in SIZES.items():
        for number, name in enumerate(names[url]):
            case = next((one for one in CASES if one.url == url), None)
            edited = edits.get(url, 0) if case and number < case.changed else 0
            yield Resource.of(url, name, f"{name} {edited}".encode().ljust(size, b"."))


async def serve(proxies: int, rounds: int) -> None:
    """Runs the server and the measurement; the clients are child processes."""
    store = Watched()
    edits: dict[str, int] = {}
    store.set(GATEWAY, content(edits))
    store.open()
    server = Server(store, limits=Limits(streams=proxies + 10))
    port = await server.start()
    empty = rss()
    store.expect(kinds.ROUTES, proxies)
    begun = time.perf_counter()
    share = [proxies // CLIENT_PROCESSES] * CLIENT_PROCESSES
    share[0] += proxies % CLIENT_PROCESSES
    children = [
        await asyncio.create_subprocess_exec(
            sys.executable, __file__, "--client", str(port), str(count), str(number)
        )
        for number, count in enumerate(share)
    ]
    async with asyncio.timeout(DEADLINE * 2):
        await store.all_confirmed.wait()
    print(f"{proxies} proxies connected and configured in {time.perf_counter() - begun:.1f} s")
    await asyncio.sleep(2)
    print(f"{'push':34} {'p50 ms':>8} {'p99 ms':>8} {'last ms':>8} {'cpu ms':>8}")
    for case in CASES:
        await measure(case, store, edits, proxies, rounds)
    print(f"RSS: {empty:.0f} MB before, {rss():.0f} MB now, {peak():.0f} MB at most")
    for child in children:
        child.terminate()
        await child.wait()
    await server.stop(1.0)


async def measure(
    case: Case, store: Watched, edits: dict[str, int], proxies: int, rounds: int
) -> None:
    """Pushes one kind of change, round after round."""
    times: list[float] = []
    last: list[float] = []
    busy = 0.0
    for _ in range(rounds):
        edits[case.url] = edits.get(case.url, 0) + 1
        snapshot = content(edits)
        store.expect(case.url, proxies)
        begun, busy_before = time.perf_counter(), time.process_time()
        store.set(GATEWAY, snapshot)
        async with asyncio.timeout(DEADLINE):
            await store.all_confirmed.wait()
        busy += time.process_time() - busy_before
        took = [moment - begun for moment in store.confirmed.values()]
        times += took
        last.append(max(took))
        await asyncio.sleep(0.1)
    quantiles = statistics.quantiles(times, n=100)
    print(
        f"{case.name:34} {quantiles[49] * 1e3:8.0f} {quantiles[98] * 1e3:8.0f} "
        f"{statistics.median(last) * 1e3:8.0f} {busy / rounds * 1e3:8.0f}"
    )


async def proxy(port: int, node_id: str) -> None:
    """One proxy: subscribes to everything, confirms everything."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
        call: Any = channel.stream_stream(METHOD)()
        node = discovery_pb2.Node(id=node_id, cluster=GATEWAY)
        for url, names in NAMED.items():
            request = discovery_pb2.DeltaDiscoveryRequest(
                type_url=url, resource_names_subscribe=names, node=node
            )
            await call.write(request.SerializeToString())
        while (data := await call.read()) is not grpc.aio.EOF:
            response = discovery_pb2.DeltaDiscoveryResponse.FromString(data)
            answer = discovery_pb2.DeltaDiscoveryRequest(
                type_url=response.type_url, response_nonce=response.nonce
            )
            await call.write(answer.SerializeToString())


async def clients(port: int, count: int, number: int) -> None:
    """Many proxies in one process."""
    async with asyncio.TaskGroup() as group:
        for index in range(count):
            group.create_task(proxy(port, f"edge-{number}-{index}"))


def rss() -> float:
    """Of this process, in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def peak() -> float:
    """The largest so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--proxies", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--client", nargs=3, type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    if arguments.client:
        asyncio.run(clients(*arguments.client))
    else:
        asyncio.run(serve(arguments.proxies, arguments.rounds))


if __name__ == "__main__":
    main()
