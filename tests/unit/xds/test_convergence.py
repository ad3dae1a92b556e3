"""Random interleavings of all that can happen, in both variants, against the fake clients.

Two proxies of one gateway subscribe, unsubscribe, refuse, go away and come back while the content
changes under them. On the way nothing forbidden may be sent; once everything has arrived, each
proxy has what it is to have, and there is silence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import Phase, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from controlplane.xds import kinds
from controlplane.xds.requests import DeltaRequest, Node, Request, SotwRequest
from controlplane.xds.snapshot import Snapshot
from controlplane.xds.store import Store
from tests.unit.xds import samples
from tests.unit.xds.fake import BAD, FakeClient, FakeDelta, FakeSotw
from tests.unit.xds.samples import GATEWAY
from tests.unit.xds.watched import TIMING, Watched

if TYPE_CHECKING:
    from controlplane.xds.resource import Resource

NAMES = ("a", "b", "c")
URLS = tuple(kinds.BY_URL)
WHOLE = tuple(kind.url for kind in kinds.KINDS if kind.whole)
MAKERS = {
    kinds.ENDPOINTS: samples.endpoints,
    kinds.SECRET: samples.secret,
    kinds.EXTENSION: samples.extension,
    kinds.LISTENER: samples.listener,
}

names = st.sets(st.sampled_from(NAMES), min_size=1)
urls = st.sampled_from(URLS)
who = st.sampled_from([0, 1])


edits = st.lists(
    st.tuples(
        urls,
        st.sampled_from(NAMES),
        st.sampled_from(["v1", "v2", "v3", "bad1", "bad2", None]),
        st.sampled_from([(), ("a",), ("b",), ("a", "b"), ("b", "c")]),
    ),
    min_size=1,
    max_size=6,
)
Edits = list[tuple[str, str, str | None, tuple[str, ...]]]


class Content:
    """What the user wrote; consistent whatever is edited: routes use clusters that exist."""

    def __init__(self) -> None:
        self.texts: dict[tuple[str, str], tuple[str, tuple[str, ...]]] = {}

    def edit(self, changes: Edits) -> Snapshot:
        for url, name, text, used in changes:
            if text is None:
                self.texts.pop((url, name), None)
            else:
                self.texts[url, name] = (text, used)
        return Snapshot.of(self.resource(url, name) for url, name in self.texts)

    def resource(self, url: str, name: str) -> Resource:
        text, used = self.texts[url, name]
        if url == kinds.ROUTES:
            there = [one for one in used if (kinds.CLUSTER, one) in self.texts]
            return samples.routes(name, f"{text} uses:{','.join(there)}")
        if url == kinds.CLUSTER:
            return samples.cluster(name, text)
        return MAKERS[url](name, text)


class Machine(RuleBasedStateMachine):
    """Two proxies, one gateway."""

    delta = True

    def __init__(self) -> None:
        super().__init__()
        self.now = 100.0
        self.store = Store(clock=lambda: self.now)
        make = FakeDelta if self.delta else FakeSotw
        self.clients: list[FakeClient] = [make(Node(f"p{n}", GATEWAY)) for n in range(2)]
        self.links = [self.link(client) for client in self.clients]

    def link(self, client: FakeClient) -> Watched:
        return Watched(self.store, client, delta=self.delta)

    @initialize(opened=st.booleans(), first=edits)
    def begin(self, opened: bool, first: Edits) -> None:  # noqa: FBT001
        self.content = Content()
        if opened:
            self.store.open()
            self.publish(first)

    @rule(changes=edits)
    def publish(self, changes: Edits) -> None:
        self.store.set(GATEWAY, self.content.edit(changes))
        for link in self.links:
            link.see_changes()

    @rule(n=who, url=urls, which=names)
    def want(self, n: int, url: str, which: set[str]) -> None:
        self.clients[n].want(url, *sorted(which))

    @rule(n=who, url=st.sampled_from(WHOLE))
    def want_all(self, n: int, url: str) -> None:
        self.clients[n].want(url, "*")

    @rule(n=who)
    def like_envoy(self, n: int) -> None:
        for url in WHOLE:
            if not self.clients[n].interest(url).started:
                self.clients[n].want(url)
        self.clients[n].want(kinds.ENDPOINTS, *NAMES)
        self.clients[n].want(kinds.ROUTES, *NAMES)

    @rule(n=who, url=urls, which=names)
    def leave(self, n: int, url: str, which: set[str]) -> None:
        if self.clients[n].interest(url).started:
            self.clients[n].leave(url, *sorted(which))

    @rule(n=who, url=st.sampled_from(WHOLE))
    def leave_all(self, n: int, url: str) -> None:
        if self.clients[n].interest(url).started:
            self.clients[n].leave(url, "*")

    @rule(n=who, named=st.booleans())
    def change_manners(self, n: int, named: bool) -> None:  # noqa: FBT001
        self.clients[n].names_culprits = named

    @rule(n=who)
    def deliver(self, n: int) -> None:
        self.links[n].deliver()

    @rule(n=who)
    def push(self, n: int) -> None:
        self.links[n].push(self.now)

    @rule(n=who)
    def read(self, n: int) -> None:
        self.links[n].read()

    @rule(seconds=st.sampled_from([0.1, 0.5, 2.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(n=who, nonce=st.sampled_from(["", "s0-1", "nonsense"]))
    def stale(self, n: int, nonce: str) -> None:
        """S3, D1: an answer to something that was never sent."""
        client = self.clients[n]
        for url, interest in client.interests.items():
            if interest.started and not client._first:
                request: Request = (
                    DeltaRequest(url, nonce, None if nonce == "" else "late")
                    if self.delta
                    else SotwRequest(url, nonce, None, None, tuple(interest.listed))
                )
                client.outbox.append(request)
                return

    @rule(n=who, forget=st.booleans())
    def reconnect(self, n: int, forget: bool) -> None:  # noqa: FBT001
        self.links[n].close()
        client = self.clients[n]
        if forget:
            client.restart()
        else:
            client.reconnect()
        self.links[n] = self.link(client)
        # Without names, a new state-of-the-world stream cannot tell what it may lose.
        self.links[n].checked_order = self.delta or forget

    @precondition(lambda self: not self.store.opened)
    @rule()
    def open(self) -> None:
        self.store.open()

    @rule()
    def settle(self) -> None:
        """Everything arrives: then all are in sync, and it is quiet."""
        for _ in range(4):
            for _ in range(120):
                moved = [self.step(link) for link in self.links]
                if not any(moved):
                    break
            else:
                last = [link.replies[-3:] for link in self.links]
                raise AssertionError(f"no rest: {last}")
            self.now += 2 * TIMING.linger
        for link in self.links:
            if link.connection is not None:
                self.check_content(link)

    def step(self, link: Watched) -> bool:
        moved = link.deliver()
        moved |= link.push(self.now)
        moved |= link.read()
        return moved

    def check_content(self, link: Watched) -> None:
        assert link.connection is not None
        view = link.connection.view()
        if view is None:
            assert not link.replies or self.store.opened
            return
        for url, interest in link.client.interests.items():
            wanted = {
                name: one.body
                for name, one in view.snapshot.of_type(url).items()
                if interest.wants(name)
            }
            for name, body in wanted.items():
                if BAD not in body and not self.is_parked(link, url, name):
                    assert interest.has.get(name) == body, f"{url} {name}"
            for name, body in interest.has.items():
                assert BAD not in body
                assert interest.wants(name)
                assert name in wanted or self.may_stay(link, url, name), f"{url} {name}"
        assert not {
            name
            for name in link.client.warming
            if name in view.snapshot.of_type(kinds.ENDPOINTS)
            and BAD not in view.snapshot.of_type(kinds.ENDPOINTS)[name].body
            and not self.is_parked(link, kinds.ENDPOINTS, name)
        }, "W3: a cluster waits for its endpoints"

    def is_parked(self, link: Watched, url: str, name: str) -> bool:
        """Suspects that were refused together with a bad one wait for the fix of that one."""
        state = link.stream._types.get(url)
        return state is not None and state.parking.holds_any([name])

    def may_stay(self, link: Watched, url: str, name: str) -> bool:
        kind = kinds.BY_URL[url]
        if self.delta and not kind.removable:
            return True
        if not self.delta and not kind.whole:
            return True
        # Bounded by `retire` only, which never comes here.
        return url in {kinds.CLUSTER, kinds.ENDPOINTS, kinds.ROUTES} or self.is_parked(
            link, url, name
        )

    def teardown(self) -> None:
        self.settle()
        if self.store.opened and self.store.snapshot(GATEWAY) is not None:
            self.mend()

    def mend(self) -> None:
        """After all content is good, both proxies have all of it, and nothing else."""
        good = Snapshot.of(
            make(name, "good")
            for make in (*MAKERS.values(), samples.cluster, samples.routes)
            for name in NAMES[:2]
        )
        self.store.set(GATEWAY, good)
        for client in self.clients:
            for url in WHOLE:
                client.want(url, "*")
        self.settle()
        for link in self.links:
            for url, interest in link.client.interests.items():
                removable = url in WHOLE or (self.delta and kinds.BY_URL[url].removable)
                for name in NAMES:
                    expected = good.get(url, name) if interest.wants(name) else None
                    if expected or removable:
                        body = expected.body if expected else None
                        assert interest.has.get(name) == body, f"{url} {name}"
            for state in self.store.proxies():
                for url, told in state.types.items():
                    assert told.in_sync, url
                    assert told.nacked is None


class DeltaMachine(Machine):
    """The delta variant."""

    delta = True


class SotwMachine(Machine):
    """The state-of-the-world variant."""

    delta = False


TestDelta = DeltaMachine.TestCase
TestSotw = SotwMachine.TestCase
TestDelta.settings = TestSotw.settings = settings(
    settings.get_profile("sluice"),
    max_examples=300,
    stateful_step_count=40,
    derandomize=True,  # the same on every run; change it to look for more
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
)
