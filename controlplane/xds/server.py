"""The gRPC side: which methods exist, and the server's beginning and end.

Handlers are generic (bytes in, bytes out): requests are parsed where a bad one can be answered with
a status, and responses are joined from pieces that were encoded before.
"""

from __future__ import annotations

import ipaddress
import itertools
import secrets
import socket
from typing import TYPE_CHECKING, Any

import grpc
import structlog
from prometheus_client import CollectorRegistry

from controlplane.xds.identity import TRUST_DOMAIN, identify
from controlplane.xds.kinds import KINDS
from controlplane.xds.metrics import Metrics
from controlplane.xds.ordering import Timing
from controlplane.xds.session import Limits, Session
from controlplane.xds.stream import Stream

if TYPE_CHECKING:
    from collections.abc import Iterator

    from controlplane.xds.credentials import ServerCredentials
    from controlplane.xds.kinds import Kind
    from controlplane.xds.store import Store

log = structlog.get_logger(__name__)

_AGGREGATED = "envoy.service.discovery.v3.AggregatedDiscoveryService"
_LONGEST_PORT = 65_535


class ListenError(Exception):
    """The server cannot listen where it should; the message says why and what to do."""


class PlaintextError(Exception):
    """Without TLS it may not listen where others could connect; the message names the address."""


class Server:
    """Serves the store's content to proxies.

    Args:
        store: the content; may be opened later, streams wait for that.
        registry: where metrics are registered; a new one when not given.
        timing: bounds of the order of responses.
        limits: bounds of what a client may do.
        credentials: for mutual TLS, and then a proxy gets only the gateways that its certificate
            names; without, whoever connects gets whatever it asks for.
        trust_domain: in which certificates name gateways.
    """

    def __init__(
        self,
        store: Store,
        *,
        registry: CollectorRegistry | None = None,
        timing: Timing | None = None,
        limits: Limits | None = None,
        credentials: ServerCredentials | None = None,
        trust_domain: str = TRUST_DOMAIN,
    ) -> None:
        self._store = store
        self._metrics = Metrics(registry or CollectorRegistry())
        self._timing = timing or Timing()
        self._limits = limits or Limits()
        self._credentials = credentials
        self._trust_domain = trust_domain
        self._sessions: set[Session] = set()
        self._server: grpc.aio.Server | None = None
        self._draining = False
        # Differs between servers and restarts: a nonce of one must not look like another's.
        self._run = secrets.token_hex(4)
        self._count = itertools.count(1)

    async def start(
        self, host: str = "127.0.0.1", port: int = 0, *, plaintext: bool = False
    ) -> int:
        """Begins to listen; gives the port.

        Args:
            host: a name or an address.
            port: of it; 0 is any that is free.
            plaintext: without credentials, listen also where other machines can connect.

        Raises:
            ListenError: the address is in use, or not one of this machine.
            PlaintextError: it has no credentials, and the address is not a loopback one.
        """
        where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        _check(host, port, where)
        if self._credentials is None and not plaintext and not _is_loopback(host):
            raise PlaintextError(where)
        server = grpc.aio.server(
            options=self._options(), maximum_concurrent_rpcs=self._limits.streams
        )
        server.add_generic_rpc_handlers(tuple(self._services()))
        try:
            bound = self._bind(server, where)
        except RuntimeError as error:
            raise ListenError(_explain(where, str(error))) from error
        await server.start()
        self._server = server
        self._draining = False
        security = "mutual TLS" if self._credentials else "plaintext"
        log.info("Discovery server started", address=host, port=bound, security=security)
        return bound

    async def stop(self, grace: float = 5.0) -> None:
        """Ends in order: proxies are told to go elsewhere, and keep what they have.

        Args:
            grace: after this many seconds streams that did not end are cut.
        """
        if self._server is None:
            return
        self._draining = True
        for session in self._sessions:
            session.drain()
        server, self._server = self._server, None
        await server.stop(grace)
        log.info("Discovery server stopped")

    # -------------------------------------------------------------------------------- internal
    def _bind(self, server: grpc.aio.Server, where: str) -> int:
        if self._credentials is None:
            return server.add_insecure_port(where)
        return server.add_secure_port(where, self._credentials.for_grpc())

    def _options(self) -> list[tuple[str, Any]]:
        limits = self._limits
        idle = int(limits.idle * 1000)
        return [
            *([("grpc.max_connection_idle_ms", idle)] if self._credentials else []),
            # Two servers on one port would share the proxies between them without a word.
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", limits.message_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.keepalive_time_ms", int(limits.keepalive * 1000)),
            ("grpc.keepalive_timeout_ms", int(limits.keepalive_timeout * 1000)),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.max_pings_without_data", 0),
            # Proxies that ping as often as this are not cut off for it.
            ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
        ]

    def _services(self) -> Iterator[grpc.GenericRpcHandler]:
        yield self._service(_AGGREGATED, "AggregatedResources", None)
        for kind in KINDS:
            yield self._service(kind.service, kind.method, kind)

    def _service(self, name: str, method: str, only: Kind | None) -> grpc.GenericRpcHandler:
        return grpc.method_handlers_generic_handler(
            name,
            {
                f"Stream{method}": self._method(only, delta=False),
                f"Delta{method}": self._method(only, delta=True),
            },
        )

    def _method(self, only: Kind | None, *, delta: bool) -> grpc.RpcMethodHandler[bytes, bytes]:
        async def handle(_: object, context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
            await self._handle(context, only, delta=delta)

        handler: Any = grpc.stream_stream_rpc_method_handler
        made: grpc.RpcMethodHandler[bytes, bytes] = handler(handle)
        return made

    async def _handle(
        self, context: grpc.aio.ServicerContext[bytes, bytes], only: Kind | None, *, delta: bool
    ) -> None:
        prefix = f"{self._run}-{next(self._count)}"
        stream = Stream(prefix, delta=delta, only=only, timing=self._timing)
        identity = None
        if self._credentials is not None:
            identity = identify(context.auth_context(), self._trust_domain)
        session = Session(self._store, stream, self._metrics, self._limits, identity)
        if self._draining:
            session.drain()
        self._sessions.add(session)
        try:
            await session.run(context)
        finally:
            self._sessions.discard(session)


def _is_loopback(host: str) -> bool:
    """Whether nobody but this machine can connect; a name counts by all of its addresses."""
    try:
        # Nothing, to gRPC, is every address.
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM) if host else []
    except OSError:
        return False
    addresses = {str(address[0]).partition("%")[0] for *_, address in found}
    return bool(addresses) and all(ipaddress.ip_address(one).is_loopback for one in addresses)


def _check(host: str, port: int, where: str) -> None:
    """Tries the address first: gRPC would only say that it failed, and print a page of log."""
    if not 0 <= port <= _LONGEST_PORT:
        raise ListenError(_explain(where, "no such port"))
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise ListenError(_explain(where, error.strerror or str(error))) from error


def _explain(where: str, reason: str) -> str:
    return (
        f"cannot serve xDS on {where}: {reason}; "
        "end the process that listens there, or choose another address"
    )
