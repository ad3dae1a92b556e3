"""Order between types: make before break, and endpoints for clusters that changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from controlplane.xds import kinds
from tests.unit.xds import samples
from tests.unit.xds.samples import cluster, endpoints, extension, listener, routes, secret
from tests.unit.xds.talk import TIMING, Talk, listed

if TYPE_CHECKING:
    from controlplane.xds.resource import Resource

CDS, EDS, SDS, ECDS = kinds.CLUSTER, kinds.ENDPOINTS, kinds.SECRET, kinds.EXTENSION
LDS, RDS = kinds.LISTENER, kinds.ROUTES

both = pytest.mark.parametrize("delta", [True, False], ids=["delta", "sotw"])

OLD = (
    cluster("old"),
    endpoints("old"),
    secret("s"),
    extension("x"),
    listener("l"),
    routes("r", "to old"),
)
NEW = (
    cluster("new"),
    endpoints("new"),
    secret("s", "v2"),
    extension("x", "v2"),
    listener("l", "v2"),
    routes("r", "to new"),
)


def running(*resources: Resource, delta: bool) -> Talk:
    """A proxy that has all of it."""
    talk = Talk(*resources, delta=delta)
    talk.ack_all(talk.ask(CDS))
    talk.ack_all(talk.ask(EDS, *[one.name for one in resources if one.type_url == EDS]))
    talk.ack_all(talk.ask(SDS, "s"))
    talk.ack_all(talk.ask(ECDS, "x"))
    talk.ack_all(talk.ask(LDS))
    talk.ack_all(talk.ask(RDS, "r"))
    talk.wait(60)
    return talk


@both
def test_what_is_referred_to_comes_first(*, delta: bool) -> None:
    """W1: CDS, EDS, SDS, ECDS, LDS, RDS; listeners and routes after the answers to the others."""
    talk = running(*OLD, delta=delta)
    first = talk.aim(*OLD[:1], *NEW)
    assert [one.kind.short for one in first] == ["CDS", "SDS", "ECDS"]
    later = [reply for one in first for reply in talk.ack(one)]
    assert [one.kind.short for one in later] == ["LDS"]
    assert [one.kind.short for one in talk.ack(later[0])] == ["RDS"]


@both
def test_clusters_leave_after_the_routes_that_used_them(*, delta: bool) -> None:
    """W1: removal is a second push, after the routes were confirmed."""
    talk = running(*OLD, delta=delta)
    replies = talk.aim(*NEW)
    cds = replies[0]
    assert listed([cds]) == [("CDS", ["new"] if delta else ["new", "old"], [])]
    talk.ack_all(replies)
    assert talk.last[RDS].resources == (routes("r", "to new"),)
    [removal] = talk.wait(TIMING.linger)
    assert listed([removal]) == [("CDS", [], ["old"]) if delta else ("CDS", ["new"], [])]


@both
def test_requests_on_their_way_have_a_moment(*, delta: bool) -> None:
    """W1: a request that a filter holds has chosen its cluster before the routes changed."""
    talk = running(*OLD, delta=delta)
    talk.ack_all(talk.aim(*NEW))
    assert talk.wait(TIMING.linger / 2) == []
    assert talk.stream.deadline() == talk.now + TIMING.linger / 2


@both
def test_a_cluster_that_nothing_uses_leaves_at_once(*, delta: bool) -> None:
    """W1: with listeners and routes long at rest there is nothing to wait for."""
    talk = running(*OLD, cluster("spare"), delta=delta)
    [removal] = talk.aim(*OLD)
    assert listed([removal]) == [("CDS", [], ["spare"]) if delta else ("CDS", ["old"], [])]


@both
def test_a_proxy_that_does_not_answer_delays_removal_but_for_a_time(*, delta: bool) -> None:
    """W1: the wait is bounded."""
    talk = running(*OLD, delta=delta)
    replies = talk.aim(cluster("new"), *OLD[2:5], routes("r", "to new"))
    while replies:
        replies = [more for one in replies if one.kind is not kinds.RDS for more in talk.ack(one)]
    assert talk.last[RDS].resources == (routes("r", "to new"),)
    assert talk.wait(TIMING.retire - 1) == []
    [removal, *_] = talk.wait(1)
    assert listed([removal]) == [("CDS", [], ["old"]) if delta else ("CDS", ["new"], [])]


@both
def test_a_refused_route_keeps_its_cluster(*, delta: bool) -> None:
    """W1: the old routes are in force, for as long as the new ones are not mended."""
    talk = running(*OLD, delta=delta)
    replies = talk.aim(cluster("new"), *OLD[2:5], routes("r", "bad"))
    while replies:
        replies = [
            more
            for one in replies
            for more in (talk.nack(one) if one.kind is kinds.RDS else talk.ack(one))
        ]
    assert talk.wait(100 * TIMING.retire) == []
    mended = talk.aim(cluster("new"), *OLD[2:5], routes("r", "to new"))
    assert listed(mended) == [("RDS", ["r"], [])]
    talk.ack_all(mended)
    assert len(talk.wait(TIMING.linger)) >= 1


@both
def test_without_listeners_removal_waits_its_full_time(*, delta: bool) -> None:
    """W1: a stream for clusters alone cannot know what uses them."""
    talk = Talk(cluster("a"), cluster("b"), delta=delta, only=kinds.CDS)
    talk.ack_all(talk.ask(CDS))
    assert talk.aim(cluster("a")) == []
    assert talk.stream.deadline() == talk.now + TIMING.retire
    assert len(talk.wait(TIMING.retire)) == 1


def test_on_a_reconnection_old_clusters_wait_for_the_routes() -> None:
    """W1, D5: what the client lists and is no more is in use until the routes have come."""
    talk = Talk(cluster("new"), listener("l"), routes("r", "to new"), delta=True)
    [first] = talk.ask(CDS, initial={"old": cluster("old").version})
    assert listed([first]) == [("CDS", ["new"], [])]
    talk.ack_all(talk.ask(LDS, initial={"l": listener("l").version}))
    talk.ack_all(talk.ask(RDS, "r", initial={"r": routes("r", "to old").version}))
    talk.ack_all([first])
    talk.ack_all(talk.replies())
    talk.wait(0)
    assert listed(talk.wait(TIMING.linger)) == [("CDS", [], ["old"])]


@both
def test_listeners_wait_for_clusters_but_for_a_time(*, delta: bool) -> None:
    """W1, W4: a cluster that never becomes ready must not stop the world."""
    talk = running(*OLD, delta=delta)
    replies = talk.aim(cluster("never ready"), *OLD, listener("m"))
    assert [one.kind.short for one in replies] == ["CDS"]
    assert talk.stream.deadline() == talk.now + TIMING.hold
    assert talk.wait(TIMING.hold - 0.1) == []
    assert [one.kind.short for one in talk.wait(0.1)] == ["LDS"]


@both
def test_endpoints_do_not_wait_for_clusters(*, delta: bool) -> None:
    """W2: the client confirms clusters after their endpoints: waiting would be a deadlock."""
    talk = running(*OLD, delta=delta)
    [cds] = talk.aim(*OLD, cluster("new"), endpoints("new"))
    assert listed(talk.ask(EDS, "old", "new")) == [
        ("EDS", ["new", "old"] if delta else ["new"], [])
    ]
    talk.ack_all([talk.last[EDS], cds])


@both
def test_several_changes_of_clusters_need_one_answer(*, delta: bool) -> None:
    """W2, W5: while clusters are warming, newer content waits, and only the newest is sent."""
    talk = running(*OLD, delta=delta)
    [cds, *_] = talk.aim(*OLD, cluster("new", "v1"))
    for text in ("v2", "v3", "v4"):
        assert talk.aim(*OLD, cluster("new", text)) == []
    [newest, *_] = talk.ack(cds)
    assert cluster("new", "v4") in newest.resources


@both
def test_a_changed_cluster_gets_its_endpoints_again(*, delta: bool) -> None:
    """W3: although they did not change; after the cluster, and by name."""
    talk = running(*OLD, delta=delta)
    replies = talk.aim(cluster("old", "v2"), *OLD[1:])
    assert listed(replies) == [("CDS", ["old"], []), ("EDS", ["old"], [])]
    talk.ack_all(replies)
    assert talk.wait(60) == []


@both
def test_only_the_changed_cluster_gets_its_endpoints_again(*, delta: bool) -> None:
    """W3: also where a full list of clusters is sent."""
    more = (cluster("b"), endpoints("b"))
    talk = running(*OLD, *more, delta=delta)
    replies = talk.aim(cluster("old", "v2"), *OLD[1:], *more)
    assert listed(replies)[1] == ("EDS", ["old"], [])


@both
def test_endpoints_under_another_name(*, delta: bool) -> None:
    """W3: what counts is under which name the cluster asks."""
    before = cluster("c", "v1", endpoints="shared")
    after = cluster("c", "v2", endpoints="shared")
    rest = (endpoints("shared"), *OLD[2:])
    talk = running(before, *rest, delta=delta)
    assert listed(talk.aim(after, *rest)) == [("CDS", ["c"], []), ("EDS", ["shared"], [])]


@both
def test_a_cluster_without_endpoints_of_its_own(*, delta: bool) -> None:
    """W3: is none of the endpoints' business."""
    rest = OLD[1:]
    talk = running(samples.static_cluster("old"), *rest, delta=delta)
    assert listed(talk.aim(samples.static_cluster("old", "v2"), *rest)) == [("CDS", ["old"], [])]


def test_endpoints_that_an_earlier_stream_brought_are_sent_for_a_changed_cluster() -> None:
    """W3, D5: the version is equal, and the cluster waits all the same."""
    talk = Talk(cluster("c", "v2"), endpoints("c"), delta=True)
    talk.ask(CDS, initial={"c": cluster("c", "v1").version})
    replies = talk.ask(EDS, "c", initial={"c": endpoints("c").version})
    assert listed(replies) == [("EDS", ["c"], [])]


@both
def test_unchanged_content_is_not_pushed(*, delta: bool) -> None:
    """W5: a new snapshot with equal content is no news."""
    talk = running(*OLD, delta=delta)
    assert talk.aim(*reversed(OLD)) == []


@both
def test_an_edit_of_a_sale_sends_one_extension_and_nothing_else(*, delta: bool) -> None:
    """W10: names are stable, parameters live in the extension, and it waits for nobody."""
    talk = running(*OLD, delta=delta)
    [warming, *_] = talk.aim(*OLD, cluster("warming"))
    edited = [extension("x", "v2") if one.type_url == ECDS else one for one in OLD]
    replies = talk.aim(*edited, cluster("warming"))
    assert listed(replies) == [("ECDS", ["x"], [])]
    talk.ack_all([*replies, warming])


@both
def test_endpoints_of_a_cluster_that_stays_for_now(*, delta: bool) -> None:
    """W1: endpoints leave after their cluster, where their absence is told at all."""
    talk = running(*OLD, delta=delta)
    talk.ack_all(talk.aim(*NEW))
    assert talk.last[EDS].removed == ()
    [removal] = talk.wait(TIMING.linger)  # the cluster goes
    replies = talk.ack(removal)
    assert listed(replies) == ([("EDS", [], ["old"])] if delta else [])


def test_routes_leave_after_their_listener() -> None:
    """S11, W1: a route table that a listener still asks for is not taken away."""
    talk = running(*OLD, delta=True)
    replies = talk.aim(*[one for one in OLD if one.type_url not in {LDS, RDS}])
    assert listed(replies) == [("LDS", [], ["l"])]
    talk.ack_all(replies)
    assert listed(talk.wait(TIMING.linger)) == [("RDS", [], ["r"])]


def test_a_deadline_is_never_in_the_past() -> None:
    """Else whoever drives the stream would spin."""
    talk = Talk(*OLD, delta=True)
    talk.ask(CDS)
    talk.aim(*NEW)
    for _ in range(20):
        deadline = talk.stream.deadline()
        assert deadline is None or deadline > talk.now
        talk.wait(3)
