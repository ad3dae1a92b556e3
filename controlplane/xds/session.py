"""One gRPC stream: bytes between the client and the state machine.

Two tasks: one reads, into a short queue, so that a client that talks while it does not listen is
slowed down by its own connection; one does all else. The latter is woken by requests, by the
store, and by the machine's own deadlines, and pulls the newest view each time.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
import structlog
from google.protobuf.message import DecodeError

from controlplane.xds.events import Accepted, Ignored, Postponed, Refused
from controlplane.xds.requests import parse_delta, parse_sotw
from controlplane.xds.stream import ProtocolError

if TYPE_CHECKING:
    from controlplane.xds.events import Event, Reply
    from controlplane.xds.identity import Identity
    from controlplane.xds.metrics import Metrics
    from controlplane.xds.store import Connection, Store
    from controlplane.xds.stream import Stream

    Context = grpc.aio.ServicerContext[bytes, bytes]

log = structlog.get_logger(__name__)

_SHORTEST_NAP = 0.01


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a connection; times in seconds.

    Attributes:
        first_request: how long a new stream may stay silent.
        write: how long a client may take to make room for one response.
        inbox: requests read ahead.
        message_bytes: the largest request: a proxy that reconnects lists all that it has.
        streams: open at once in the whole server.
        keepalive: pause between pings to a silent client.
        keepalive_timeout: how long it may take to answer one.
        idle: with TLS, a connection without streams is closed after this long. A proxy that was
            denied comes again on the same connection, as who it was when that was made; so it comes
            on a new one, with the certificate that it has by then.
    """

    first_request: float = 30.0
    write: float = 30.0
    inbox: int = 32
    message_bytes: int = 64 << 20
    streams: int = 20_000
    keepalive: float = 30.0
    keepalive_timeout: float = 10.0
    idle: float = 1.0


@dataclass(frozen=True, slots=True)
class Ending:
    """Why the server ends a stream."""

    code: grpc.StatusCode
    message: str


class DeniedError(Exception):
    """The proxy may not have what it asks for (PERMISSION_DENIED); the message says why."""


class Session:
    """One stream, from its first request to its end.

    Args:
        store: where views come from and answers go to.
        stream: the state machine, fresh.
        metrics: counted here.
        limits: bounds of what a client may do.
        identity: who the client is by its certificate; without one it may have any gateway.
    """

    def __init__(
        self,
        store: Store,
        stream: Stream,
        metrics: Metrics,
        limits: Limits,
        identity: Identity | None = None,
    ) -> None:
        self._store = store
        self._stream = stream
        self._metrics = metrics
        self._limits = limits
        self._identity = identity
        self._parse = parse_delta if stream.delta else parse_sotw
        self._inbox: asyncio.Queue[bytes] = asyncio.Queue(limits.inbox)
        self._wake = asyncio.Event()
        self._connection: Connection | None = None
        self._connected = 0.0
        self._over = False
        self._draining = False
        self._timer: asyncio.TimerHandle | None = None

    def drain(self) -> None:
        """Ends the stream in order, so that the client goes to another server."""
        self._draining = True
        self._wake.set()

    async def run(self, context: Context) -> None:
        """Serves the stream until either side ends it."""
        variant = self._metrics.streams.labels("delta" if self._stream.delta else "sotw")
        variant.inc()
        ending = None
        try:
            async with asyncio.TaskGroup() as group:
                reader = group.create_task(self._read(context), name="xds reader")
                try:
                    ending = await self._serve(context)
                finally:
                    reader.cancel()
        finally:
            variant.dec()
            self._disconnect(ending)
        if ending is not None:
            await context.abort(ending.code, ending.message)

    async def _read(self, context: Context) -> None:
        while True:
            data: Any = await context.read()
            if data is grpc.aio.EOF:
                self._over = True
                self._wake.set()
                return
            await self._inbox.put(data)
            self._wake.set()

    async def _serve(self, context: Context) -> Ending | None:
        loop = asyncio.get_running_loop()
        silent_until = loop.time() + self._limits.first_request
        self._wake_at(silent_until)
        self._wake.set()
        while True:
            await self._wake.wait()
            self._wake.clear()
            ending = await self._advance(context)
            if ending is not None:
                return ending
            if self._over and self._inbox.empty():
                return None
            if self._stream.node is not None:
                self._wake_at(self._deadline())
            elif loop.time() >= silent_until:
                return Ending(grpc.StatusCode.DEADLINE_EXCEEDED, "no request came")

    async def _advance(self, context: Context) -> Ending | None:
        """Takes what has come and sends what is due."""
        while True:
            if self._draining:
                return Ending(grpc.StatusCode.UNAVAILABLE, "the control plane is shutting down")
            try:
                self._take_requests(context)
            except DecodeError as error:
                return self._fault(f"not a discovery request: {error}")
            except ProtocolError as error:
                return self._fault(str(error))
            except DeniedError as error:
                return self._fault(str(error), grpc.StatusCode.PERMISSION_DENIED)
            reply = self._next_reply()
            if reply is None:
                return None
            ending = await self._write(context, reply)
            if ending is not None:
                return ending

    def _take_requests(self, context: Context) -> None:
        while not self._inbox.empty():
            self._stream.receive(self._parse(self._inbox.get_nowait()))
            if self._connection is None:
                self._connect(context)
            self._hand_on()

    def _next_reply(self) -> Reply | None:
        view = self._connection.view() if self._connection else None
        if view is None:
            return None
        self._stream.retarget(view)
        reply = self._stream.next_reply(asyncio.get_running_loop().time())
        self._hand_on()
        return reply

    async def _write(self, context: Context, reply: Reply) -> Ending | None:
        data = reply.encode()
        short = reply.kind.short
        begun = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(self._limits.write):
                await context.write(data)
        except TimeoutError:
            code = grpc.StatusCode.DEADLINE_EXCEEDED
            self._metrics.failures.labels(code.name).inc()
            return Ending(code, f"no room for a response in {self._limits.write} s")
        self._metrics.pushes.labels(short).inc()
        self._metrics.size.labels(short).observe(len(data))
        self._metrics.send.labels(short).observe(asyncio.get_running_loop().time() - begun)
        return None

    def _fault(
        self, message: str, code: grpc.StatusCode = grpc.StatusCode.INVALID_ARGUMENT
    ) -> Ending:
        self._metrics.failures.labels(code.name).inc()
        return Ending(code, message)

    # ----------------------------------------------------------------------------- bookkeeping
    def _connect(self, context: Context) -> None:
        node = self._stream.node
        if node is None:
            return
        address = str(context.peer())
        if self._identity and (objection := self._identity.objection(node.cluster)):
            log.warning(
                "Proxy denied",
                node=node.id,
                gateway=node.cluster,
                address=address,
                reason=objection,
            )
            raise DeniedError(objection)
        self._connected = asyncio.get_running_loop().time()
        self._connection = self._store.connect(node, self._stream, self._wake.set, address)
        log.info(
            "Proxy connected",
            node=node.id,
            gateway=node.cluster,
            agent=node.agent,
            address=address,
            variant="delta" if self._stream.delta else "sotw",
            service=self._stream.only.short if self._stream.only else "ADS",
        )
        if waiting := self._store.waiting(node.cluster):
            log.warning("Proxy waits", node=node.id, gateway=node.cluster, reason=waiting)

    def _disconnect(self, ending: Ending | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._connection is not None:
            self._connection.close()
        if ending is not None and ending.code is grpc.StatusCode.PERMISSION_DENIED:
            return  # it never was connected, and the log has its line
        node = self._stream.node
        log.info(
            "Proxy disconnected",
            node=node.id if node else "",
            gateway=node.cluster if node else "",
            reason=ending.message if ending else "the proxy ended the stream",
        )

    def _hand_on(self) -> None:
        for event in self._stream.take_events():
            self._tell(event)

    def _tell(self, event: Event) -> None:
        connection = self._connection
        if isinstance(event, Ignored):
            self._metrics.ignored.labels(event.reason).inc()
        elif connection is None:
            return
        elif isinstance(event, Accepted):
            self._observe_convergence(event, connection)
            connection.accepted(event)
        elif isinstance(event, Postponed):
            log.debug(
                "Proxy fetches filter code",
                node=connection.node.id,
                gateway=connection.node.cluster,
                reason=event.message,
            )
        elif isinstance(event, Refused):
            self._metrics.rejects.labels(event.kind.short).inc()
            log.warning(
                "Proxy refused configuration",
                node=connection.node.id,
                gateway=connection.node.cluster,
                type=event.kind.short,
                version=event.version,
                resources=event.names,
                reason=event.message,
            )
            connection.refused(event)

    def _observe_convergence(self, event: Accepted, connection: Connection) -> None:
        """Only for content that is newer than the stream: the rest says how old things are."""
        view = connection.view()
        if event.pushed and event.resources and view is not None:
            took = asyncio.get_running_loop().time() - view.published
            if event.serial == view.serial and view.published > self._connected:
                self._metrics.convergence.labels(event.kind.short).observe(took)

    def _deadline(self) -> float | None:
        # While it waits, nothing becomes due; the store wakes it.
        waiting = self._connection is None or self._connection.view() is None
        return None if waiting else self._stream.deadline()

    def _wake_at(self, moment: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if moment is not None:
            loop = asyncio.get_running_loop()
            # Never at once: should a deadline ever be in the past, it must not become a loop.
            at = max(moment, loop.time() + _SHORTEST_NAP)
            self._timer = loop.call_at(at, self._wake.set)
