"""A conversation with one stream, for tests that speak the protocol word by word."""

from __future__ import annotations

from typing import TYPE_CHECKING

from controlplane.xds.ordering import Timing
from controlplane.xds.snapshot import Snapshot, View
from controlplane.xds.stream import Stream
from tests.unit.xds import samples
from tests.unit.xds.samples import NODE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from controlplane.xds.events import Event, Reply
    from controlplane.xds.kinds import Kind
    from controlplane.xds.requests import Request
    from controlplane.xds.resource import Resource

TIMING = Timing(hold=10.0, linger=1.0, retire=30.0)


class Talk:
    """One stream, its clock, and what was said last of each type.

    Every method gives the replies that it leads to.
    """

    def __init__(
        self,
        *resources: Resource,
        delta: bool,
        only: Kind | None = None,
        past: Mapping[tuple[str, str], Mapping[str, Resource]] | None = None,
    ) -> None:
        self.delta = delta
        self.now = 1000.0
        self.stream = Stream("t", delta=delta, only=only, timing=TIMING)
        self.last: dict[str, Reply] = {}
        self.names: dict[str, tuple[str, ...]] = {}
        self.versions: dict[str, str] = {}
        self._view = View(Snapshot.of(resources), serial=1, past=past or {})
        self._first = True

    def say(self, request: Request) -> list[Reply]:
        """A request as it is, with the node if it is the first."""
        if self._first and request.node is None:
            fields = {name: getattr(request, name) for name in request.__match_args__}
            request = type(request)(**{**fields, "node": NODE})
        self._first = False
        self.stream.receive(request)
        return self.replies()

    def aim(self, *resources: Resource, **options: object) -> list[Reply]:
        """New content."""
        self._view = View(Snapshot.of(resources), serial=self._view.serial + 1, **options)  # type: ignore[arg-type]
        return self.replies()

    def wait(self, seconds: float) -> list[Reply]:
        self.now += seconds
        return self.replies()

    def ask(self, url: str, *names: str, version: str = "", **options: object) -> list[Reply]:
        """A subscription: all names (state of the world) or additional ones (delta)."""
        self.names[url] = names
        if self.delta:
            return self.say(samples.delta(url, names, **options))  # type: ignore[arg-type]
        nonce = self.last[url].nonce if url in self.last else ""
        version = version or self.versions.get(url, "")
        return self.say(samples.sotw(url, names, nonce=nonce, version=version))

    def ack(self, reply: Reply) -> list[Reply]:
        """The client accepts."""
        self.versions[reply.kind.url] = reply.version
        return self._answer(reply, None)

    def nack(self, reply: Reply, message: str = "not liked") -> list[Reply]:
        """The client refuses."""
        return self._answer(reply, message)

    def ack_all(self, replies: Iterable[Reply]) -> None:
        """Accepts these, and all that follows from it."""
        for reply in replies:
            self.ack_all(self.ack(reply))

    def _answer(self, reply: Reply, error: str | None) -> list[Reply]:
        url = reply.kind.url
        if self.delta:
            return self.say(samples.delta(url, nonce=reply.nonce, error=error))
        names, version = self.names.get(url, ()), self.versions.get(url, "")
        return self.say(samples.sotw(url, names, nonce=reply.nonce, version=version, error=error))

    def replies(self) -> list[Reply]:
        """What the server says now."""
        self.stream.retarget(self._view)
        found = []
        while (reply := self.stream.next_reply(self.now)) is not None:
            self.last[reply.kind.url] = reply
            found.append(reply)
        return found

    def events(self) -> list[Event]:
        return self.stream.take_events()


def listed(replies: Iterable[Reply]) -> list[tuple[str, list[str], list[str]]]:
    """Type, resource names and removed names of each reply: what most tests are about."""
    return [
        (one.kind.short, sorted(r.name for r in one.resources), sorted(one.removed))
        for one in replies
    ]
