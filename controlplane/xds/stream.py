"""The protocol of one stream, without any I/O: requests and views in, replies and events out.

One machine serves both variants, aggregated (ADS) and single-type services. The variants differ in
how a request is read (`_read_sotw`, `_read_delta`) and in what a response says about removals
(`progress`); the rest is shared. Time comes in as a number and is never read.

Whoever drives it does, on every wake-up: `receive` each request, hand on `take_events`, `retarget`
at the newest view, write each `next_reply` until there is none, and wake up again at `deadline`.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from controlplane.xds.events import Accepted, Event, Ignored, Reply
from controlplane.xds.kinds import BY_URL, CLUSTER, ENDPOINTS, KINDS
from controlplane.xds.ordering import Ordering, Timing
from controlplane.xds.progress import Progress
from controlplane.xds.requests import DeltaRequest, SotwRequest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from controlplane.xds.events import TypeReport
    from controlplane.xds.kinds import Kind
    from controlplane.xds.requests import Node, Request
    from controlplane.xds.resource import Resource
    from controlplane.xds.snapshot import View

_NAMES_LIMIT = 100_000


class ProtocolError(Exception):
    """The client broke the protocol so that the stream cannot go on (INVALID_ARGUMENT)."""


class Stream:
    """One stream of one client.

    Args:
        prefix: makes the nonces of this stream differ from those of others.
        delta: the variant.
        only: the type of a single-type service; None for the aggregated one.
        timing: bounds of the order of responses.
    """

    def __init__(
        self, prefix: str, *, delta: bool, only: Kind | None = None, timing: Timing | None = None
    ) -> None:
        self.delta = delta
        self.only = only
        self.node: Node | None = None
        #: Whether the client brought content along: it goes on after an earlier stream.
        self.resumed = False
        self._prefix = prefix
        self._count = 0
        self._view: View | None = None
        self._types: dict[str, Progress] = {}
        self._ordering = Ordering(self._types, timing or Timing())
        self._events: list[Event] = []

    # --------------------------------------------------------------------------------- requests
    def receive(self, request: Request) -> None:
        """Takes a request.

        Raises:
            ProtocolError: the stream has to end; the message says why.
        """
        if self.node is None:
            self._identify(request)
        kind = self._kind_of(request)
        if kind is None:
            return
        state = self._state(kind.url)
        if isinstance(request, SotwRequest):
            self._read_sotw(state, request)
        elif isinstance(request, DeltaRequest):
            self._read_delta(state, request)
        if len(state.subscription.names) > _NAMES_LIMIT:
            message = f"more than {_NAMES_LIMIT} names subscribed for {kind.url}"
            raise ProtocolError(message)

    def _identify(self, request: Request) -> None:
        # The node is certain on the first request only, and stands for all types (S1).
        if request.node is None or not request.node.id:
            message = "the first request of a stream must carry node.id: set it in the bootstrap"
            raise ProtocolError(message)
        self.node = request.node

    def _kind_of(self, request: Request) -> Kind | None:
        if self.only is not None:
            if request.type_url not in {"", self.only.url}:
                message = f"{request.type_url} asked of the service for {self.only.url}"
                raise ProtocolError(message)
            return self.only
        if not request.type_url:
            message = "a request on the aggregated stream must carry type_url"
            raise ProtocolError(message)
        kind = BY_URL.get(request.type_url)
        if kind is None:
            # Other control planes serve such types; the client goes on without them.
            self._events.append(Ignored("unknown_type", request.type_url))
        return kind

    def _read_sotw(self, state: Progress, request: SotwRequest) -> None:
        if state.last_nonce and request.nonce != state.last_nonce:
            # Written before the client saw our last response: it says nothing about that one, and
            # is not answered (S3). Its names count, or a name given up and taken up again before
            # the answer would not be sent anew (S4, S10). With nothing unanswered it is no
            # client's honest word, and must not end a subscription (S18).
            self._events.append(Ignored("stale_nonce", state.kind.url))
            if state.outstanding:
                state.apply(state.subscription.replace(request.names))
            return
        if not self._answered(state, request) and request.error is not None:
            self._events.append(Ignored("stale_nonce", state.kind.url))
        first = not state.seen
        state.apply(state.subscription.replace(request.names))
        if first:
            self.resumed |= bool(request.version)
            state.claim(request.version)

    def _read_delta(self, state: Progress, request: DeltaRequest) -> None:
        if request.nonce and not self._answered(state, request):
            # Its subscriptions count all the same (D1).
            self._events.append(Ignored("stale_nonce", state.kind.url))
        first = not state.seen
        change = state.subscription.update(request.subscribe, request.unsubscribe)
        # Only the first request says what the client has (D5).
        state.apply(change, claimed=request.initial.keys() if first else ())
        if first:
            self.resumed |= bool(request.initial)
            state.claim_all(request.initial)

    def _answered(self, state: Progress, request: Request) -> bool:
        event = state.answer(request.nonce, request.error)
        if event is not None:
            self._events.append(event)
        return event is not None

    # ------------------------------------------------------------------------------------ views
    def retarget(self, view: View) -> None:
        """What the client is to have from now on."""
        before = self._view
        if view is before:
            return
        self._view = view
        changes = view.snapshot.changes_since(before.snapshot) if before else {}
        for url, state in self._types.items():
            state.retarget(view, changes.get(url, frozenset()))

    def _state(self, url: str) -> Progress:
        state = self._types.get(url)
        if state is None:
            state = self._types[url] = Progress(BY_URL[url], delta=self.delta)
            if self._view is not None:
                state.retarget(self._view, frozenset())
        return state

    # ---------------------------------------------------------------------------------- replies
    def next_reply(self, now: float) -> Reply | None:
        """The next response that can be sent now; it counts as sent. None when there is none.

        One at a time, so that what the client says while one is written counts for the next (S17).

        Args:
            now: in seconds, on any clock that only goes forward.
        """
        self._ordering.observe(now)
        reply, looked = None, False
        for kind in KINDS:
            state = self._types.get(kind.url)
            if state is None or state.idle or state.outstanding:
                continue
            if not self._ordering.holds(kind, now):
                looked = True
                reply = self._respond(state, now)
                if reply is not None:
                    break
        if looked:
            self._ordering.observe(now)
        return reply

    def _respond(self, state: Progress, now: float) -> Reply | None:
        kind = state.kind
        due = state.due(now, lambda name, since: self._ordering.may_leave(kind, name, since, now))
        if brought := state.brought():
            serial = self._view.serial if self._view else 0
            self._events.append(Accepted(kind, brought, serial, pushed=False))
        if due is None:
            return None
        contents, removed = due
        self._count += 1
        nonce = f"{self._prefix}-{self._count}"
        started = not self.resumed
        contents = {
            name: state.worded(one, nonce, started=started) for name, one in contents.items()
        }
        sent = state.sent(nonce, now, contents, removed)
        if kind.url == CLUSTER:
            new = sent.forced.union(one.name for one in sent.changed)
            self._renew_endpoints(
                [contents[name] for name in new], gone=[state.held.get(name) for name in removed]
            )
        return Reply(
            kind=kind,
            delta=self.delta,
            version=sent.version,
            nonce=sent.nonce,
            resources=tuple(contents.values()),
            removed=tuple(removed) if self.delta else (),
        )

    def _renew_endpoints(self, changed: Iterable[Resource], gone: Iterable[object]) -> None:
        """A cluster that changed waits for its endpoints again, also if those did not (W3)."""
        if self.only is not None:
            return
        endpoints = self._state(ENDPOINTS)
        for one in gone:
            name = getattr(one, "endpoints", None)
            if name:
                endpoints.unforce(name)
        for resource in changed:
            if resource.endpoints:
                endpoints.force(resource.endpoints)

    def deadline(self) -> float | None:
        """When to ask for replies again although nothing happened, in `now`'s terms; or None."""
        return self._ordering.deadline()

    def take_events(self) -> list[Event]:
        """What was learned since the last call."""
        events, self._events = self._events, []
        return events

    # ----------------------------------------------------------------------------------- status
    def report(self) -> Mapping[str, TypeReport]:
        """What is known, by the URL of each type that the client has asked for."""
        return MappingProxyType(
            {url: state.report() for url, state in self._types.items() if state.seen}
        )

    def has(self, type_url: str, name: str, version: str) -> bool:
        """Whether the client has, by its own word, this content."""
        state = self._types.get(type_url)
        held = state.held.get(name) if state else None
        return held is not None and held.version == version
