"""A link that checks every response on its way, for the random interleavings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from controlplane.xds import kinds
from controlplane.xds.ordering import Timing
from controlplane.xds.requests import DeltaRequest, Request, SotwRequest
from tests.unit.xds.link import Link

if TYPE_CHECKING:
    from controlplane.xds.events import Refused, Reply
    from controlplane.xds.store import Store
    from tests.unit.xds.fake import FakeClient

# Only `linger` ever passes: what the other bounds allow is not looked for here.
TIMING = Timing(hold=1e6, linger=1.0, retire=1e7)


def uses(body: bytes) -> set[str]:
    return set(filter(None, body.decode().partition(" uses:")[2].split(",")))


class Watched(Link):
    """A link that checks each response against what the client was told to have asked."""

    def __init__(self, store: Store, client: FakeClient, *, delta: bool) -> None:
        super().__init__(store, client, delta=delta, timing=TIMING)
        self.client.on_removed = self.check_removal
        self.on_request = self.follow
        self.on_reply = self.check_reply
        self.asked: dict[str, set[str]] = {}
        self.given_up: dict[str, set[str]] = {}
        self.parked: dict[tuple[str, str, str], str] = {}
        self.checked_order = True

    def follow(self, request: Request) -> None:
        asked = self.asked.setdefault(request.type_url, set())
        if isinstance(request, SotwRequest):
            state = self.stream._types.get(request.type_url)
            if state is None or state.outstanding or state.last_nonce in {"", request.nonce}:
                self.insist(request.type_url, set(request.names or {"legacy"}) - asked)
                asked.clear()
                asked.update(request.names or {"legacy"})
        elif isinstance(request, DeltaRequest):
            if not asked and not request.subscribe:
                asked.add("legacy")
            asked.update(request.subscribe)
            asked.difference_update(request.unsubscribe)
            asked.add("seen")
            if "*" in request.unsubscribe:
                asked.discard("legacy")
            self.given_up.setdefault(request.type_url, set()).update(request.unsubscribe)
            self.insist(request.type_url, set(request.subscribe))

    def insist(self, url: str, names: set[str]) -> None:
        """A client that asks again for what it refused is sent it again."""
        for key in list(self.parked):
            if key[0] == url and {key[1], "*", "legacy"} & names:
                del self.parked[key]

    def check_reply(self, reply: Reply) -> None:
        url = reply.kind.url
        state = self.stream._types[url]
        assert state.outstanding is not None
        assert state.outstanding.nonce == reply.nonce
        answered = [one for one in self.replies if one.kind.url == url]
        assert reply.nonce not in {one.nonce for one in answered}, "D1: a nonce twice"
        asked = self.asked[url]
        everything = bool({"*", "legacy"} & asked)
        for name in [*(one.name for one in reply.resources), *reply.removed]:
            assert everything or name in asked, f"{name} was not asked for"
        if reply.kind in {kinds.SDS, kinds.ECDS}:
            assert not reply.removed, "D10: removed what may be in use"
        assert self.connection is not None
        current = self.connection.view()
        assert current is not None
        if url == kinds.ROUTES:
            self.check_addition(reply)
        self.see_changes()
        for one in reply.resources:
            key = (url, one.name, one.version)
            assert key not in self.parked, "S7: refused content sent again"

    def see_changes(self) -> None:
        """Content that has changed since it was refused may be sent again."""
        view = self.connection.view() if self.connection else None
        for key, version in list(self.parked.items()):
            if view is not None and view.snapshot.version_of(key[0]) != version:
                del self.parked[key]

    def check_addition(self, reply: Reply) -> None:
        """W1: routes are sent after the clusters that they use were confirmed."""
        clusters = self.stream._types.get(kinds.CLUSTER)
        if clusters is None or not clusters.subscription.wildcard or not clusters.seen:
            return
        if any(one.kind is kinds.CDS for one in self.refused):
            return  # a route may use a cluster that the client does not take
        current = self.connection.view() if self.connection else None
        for resource in reply.resources:
            if current is not None and (kinds.ROUTES, resource.name) in current.substituted:
                continue  # its clusters may have gone while nobody asked for clusters
            assert uses(resource.body) <= clusters.held.keys(), "a route before its cluster"

    def deliver(self) -> bool:
        before = len(self.refused)
        moved = super().deliver()
        for refused in self.refused[before:]:
            view = self.connection.view() if self.connection else None
            if view is None or (refused.kind.whole and not self.stream.delta):
                continue
            state = self.stream._types[refused.kind.url]
            for name, version in _pairs(refused):
                # Unless the client has asked for it again while it was under way.
                if state.parking.holds(name, version) and name not in state._insisted:
                    key = (refused.kind.url, name, version)
                    self.parked[key] = view.snapshot.version_of(refused.kind.url)
        return moved

    def check_removal(self, url: str, name: str) -> None:
        """W1: what the client's routes use is not taken away."""
        if url != kinds.CLUSTER or not self.checked_order:
            return
        if not self.stream.delta and any(one.kind is kinds.CDS for one in self.refused):
            return  # nobody knows which part of a refused response a client has applied
        view = self.connection.view() if self.connection else None
        for route, body in self.client.has(kinds.ROUTES).items():
            if view is None or view.snapshot.get(kinds.ROUTES, route) is None:
                continue  # a route table leaves with its listener, untold where that is the rule
            assert name not in uses(body), f"cluster {name} removed while {route} uses it"


def _pairs(refused: Refused) -> list[tuple[str, str]]:
    return [pair for group in refused.blamed for pair in group.items()]
