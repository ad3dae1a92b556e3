"""What each gateway's proxies are to have, and who they are.

The store holds content and memory, streams hold progress: a stream is woken when something may
have changed and pulls the newest view. Setting content never waits for a client, and a client that
is slow skips what was replaced meanwhile. Everything here runs on one event loop and never awaits.
"""

from __future__ import annotations

import time
from collections import defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog

from controlplane.xds.gateway import Gateway
from controlplane.xds.status import Delivery, Nack, ProxyState, TypeState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from controlplane.xds.events import Accepted, Refused
    from controlplane.xds.requests import Node
    from controlplane.xds.snapshot import Snapshot, View
    from controlplane.xds.stream import Stream

log = structlog.get_logger(__name__)


class Connection:
    """One stream of a proxy, as the store knows it.

    Args:
        store: where it belongs.
        node: the proxy.
        stream: its state machine, asked for status.
        wake: called when the view may have changed; must not block.
        address: of the client.
    """

    def __init__(
        self, store: Store, node: Node, stream: Stream, wake: Callable[[], None], address: str
    ) -> None:
        self.node = node
        self.stream = stream
        self.wake = wake
        self.address = address
        self.connected_at = datetime.now(UTC)
        self._store = store

    def view(self) -> View | None:
        """What the proxy is to have; None while it has to wait (see `Store.waiting`)."""
        return self._store.view(self.node)

    def accepted(self, event: Accepted) -> None:
        """The proxy has this content."""
        self._store.accept(self.node, event)

    def refused(self, event: Refused) -> None:
        """The proxy refused this content."""
        self._store.refuse(self.node, event)

    def close(self) -> None:
        """The stream has ended."""
        self._store.disconnect(self)


class Store:
    """The content of all gateways.

    Args:
        clock: seconds that only go forward; stamps views.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._opened = False
        self._gateways: dict[str, Gateway] = {}
        self._connections: dict[str, set[Connection]] = defaultdict(set)
        self._callbacks: list[Callable[[], None]] = []

    # ---------------------------------------------------------------------------------- content
    @property
    def opened(self) -> bool:
        """Whether content is served."""
        return self._opened

    def open(self) -> None:
        """Begins to serve: every source has synced, so that what is missing is missing (W13)."""
        self._opened = True
        for name in list(self._connections):
            self._wake(name)
        self._changed()

    def set(self, gateway: str, snapshot: Snapshot) -> None:
        """Makes a snapshot the newest of a gateway; equal content changes nothing."""
        memory = self._gateways.setdefault(gateway, Gateway())
        if memory.publish(snapshot, self._clock()):
            self._wake(gateway)
            self._changed()

    def remove(self, gateway: str) -> None:
        """Forgets a gateway. Its proxies keep what they have and wait for its return."""
        if self._gateways.pop(gateway, None) is not None:
            self._changed()

    def snapshot(self, gateway: str) -> Snapshot | None:
        """The newest content of a gateway; None when there is no such gateway."""
        memory = self._gateways.get(gateway)
        return memory.wanted if memory else None

    def gateways(self) -> tuple[str, ...]:
        """The names of all gateways with content, sorted."""
        return tuple(sorted(self._gateways))

    def retry(self, gateway: str) -> bool:
        """Sends refused content once more, for when its cause was mended outside of it.

        False when there is no such gateway.
        """
        memory = self._gateways.get(gateway)
        if memory is None:
            return False
        memory.retry()
        self._wake(gateway)
        self._changed()
        return True

    # ---------------------------------------------------------------------------------- streams
    def connect(
        self, node: Node, stream: Stream, wake: Callable[[], None], address: str = ""
    ) -> Connection:
        """Registers a stream, before its first view is asked for, so that none is missed (W14)."""
        connection = Connection(self, node, stream, wake, address)
        self._connections[node.cluster].add(connection)
        self._changed()
        return connection

    def disconnect(self, connection: Connection) -> None:
        """Forgets a stream; a no-op when that is done already."""
        gateway = connection.node.cluster
        self._connections[gateway].discard(connection)
        if not self._connections[gateway]:
            del self._connections[gateway]
        self._changed()

    def view(self, node: Node) -> View | None:
        """What a proxy is to have; None while it has to wait."""
        memory = self._gateways.get(node.cluster) if self._opened else None
        return memory.view(node.id) if memory else None

    def waiting(self, gateway: str) -> str:
        """Why the proxies of a gateway are sent nothing; empty when they are served."""
        if not self._opened:
            return "the control plane has not read all its sources yet"
        if gateway not in self._gateways:
            return f"there is no gateway {gateway!r}: check node.cluster in the proxy's bootstrap"
        return ""

    def accept(self, node: Node, event: Accepted) -> None:
        """A proxy has this content."""
        memory = self._gateways.get(node.cluster)
        if memory and memory.accept(node.id, event.resources, event.serial):
            self._wake(node.cluster)
        self._changed()

    def refuse(self, node: Node, event: Refused) -> None:
        """A proxy refused this content."""
        memory = self._gateways.get(node.cluster)
        if memory and memory.refuse(node.id, event):
            self._wake(node.cluster)
        self._changed()

    # ----------------------------------------------------------------------------------- status
    def on_change(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Calls back whenever content or the state of a proxy changes; gives a way to end that.

        The callback must be quick (set an event): it runs for every answer of every proxy.
        """
        self._callbacks.append(callback)
        return lambda: self._callbacks.remove(callback)

    def proxies(self) -> tuple[ProxyState, ...]:
        """All connected proxies, sorted by gateway and identity."""
        found: dict[tuple[str, str], list[Connection]] = {}
        for connection in self._all():
            key = (connection.node.cluster, connection.node.id)
            found.setdefault(key, []).append(connection)
        return tuple(self._state(found[key]) for key in sorted(found))

    def delivery(self, gateway: str, type_url: str, name: str) -> Delivery:
        """How far one resource has come."""
        memory = self._gateways.get(gateway)
        resource = memory.wanted.get(type_url, name) if memory else None
        proxies: dict[str, bool] = {}
        for one in self._connections.get(gateway, ()):
            has = resource is not None and one.stream.has(type_url, name, resource.version)
            proxies[one.node.id] = proxies.get(one.node.id, False) or has
        return Delivery(
            wanted=resource.version if resource else None,
            total=len(proxies),
            lacking=frozenset(node_id for node_id, has in proxies.items() if not has),
            refused=_refused(memory, type_url, name) if memory else {},
        )

    def _all(self) -> Iterator[Connection]:
        for connections in self._connections.values():
            yield from connections

    def _state(self, connections: Iterable[Connection]) -> ProxyState:
        """One proxy; where two streams know the same type, the newer one tells."""
        ordered = sorted(connections, key=lambda one: one.connected_at)
        newest = ordered[-1]
        types: dict[str, TypeState] = {}
        for connection in ordered:
            types.update(self._types(connection))
        return ProxyState(
            node_id=newest.node.id,
            gateway=newest.node.cluster,
            connected_at=ordered[0].connected_at,
            workers=newest.node.workers,
            agent=newest.node.agent,
            address=newest.address,
            streams=len(ordered),
            waiting=self.waiting(newest.node.cluster),
            resumed=newest.stream.resumed,
            types=types,
        )

    def _types(self, connection: Connection) -> Iterator[tuple[str, TypeState]]:
        memory = self._gateways.get(connection.node.cluster)
        for url, report in connection.stream.report().items():
            nack = _nack(memory, url, connection.node.id) if memory else None
            wanted = memory.wanted.version_of(url) if memory else ""
            yield (
                url,
                TypeState(
                    sent=report.sent,
                    acked=report.acked,
                    nacked=nack,
                    wanted=wanted,
                    in_sync=report.in_sync and nack is None and report.acked == wanted,
                    subscribed=report.subscribed,
                ),
            )

    # --------------------------------------------------------------------------------- internal
    def _wake(self, gateway: str) -> None:
        for connection in self._connections.get(gateway, ()):
            connection.wake()

    def _changed(self) -> None:
        for callback in self._callbacks:
            try:
                callback()
            except Exception:
                # Whoever watches must not be able to stop the proxies from being served.
                log.exception("A callback on xDS changes failed")


def _nack(memory: Gateway, type_url: str, node_id: str) -> Nack | None:
    for refusal in reversed(memory.refusals):
        if refusal.type_url == type_url and node_id in refusal.messages:
            return Nack(refusal.version, refusal.messages[node_id], tuple(refusal.contents))
    return None


def _refused(memory: Gateway, type_url: str, name: str) -> Mapping[str, Nack]:
    return {
        node_id: Nack(refusal.version, message, tuple(refusal.contents))
        for refusal in memory.refusals
        if refusal.type_url == type_url and name in refusal.contents
        for node_id, message in refusal.messages.items()
    }
