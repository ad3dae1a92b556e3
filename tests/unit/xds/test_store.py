"""The store: who is served what, who is woken, and what is told about proxies."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from controlplane.xds import kinds
from controlplane.xds.requests import Node
from controlplane.xds.store import Store
from tests.unit.xds.fake import FakeDelta, FakeSotw
from tests.unit.xds.link import Link
from tests.unit.xds.samples import GATEWAY, NODE, cluster, extension, listener, routes, snapshot
from tests.unit.xds.talk import TIMING

if TYPE_CHECKING:
    from controlplane.xds.status import ProxyState

LDS, RDS, ECDS = kinds.LISTENER, kinds.ROUTES, kinds.EXTENSION


@pytest.fixture
def store() -> Store:
    store = Store(clock=lambda: 100.0)
    store.open()
    return store


def join(store: Store, node: Node = NODE, *, delta: bool = True) -> Link:
    """A proxy that asks for listeners and one route table."""
    client = FakeDelta(node) if delta else FakeSotw(node)
    link = Link(store, client, delta=delta, timing=TIMING)
    client.want(LDS)
    client.want(RDS, "r")
    link.settle(0.0)
    return link


def only(store: Store) -> ProxyState:
    [proxy] = store.proxies()
    return proxy


class TestServing:
    def test_nothing_is_served_before_the_store_is_opened(self) -> None:
        """W13: else what was not read yet would be taken for removed."""
        store = Store()
        store.set(GATEWAY, snapshot(listener("l")))
        link = join(store)
        assert link.replies == []
        assert "not read all its sources" in only(store).waiting
        store.open()
        link.settle(0.0)
        assert link.client.has(LDS) == {"l": listener("l").body}
        assert only(store).waiting == ""

    def test_proxies_of_an_unknown_gateway_wait(self, store: Store) -> None:
        """They keep what they have; and the status says why."""
        link = join(store)
        assert link.replies == []
        assert "'shop/edge'" in only(store).waiting
        store.set(GATEWAY, snapshot(listener("l")))
        link.settle(0.0)
        assert link.client.has(LDS) == {"l": listener("l").body}

    def test_a_gateway_that_is_removed_takes_nothing_away(self, store: Store) -> None:
        """An empty inventory never wipes a running proxy."""
        store.set(GATEWAY, snapshot(listener("l")))
        link = join(store)
        store.remove(GATEWAY)
        link.settle(100.0)
        assert link.client.has(LDS) == {"l": listener("l").body}
        assert only(store).waiting != ""
        store.set(GATEWAY, snapshot(listener("m")))
        link.settle(200.0)
        assert link.client.has(LDS) == {"m": listener("m").body}

    def test_gateways_are_apart(self, store: Store) -> None:
        store.set(GATEWAY, snapshot(listener("l")))
        store.set("shop/other", snapshot(listener("m")))
        assert join(store).client.has(LDS) == {"l": listener("l").body}
        other = join(store, Node("p2", "shop/other"))
        assert other.client.has(LDS) == {"m": listener("m").body}
        assert store.gateways() == ("shop/edge", "shop/other")

    def test_a_slow_client_skips_what_was_replaced(self, store: Store) -> None:
        """W16: setting content waits for nobody, and the newest wins."""
        store.set(GATEWAY, snapshot(listener("l", "1")))
        link = join(store)
        for number in range(2, 100):
            store.set(GATEWAY, snapshot(listener("l", str(number))))
        link.settle(100.0)
        assert len([one for one in link.replies if one.kind is kinds.LDS]) == 2

    def test_a_stream_is_registered_before_it_asks(self, store: Store) -> None:
        """W14: content that is set in between wakes it."""
        woken: list[int] = []
        link = Link(store, FakeDelta(NODE), delta=True)
        connection = store.connect(NODE, link.stream, lambda: woken.append(1))
        assert connection.view() is None
        store.set(GATEWAY, snapshot())
        assert woken == [1]
        assert connection.view() is not None

    def test_only_proxies_of_the_gateway_are_woken(self, store: Store) -> None:
        woken: list[str] = []
        for gateway in ("shop/a", "shop/b"):
            link = Link(store, FakeDelta(NODE), delta=True)
            store.connect(Node(gateway, gateway), link.stream, partial(woken.append, gateway))
        store.set("shop/a", snapshot(listener("l")))
        assert woken == ["shop/a"]
        store.set("shop/a", snapshot(listener("l")))
        assert woken == ["shop/a"]


class TestStatus:
    @pytest.mark.parametrize("delta", [True, False])
    def test_a_proxy_in_sync(self, store: Store, *, delta: bool) -> None:
        content = snapshot(listener("l"), routes("r"))
        store.set(GATEWAY, content)
        join(store, delta=delta)
        proxy = only(store)
        assert (proxy.node_id, proxy.gateway, proxy.workers) == ("edge-1", GATEWAY, 2)
        assert proxy.agent == "envoy 1.36.0"
        state = proxy.types[RDS]
        assert state.in_sync
        assert state.sent == state.acked == state.wanted == content.version_of(RDS)
        assert state.nacked is None
        assert (state.subscribed, proxy.types[LDS].subscribed) == (1, -1)

    @pytest.mark.parametrize("delta", [True, False])
    def test_a_refusal_is_told_with_the_words_of_the_proxy(
        self, store: Store, *, delta: bool
    ) -> None:
        good = snapshot(listener("l"), routes("r"))
        store.set(GATEWAY, good)
        link = join(store, delta=delta)
        store.set(GATEWAY, snapshot(listener("l"), routes("r", "bad")))
        link.settle(100.0)
        state = only(store).types[RDS]
        assert state.nacked is not None
        assert state.nacked.message == "Error adding r: not liked"
        assert state.nacked.resources == ("r",)
        assert not state.in_sync
        assert state.acked == good.version_of(RDS)
        assert only(store).types[LDS].in_sync
        store.set(GATEWAY, snapshot(listener("l"), routes("r", "good again")))
        link.settle(200.0)
        assert only(store).types[RDS].nacked is None
        assert only(store).types[RDS].in_sync

    def test_the_refusal_is_told_after_a_reconnection(self, store: Store) -> None:
        """The proxy is sent the last good content, and still does not have the newest."""
        store.set(GATEWAY, snapshot(listener("l"), routes("r")))
        link = join(store)
        store.set(GATEWAY, snapshot(listener("l"), routes("r", "bad")))
        link.settle(100.0)
        link.close()
        again = Link(store, link.client, delta=True, timing=TIMING)
        link.client.restart()
        again.settle(200.0)
        assert link.client.has(RDS) == {"r": routes("r").body}
        assert link.client.refusals == 1
        state = only(store).types[RDS]
        assert state.nacked is not None
        assert not state.in_sync

    def test_delivery_of_one_resource(self, store: Store) -> None:
        """The ground for Programmed: every proxy has it, by its own word."""
        store.set(GATEWAY, snapshot(listener("l"), routes("r", "v1")))
        assert store.delivery(GATEWAY, RDS, "r").total == 0
        assert not store.delivery(GATEWAY, RDS, "r").complete
        first, second = join(store), join(store, Node("edge-2", GATEWAY))
        assert store.delivery(GATEWAY, RDS, "r").complete
        store.set(GATEWAY, snapshot(listener("l"), routes("r", "v2")))
        first.settle(100.0)
        delivery = store.delivery(GATEWAY, RDS, "r")
        assert (delivery.current, delivery.total) == (1, 2)
        assert delivery.wanted == routes("r", "v2").version
        second.settle(100.0)
        assert store.delivery(GATEWAY, RDS, "r").complete

    def test_delivery_of_a_refused_resource(self, store: Store) -> None:
        store.set(GATEWAY, snapshot(listener("l"), routes("r", "bad")))
        join(store)
        delivery = store.delivery(GATEWAY, RDS, "r")
        assert not delivery.complete
        assert delivery.refused["edge-1"].message == "Error adding r: not liked"
        assert store.delivery(GATEWAY, LDS, "l").complete

    def test_delivery_of_what_is_not_there(self, store: Store) -> None:
        delivery = store.delivery("no/such", RDS, "r")
        assert delivery.wanted is None
        assert not delivery.complete

    def test_a_version_that_a_proxy_brings_counts(self, store: Store) -> None:
        """After a restart of the control plane nothing is sent, and all is known."""
        store.set(GATEWAY, snapshot(listener("l"), routes("r")))
        link = join(store)
        link.close()
        later = Store()
        later.open()
        later.set(GATEWAY, snapshot(listener("l"), routes("r")))
        link.client.reconnect()
        again = Link(later, link.client, delta=True, timing=TIMING)
        again.settle(0.0)
        assert [one.resources for one in again.replies] == [()]  # the wildcard's due answer
        assert later.delivery(GATEWAY, RDS, "r").complete
        assert all(state.in_sync for state in only(later).types.values())
        # It is good content now, should the next be refused.
        later.set(GATEWAY, snapshot(listener("l"), routes("r", "bad")))
        again.settle(100.0)
        fresh = join(later, Node("edge-2", GATEWAY))
        assert fresh.client.has(RDS) == {"r": routes("r").body}

    def test_streams_of_one_proxy_are_counted(self, store: Store) -> None:
        """W15: two streams of one identity share their fate."""
        store.set(GATEWAY, snapshot(listener("l")))
        first, second = join(store), join(store)
        assert only(store).streams == 2
        first.close()
        assert only(store).streams == 1
        assert only(store).types[LDS].in_sync
        second.close()
        assert store.proxies() == ()

    def test_closing_twice_is_closing(self, store: Store) -> None:
        link = join(store)
        link.close()
        link.close()
        assert store.proxies() == ()


class TestChanges:
    def test_callbacks_hear_of_everything(self, store: Store) -> None:
        heard: list[str] = []
        end = store.on_change(lambda: heard.append("change"))
        store.set(GATEWAY, snapshot(listener("l"), routes("r", "bad")))
        assert len(heard) == 1
        link = join(store)
        after_join = len(heard)
        assert after_join >= 4  # connected, two confirmations, one refusal
        link.close()
        assert len(heard) == after_join + 1
        end()
        store.remove(GATEWAY)
        assert len(heard) == after_join + 1

    def test_a_callback_that_fails_harms_nobody(self, store: Store) -> None:
        def fail() -> None:
            raise RuntimeError("made up")

        store.on_change(fail)
        store.set(GATEWAY, snapshot(listener("l")))
        assert join(store).client.has(LDS) == {"l": listener("l").body}


class TestRetry:
    def test_refused_content_is_sent_once_more(self, store: Store) -> None:
        """On the same stream, without a change of content."""
        store.set(GATEWAY, snapshot(listener("l"), routes("r", "bad")))
        link = join(store)
        assert link.client.refusals == 1
        link.settle(1000.0)
        assert link.client.refusals == 1
        assert store.retry(GATEWAY)
        link.settle(2000.0)
        assert link.client.refusals == 2
        assert not store.retry("no/such")

    def test_content_that_had_a_substitute_is_sent_once_more(self, store: Store) -> None:
        store.set(GATEWAY, snapshot(listener("l"), routes("r", "v1")))
        link = join(store)
        store.set(GATEWAY, snapshot(listener("l"), routes("r", "bad")))
        link.settle(100.0)
        store.retry(GATEWAY)
        link.settle(200.0)
        assert link.client.refusals == 2
        assert link.client.has(RDS) == {"r": routes("r", "v1").body}


@pytest.mark.parametrize("delta", [True, False])
def test_an_edit_of_a_sale_is_one_extension(store: Store, *, delta: bool) -> None:
    """A FlashSale edit changes exactly one ECDS resource; nothing else is sent."""
    rest = (listener("l"), routes("r"), cluster("c"), extension("sluice.redis-bridge"))
    store.set(GATEWAY, snapshot(*rest, extension("sluice.flash-sale", "v1")))
    link = join(store, delta=delta)
    link.client.want(kinds.CLUSTER)
    link.client.want(ECDS, "sluice.flash-sale", "sluice.redis-bridge")
    link.settle(0.0)
    before = len(link.replies)
    store.set(GATEWAY, snapshot(*rest, extension("sluice.flash-sale", "v2")))
    link.settle(100.0)
    [reply] = link.replies[before:]
    assert reply.kind is kinds.ECDS
    assert reply.resources == (extension("sluice.flash-sale", "v2"),)


def test_last_good_content_keeps_its_clusters_for_a_new_proxy(store: Store) -> None:
    """A proxy that starts while routes are refused comes up with all that the old ones need."""
    store.set(GATEWAY, snapshot(listener("l"), routes("r", "to a"), cluster("a")))
    link = join(store)
    link.client.want(kinds.CLUSTER)
    link.settle(0.0)
    store.set(GATEWAY, snapshot(listener("l"), routes("r", "bad"), cluster("b")))
    link.settle(100.0)
    link.settle(1000.0)
    assert sorted(link.client.has(kinds.CLUSTER)) == ["a", "b"]
    fresh = join(store, Node("edge-2", GATEWAY))
    fresh.client.want(kinds.CLUSTER)
    fresh.settle(1000.0)
    assert sorted(fresh.client.has(kinds.CLUSTER)) == ["a", "b"]
    assert fresh.client.has(RDS) == {"r": routes("r", "to a").body}
    assert fresh.client.refusals == 0
