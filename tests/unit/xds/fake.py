"""Clients by the letter of the protocol, and a link to the state machine without a network.

The clients behave like Envoy where it matters: they apply the good clusters and listeners of a
response that they refuse, keep what they have when a stream ends, and name it on the next one.
They check what they are sent, down to the bytes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from controlplane.xds import discovery_pb2, kinds
from controlplane.xds.requests import DeltaRequest, Node, Request, SotwRequest
from tests.unit.xds.samples import name_of

if TYPE_CHECKING:
    from collections.abc import Callable


BAD = b"bad"
Content = dict[str, bytes]


@dataclass
class Interest:
    """What a client wants of one type, and what it has."""

    url: str
    names: set[str] = field(default_factory=set)
    wildcard: bool = False
    legacy: bool = False
    started: bool = False
    nonce: str = ""
    version: str = ""
    has: Content = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    missing: set[str] = field(default_factory=set)

    def wants(self, name: str) -> bool:
        return self.wildcard or name in self.names

    def drop_unwanted(self) -> None:
        for name in [name for name in self.has if not self.wants(name)]:
            self.has.pop(name)
            self.versions.pop(name, None)

    @property
    def listed_at_all(self) -> bool:
        return self.wildcard or bool(self.names)

    @property
    def listed(self) -> list[str]:
        star = ["*"] if self.wildcard and not self.legacy else []
        return star + sorted(self.names)


class FakeClient(ABC):
    """One proxy; it outlives its streams."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.interests: dict[str, Interest] = {}
        self.outbox: deque[Request] = deque()
        self.names_culprits = True  # whether a refusal names what is wrong
        self.warming: set[str] = set()  # endpoints that a new or changed cluster waits for
        self.refusals = 0
        self.received = 0
        self.on_removed: Callable[[str, str], None] = lambda _url, _name: None
        self._first = True

    def interest(self, url: str) -> Interest:
        return self.interests.setdefault(url, Interest(url))

    def has(self, url: str) -> Content:
        return self.interest(url).has

    def _node(self) -> Node | None:
        """On the first request of a stream only (S1)."""
        first, self._first = self._first, False
        return self.node if first else None

    @abstractmethod
    def want(self, url: str, *names: str) -> None:
        """Subscribes, also to "*"; without names: in the legacy way to everything."""

    @abstractmethod
    def leave(self, url: str, *names: str) -> None:
        """Unsubscribes."""

    @abstractmethod
    def receive(self, data: bytes) -> None:
        """Takes a response and answers it."""

    @abstractmethod
    def reconnect(self) -> None:
        """Begins a new stream, telling what it has."""

    def restart(self) -> None:
        """Begins a new stream with nothing but its subscriptions."""
        for interest in self.interests.values():
            interest.has.clear()
            interest.versions.clear()
            interest.version = ""
        self.warming.clear()
        self.reconnect()

    def _begin(self) -> None:
        self._first = True
        self.outbox.clear()
        for interest in self.interests.values():
            interest.nonce = ""
            interest.missing.clear()
            # A legacy client goes back to the empty list on a new stream.
            interest.started = False

    def _judge(self, interest: Interest, contents: Content) -> list[str]:
        """Applies what can be applied; gives the names that it refuses."""
        bad = [name for name, body in contents.items() if BAD in body]
        for name, body in contents.items():
            if name in bad:
                if interest.url in {kinds.CLUSTER, kinds.LISTENER}:
                    continue
                break
            if interest.wants(name):
                if interest.url == kinds.CLUSTER and interest.has.get(name) != body:
                    self._warm(body)
                interest.has[name] = body
                interest.missing.discard(name)
            if interest.url == kinds.ENDPOINTS:
                self.warming.discard(name)
        self.refusals += bool(bad)
        return bad

    def _warm(self, body: bytes) -> None:
        message = discovery_pb2.Cluster.FromString(body)
        name = message.eds_cluster_config.service_name or message.name
        if message.type and name in self.interest(kinds.ENDPOINTS).names:
            self.warming.add(name)

    def _error(self, bad: list[str]) -> str | None:
        if not bad:
            return None
        return f"Error adding {', '.join(bad)}: not liked" if self.names_culprits else "not liked"


class FakeSotw(FakeClient):
    """A state-of-the-world client."""

    def want(self, url: str, *names: str) -> None:
        interest = self.interest(url)
        if names:
            interest.legacy = False
        else:
            interest.legacy = interest.wildcard = True
        interest.wildcard |= "*" in names
        interest.names |= set(names) - {"*"}
        self._ask(interest)

    def leave(self, url: str, *names: str) -> None:
        interest = self.interest(url)
        if interest.legacy:
            return  # an empty list goes on to mean everything: it cannot be said
        interest.names -= set(names)
        if "*" in names:
            interest.wildcard = False
            interest.version = ""  # stands for all that it had
        interest.drop_unwanted()
        self.warming &= self.interest(kinds.ENDPOINTS).names
        self._ask(interest)

    def reconnect(self) -> None:
        self._begin()
        for interest in self.interests.values():
            if interest.started or interest.names or interest.wildcard:
                self._ask(interest)

    def _ask(self, interest: Interest, error: str | None = None) -> None:
        interest.started = True
        listed = tuple(interest.listed)
        self.outbox.append(
            SotwRequest(interest.url, interest.nonce, error, self._node(), listed, interest.version)
        )

    def receive(self, data: bytes) -> None:
        self.received += 1
        message = discovery_pb2.DiscoveryResponse.FromString(data)
        interest = self.interest(message.type_url)
        contents = _named(message)
        bad = self._judge(interest, contents)
        interest.nonce = message.nonce
        if kinds.BY_URL[message.type_url].whole:
            for name in [name for name in interest.has if name not in contents]:
                interest.has.pop(name)
                self.on_removed(interest.url, name)
        if not bad:
            # A version that it names later stands for all that was in the response.
            kept = interest.wildcard or all(interest.wants(name) for name in contents)
            interest.version = message.version_info if kept and interest.listed_at_all else ""
        self._ask(interest, self._error(bad))


class FakeDelta(FakeClient):
    """A delta client."""

    def want(self, url: str, *names: str) -> None:
        interest = self.interest(url)
        if names:
            interest.legacy = False
        else:
            interest.legacy = interest.wildcard = True
        interest.wildcard |= "*" in names
        interest.names |= set(names) - {"*"}
        if interest.started:
            self._tell(interest, subscribe=names)
        else:
            self._first_request(interest)

    def leave(self, url: str, *names: str) -> None:
        interest = self.interest(url)
        interest.names -= set(names)
        if "*" in names:
            interest.wildcard = interest.legacy = False
        interest.drop_unwanted()
        interest.missing -= set(names)
        self.warming &= self.interest(kinds.ENDPOINTS).names
        self._tell(interest, unsubscribe=names)

    def reconnect(self) -> None:
        self._begin()
        for interest in self.interests.values():
            if interest.names or interest.wildcard:
                self._first_request(interest)

    def _first_request(self, interest: Interest) -> None:
        interest.started = True
        self.outbox.append(
            DeltaRequest(
                interest.url,
                node=self._node(),
                subscribe=tuple(interest.listed),
                initial=dict(interest.versions),
            )
        )

    def _tell(
        self,
        interest: Interest,
        subscribe: tuple[str, ...] = (),
        unsubscribe: tuple[str, ...] = (),
        nonce: str = "",
        error: str | None = None,
    ) -> None:
        interest.started = True
        self.outbox.append(
            DeltaRequest(interest.url, nonce, error, self._node(), subscribe, unsubscribe)
        )

    def receive(self, data: bytes) -> None:
        self.received += 1
        message = discovery_pb2.DeltaDiscoveryResponse.FromString(data)
        interest = self.interest(message.type_url)
        names = [one.name for one in message.resources]
        # D7: no name twice, here or there.
        listed = names + list(message.removed_resources)
        assert len(listed) == len(set(listed)), f"a name twice in {listed}"
        contents = {}
        for one in message.resources:
            assert one.resource.type_url == message.type_url
            contents[one.name] = one.resource.value
        bad = self._judge(interest, contents)
        for one in message.resources:
            if interest.has.get(one.name) == one.resource.value:
                interest.versions[one.name] = one.version
        for name in message.removed_resources:
            interest.versions.pop(name, None)
            if interest.has.pop(name, None) is not None:
                self.on_removed(interest.url, name)
            interest.missing.add(name)
        self._tell(interest, nonce=message.nonce, error=self._error(bad))


def _named(message: discovery_pb2.DiscoveryResponse) -> Content:
    """The resources by the name that the samples put where Envoy's types have theirs."""
    found: Content = {}
    for one in message.resources:
        assert one.type_url == message.type_url, "S16: another type inside"
        name = name_of(one.type_url, one.value)
        assert name not in found, f"S16: {name} twice"
        found[name] = one.value
    return found
