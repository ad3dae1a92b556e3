"""An HTTP/1.1 load from within the test's own event loop, with every answer recorded.

Raw and small, since it shares two cores with the servers that it loads: 20,000 requests take a few
seconds. Each lane has one request under way at a time, on keep-alive connections of its own.
A request that fails is not sent again: the tests are to see each failure.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from tests.testkit.http_connection import Connection

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_CONNECTING_AT_ONCE = 100
_CONNECT_DEADLINE = 30.0
_AFTER_REFUSAL = 0.01  # a server that is away is not hammered

REFUSED = "refused"
CLOSED = "closed"
TIMEOUT = "timeout"


@dataclass(frozen=True, slots=True)
class Ask:
    """One request to be sent. `source` is the loopback address to send from, e.g. 127.0.0.7."""

    port: int
    path: str = "/"
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    host: str = "localhost"
    source: str = ""

    def encode(self) -> bytes:
        """The bytes on the wire."""
        lines = [f"{self.method} {self.path} HTTP/1.1", f"host: {self.host}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        if self.body:
            lines.append(f"content-length: {len(self.body)}")
        return "\r\n".join((*lines, "", "")).encode() + self.body


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one request; `error` is empty, or `status` is 0."""

    ask: Ask
    status: int = 0
    head: bytes = field(default=b"", repr=False)
    body: bytes = b""
    latency: float = 0.0  # seconds, from before the request was written
    error: str = ""  # REFUSED, CLOSED (before the answer was whole) or TIMEOUT

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode(errors="replace")

    def header(self, name: str) -> str | None:
        """The first header of that name, which is in lower case; None when there is none."""
        return next((value for key, value in self.headers() if key == name), None)

    def headers(self) -> Iterator[tuple[str, str]]:
        """All headers in their order, names in lower case."""
        for line in self.head.decode("latin-1").split("\r\n")[1:]:
            name, colon, value = line.partition(":")
            if colon:
                yield name.lower(), value.strip()


class Load:
    """Sends asks on `concurrency` lanes until there are no more, or until `stop()`.

    Args:
        asks: may be endless. Taken one by one as lanes get free.
        concurrency: requests under way at a time.
        deadline: seconds for each answer; then it is recorded as TIMEOUT, its connection closed.
        rate: requests a second at most, over all lanes; None is as fast as it goes.
    """

    def __init__(
        self,
        asks: Iterable[Ask],
        *,
        concurrency: int = 200,
        deadline: float = 20.0,
        rate: float | None = None,
    ) -> None:
        self.answers: list[Answer] = []
        self._asks = iter(asks)
        self._concurrency = concurrency
        self._deadline = deadline
        self._interval = 1 / rate if rate else 0.0
        self._next_slot = 0.0
        self._stopped = False
        self._connecting = asyncio.Semaphore(_CONNECTING_AT_ONCE)

    async def run(self) -> list[Answer]:
        """The answers, in the order in which they came."""
        async with asyncio.TaskGroup() as lanes:
            for number in range(self._concurrency):
                lanes.create_task(self._lane(), name=f"lane {number}")
        return self.answers

    def stop(self) -> None:
        """Takes no more asks; `run` returns once those under way are answered."""
        self._stopped = True

    async def __aenter__(self) -> Self:
        """Runs beside the body of the `with`; its end stops the load and waits for it."""
        self._running = asyncio.create_task(self.run(), name="load")
        return self

    async def __aexit__(self, *error: object) -> None:
        self.stop()
        await self._running

    async def _lane(self) -> None:
        connections: dict[tuple[int, str], Connection] = {}
        try:
            while not self._stopped:
                if self._interval:
                    await self._pace()
                ask = next(self._asks, None)
                if ask is None:
                    return
                self.answers.append(await self._send(ask, connections))
        finally:
            for connection in connections.values():
                connection.close()

    async def _pace(self) -> None:
        slot = max(self._next_slot, time.monotonic())
        self._next_slot = slot + self._interval
        await asyncio.sleep(slot - time.monotonic())

    async def _send(self, ask: Ask, connections: dict[tuple[int, str], Connection]) -> Answer:
        key = (ask.port, ask.source)
        connection = connections.get(key)
        if connection is None or connection.closed:
            try:
                connection = connections[key] = await self._connect(ask)
            except TimeoutError:
                return Answer(ask, error=TIMEOUT)
            except OSError:
                await asyncio.sleep(_AFTER_REFUSAL)
                return Answer(ask, error=REFUSED)
        begin = time.perf_counter()
        try:
            async with asyncio.timeout(self._deadline):
                status, head, body = await connection.ask(ask.encode(), ask.method)
        except (OSError, TimeoutError) as error:
            connection.close()
            latency = time.perf_counter() - begin
            kind = TIMEOUT if isinstance(error, TimeoutError) else CLOSED
            return Answer(ask, latency=latency, error=kind)
        return Answer(ask, status, head, body, time.perf_counter() - begin)

    async def _connect(self, ask: Ask) -> Connection:
        local = (ask.source, 0) if ask.source else None
        async with self._connecting, asyncio.timeout(_CONNECT_DEADLINE):
            _, connection = await asyncio.get_running_loop().create_connection(
                Connection, "127.0.0.1", ask.port, local_addr=local
            )
        return connection


async def fire(
    asks: Iterable[Ask], *, concurrency: int = 200, deadline: float = 20.0
) -> list[Answer]:
    """Sends all asks as fast as it goes; their answers, in the order in which they came."""
    return await Load(asks, concurrency=concurrency, deadline=deadline).run()


async def get(port: int, path: str = "/", *, deadline: float = 20.0, **headers: str) -> Answer:
    """One GET on a connection of its own; `authorization="a"` and the like become headers.

    An underscore in a name stands for a dash.
    """
    pairs = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    answers = await fire([Ask(port, path, headers=pairs)], concurrency=1, deadline=deadline)
    return answers[0]


def tally(answers: Iterable[Answer]) -> Counter[str]:
    """How many answers of each status (`"200"`) or error (`"timeout"`) there are."""
    return Counter(answer.error or str(answer.status) for answer in answers)
