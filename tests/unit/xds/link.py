"""A link between a fake client and a store: the state machine driven by hand, no network."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from controlplane.xds.events import Accepted, Refused
from controlplane.xds.stream import Stream

if TYPE_CHECKING:
    from collections.abc import Callable

    from controlplane.xds.events import Reply
    from controlplane.xds.ordering import Timing
    from controlplane.xds.requests import Request
    from controlplane.xds.store import Connection, Store
    from tests.unit.xds.fake import FakeClient


class Link:
    """One stream between a client and a store, driven by hand."""

    count = 0

    def __init__(
        self, store: Store, client: FakeClient, *, delta: bool, timing: Timing | None = None
    ) -> None:
        Link.count += 1
        self.store = store
        self.client = client
        self.stream = Stream(f"s{Link.count}", delta=delta, timing=timing)
        self.connection: Connection | None = None
        self.wire: deque[bytes] = deque()
        self.replies: list[Reply] = []
        self.refused: list[Refused] = []
        self.accepted: list[Accepted] = []
        self.on_request: Callable[[Request], None] = lambda _request: None
        self.on_reply: Callable[[Reply], None] = lambda _reply: None

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()

    def deliver(self) -> bool:
        """One request reaches the server. False when there is none."""
        if not self.client.outbox:
            return False
        request = self.client.outbox.popleft()
        self.on_request(request)
        self.stream.receive(request)
        if self.connection is None:
            assert self.stream.node is not None
            self.connection = self.store.connect(self.stream.node, self.stream, lambda: None)
        self._hand_on()
        return True

    def push(self, now: float) -> bool:
        """The server sends what is due. False when nothing is."""
        sent = False
        while self._next(now):
            sent = True
        return sent

    def _next(self, now: float) -> bool:
        view = self.connection.view() if self.connection else None
        if view is None:
            return False
        self.stream.retarget(view)
        reply = self.stream.next_reply(now)
        self._hand_on()
        if reply is None:
            deadline = self.stream.deadline()
            assert deadline is None or deadline > now, "a deadline in the past is a hot loop"
            return False
        self.on_reply(reply)
        self.replies.append(reply)
        self.wire.append(reply.encode())
        return True

    def read(self) -> bool:
        """One response reaches the client. False when there is none."""
        if not self.wire:
            return False
        self.client.receive(self.wire.popleft())
        return True

    def settle(self, now: float, *, rounds: int = 100) -> None:
        """Everything that is under way arrives; no end to it is a hot loop."""
        for _ in range(rounds):
            moved = self.deliver()
            moved |= self.push(now)
            moved |= self.read()
            if not moved:
                return
        message = f"no rest after {rounds} rounds; last replies: {self.replies[-4:]}"
        raise AssertionError(message)

    def _hand_on(self) -> None:
        for event in self.stream.take_events():
            if isinstance(event, Accepted) and self.connection:
                self.accepted.append(event)
                self.connection.accepted(event)
            elif isinstance(event, Refused) and self.connection:
                self.refused.append(event)
                self.connection.refused(event)
