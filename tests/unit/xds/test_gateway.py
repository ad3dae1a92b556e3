"""What is served after a refusal: the last good content, and to whom."""

from __future__ import annotations

import pytest

from controlplane.xds import kinds
from controlplane.xds.events import Refused
from controlplane.xds.gateway import Gateway
from tests.unit.xds.samples import cluster, endpoints, extension, listener, routes, snapshot

CDS, ECDS, LDS, RDS = kinds.CLUSTER, kinds.EXTENSION, kinds.LISTENER, kinds.ROUTES


def refused(*resources: object, message: str = "no") -> Refused:
    [kind] = {kinds.BY_URL[one.type_url] for one in resources}  # type: ignore[attr-defined]
    group = {one.name: one.version for one in resources}  # type: ignore[attr-defined]
    return Refused(kind, "v", message, (group,))


@pytest.fixture
def gateway() -> Gateway:
    """One whose proxy p1 took good content and refused the next."""
    gateway = Gateway()
    gateway.publish(snapshot(routes("r", "good"), cluster("c")), now=1.0)
    gateway.accept("p1", [routes("r", "good"), cluster("c")], serial=1)
    gateway.publish(snapshot(routes("r", "bad"), cluster("c")), now=2.0)
    gateway.refuse("p1", refused(routes("r", "bad")))
    return gateway


def test_without_refusals_all_proxies_share_one_view() -> None:
    gateway = Gateway()
    gateway.publish(snapshot(routes("r")), now=1.0)
    assert gateway.view("p1") is gateway.view("p2")
    assert gateway.view("p1").snapshot is gateway.wanted


def test_equal_content_is_no_news() -> None:
    gateway = Gateway()
    assert gateway.publish(snapshot(routes("r")), now=1.0)
    assert not gateway.publish(snapshot(routes("r")), now=2.0)
    assert gateway.serial == 1


def test_the_empty_snapshot_is_news_at_first() -> None:
    assert Gateway().publish(snapshot(), now=1.0)


def test_the_proxy_itself_gets_the_last_good_content(gateway: Gateway) -> None:
    assert gateway.view("p1").snapshot.get(RDS, "r") == routes("r", "good")


def test_other_proxies_get_the_last_good_content(gateway: Gateway) -> None:
    """One that starts now would come up without the resource."""
    assert gateway.view("new").snapshot.get(RDS, "r") == routes("r", "good")


def test_changed_content_is_served_to_all(gateway: Gateway) -> None:
    gateway.publish(snapshot(routes("r", "mended"), cluster("c")), now=3.0)
    assert gateway.view("p1").snapshot.get(RDS, "r") == routes("r", "mended")
    assert gateway.refusals == []


def test_content_that_another_proxy_took_is_good(gateway: Gateway) -> None:
    """Only who refuses it keeps the old."""
    assert gateway.accept("p2", [routes("r", "bad")], serial=2)
    assert gateway.view("new").snapshot.get(RDS, "r") == routes("r", "bad")
    assert gateway.view("p1").snapshot.get(RDS, "r") == routes("r", "good")


def test_content_that_was_taken_before_it_was_refused_stays_good() -> None:
    gateway = Gateway()
    gateway.publish(snapshot(routes("r", "v1")), now=1.0)
    gateway.accept("p1", [routes("r", "v1")], serial=1)
    gateway.refuse("p2", refused(routes("r", "v1")))
    assert gateway.view("new").snapshot.get(RDS, "r") == routes("r", "v1")


def test_where_nothing_good_is_known_the_content_stays() -> None:
    """A resource that is missing altogether helps no one."""
    gateway = Gateway()
    gateway.publish(snapshot(routes("r", "bad")), now=1.0)
    gateway.refuse("p1", refused(routes("r", "bad")))
    assert gateway.view("new").snapshot.get(RDS, "r") == routes("r", "bad")


def test_a_late_confirmation_of_older_content_is_not_the_last_good() -> None:
    gateway = Gateway()
    for serial, text in enumerate(("v1", "v2", "bad"), start=1):
        gateway.publish(snapshot(routes("r", text)), now=float(serial))
    gateway.accept("p1", [routes("r", "v2")], serial=2)
    gateway.accept("p2", [routes("r", "v1")], serial=1)
    gateway.refuse("p1", refused(routes("r", "bad")))
    assert gateway.view("p3").snapshot.get(RDS, "r") == routes("r", "v2")


def test_what_an_older_route_refers_to_stays_with_it() -> None:
    """The newest content has the old cluster no more, and the old routes need it."""
    gateway = Gateway()
    old = (routes("r", "to old"), cluster("old"), endpoints("old"), listener("l"))
    gateway.publish(snapshot(*old), now=1.0)
    gateway.accept("p1", old, serial=1)
    new = (routes("r", "bad"), cluster("new"), endpoints("new"), listener("l"))
    gateway.publish(snapshot(*new), now=2.0)
    gateway.accept("p1", [cluster("new"), endpoints("new")], serial=2)
    gateway.refuse("p1", refused(routes("r", "bad")))
    served = gateway.view("p2").snapshot
    assert sorted(served.of_type(CDS)) == ["new", "old"]
    assert served.get(kinds.ENDPOINTS, "old") == endpoints("old")
    mended = (routes("r", "good"), *new[1:])
    gateway.publish(snapshot(*mended), now=3.0)
    assert sorted(gateway.view("p2").snapshot.of_type(CDS)) == ["new"]


def test_what_nothing_refers_to_is_forgotten() -> None:
    """Memory is bounded: a cluster of the past goes once the new routes are confirmed."""
    gateway = Gateway()
    for serial in range(1, 50):
        content = (routes("r", str(serial)), cluster(f"c{serial}"))
        gateway.publish(snapshot(*content), now=float(serial))
        gateway.accept("p1", content, serial=serial)
    gateway.publish(gateway.wanted, now=50.0)
    assert {name for _, name in gateway._good} <= {"r", "c48", "c49"}


def test_a_refused_cluster_takes_nothing_along() -> None:
    """Only what refers to others keeps them."""
    gateway = Gateway()
    gateway.publish(snapshot(cluster("a", "v1"), cluster("gone")), now=1.0)
    gateway.accept("p1", [cluster("a", "v1"), cluster("gone")], serial=1)
    gateway.publish(snapshot(cluster("a", "bad")), now=2.0)
    gateway.refuse("p1", refused(cluster("a", "bad")))
    assert gateway.view("p1").snapshot.of_type(CDS) == {"a": cluster("a", "v1")}


def test_suspects_are_freed_together() -> None:
    """A fix of the guilty one must not leave the others behind."""
    gateway = Gateway()
    gateway.publish(snapshot(extension("a", "v1"), extension("b", "v1")), now=1.0)
    gateway.accept("p1", [extension("a", "v1"), extension("b", "v1")], serial=1)
    gateway.publish(snapshot(extension("a", "bad"), extension("b", "v2")), now=2.0)
    gateway.refuse("p1", refused(extension("a", "bad"), extension("b", "v2")))
    assert gateway.view("p2").snapshot.of_type(ECDS) == {
        "a": extension("a", "v1"),
        "b": extension("b", "v1"),
    }
    gateway.publish(snapshot(extension("a", "v3"), extension("b", "v2")), now=3.0)
    assert gateway.view("p1").snapshot.get(ECDS, "b") == extension("b", "v2")


def test_a_suspect_that_is_taken_is_innocent() -> None:
    gateway = Gateway()
    gateway.publish(snapshot(extension("a", "bad"), extension("b")), now=1.0)
    gateway.refuse("p1", refused(extension("a", "bad"), extension("b")))
    gateway.accept("p1", [extension("b")], serial=1)
    [refusal] = gateway.refusals
    assert dict(refusal.contents) == {"a": extension("a", "bad").version}
    assert "p1" in refusal.messages


def test_a_refusal_of_what_was_replaced_meanwhile_counts_not() -> None:
    gateway = Gateway()
    gateway.publish(snapshot(routes("r", "v1")), now=1.0)
    gateway.publish(snapshot(routes("r", "v2")), now=2.0)
    assert not gateway.refuse("p1", refused(routes("r", "v1")))
    assert gateway.refusals == []


def test_an_operator_may_try_again(gateway: Gateway) -> None:
    """For causes outside of the content: a port in use, a missing file."""
    before = gateway.view("p1").retries
    gateway.retry()
    assert gateway.view("p1").snapshot.get(RDS, "r") == routes("r", "bad")
    assert gateway.view("p1").retries == before + 1


def test_the_proxies_of_a_refusal_are_bounded(gateway: Gateway) -> None:
    """Proxies that crash and come back under new names must not fill the memory."""
    for number in range(5000):
        gateway.refuse(f"crash-{number}", refused(routes("r", "bad")))
    [refusal] = gateway.refusals
    assert len(refusal.messages) == 4096


def test_unchanged_resources_are_shared_between_snapshots() -> None:
    """Streams keep what they sent: equal bytes are held once."""
    gateway = Gateway()
    first = cluster("c")
    gateway.publish(snapshot(first), now=1.0)
    gateway.publish(snapshot(cluster("c"), cluster("d")), now=2.0)
    assert gateway.wanted.get(CDS, "c") is first


def test_the_past_is_recalled_by_version_and_bounded() -> None:
    """S8: what a reconnecting client has; the latest few only."""
    gateway = Gateway()
    versions = []
    for number in range(30):
        gateway.publish(snapshot(cluster("c", str(number))), now=float(number))
        versions.append(gateway.wanted.version_of(CDS))
    view = gateway.view("p1")
    assert view.recall(CDS, versions[-1]) == {"c": cluster("c", "29")}
    assert view.recall(CDS, versions[-2]) == {"c": cluster("c", "28")}
    assert view.recall(CDS, versions[0]) is None
    assert len(view.past) <= 8
