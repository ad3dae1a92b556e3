"""Whole exchanges, as published tests of Envoy and of other control planes have them.

The names in the docstrings are those of the upstream tests.
"""

from __future__ import annotations

import pytest

from controlplane.xds import kinds
from controlplane.xds.snapshot import content_version
from tests.unit.xds import samples
from tests.unit.xds.samples import cluster, endpoints, extension, listener, routes
from tests.unit.xds.talk import TIMING, Talk, listed

CDS, EDS, ECDS = kinds.CLUSTER, kinds.ENDPOINTS, kinds.EXTENSION
LDS, RDS = kinds.LISTENER, kinds.ROUTES
ALL = (cluster("c"), endpoints("c"), listener("l"), routes("r"))

both = pytest.mark.parametrize("delta", [True, False], ids=["delta", "sotw"])


@both
def test_a_proxy_starts(*, delta: bool) -> None:
    """Envoy, AdsIntegrationTest.Basic: each type is asked for when the one before has come."""
    talk = Talk(*ALL, delta=delta)
    [cds] = talk.ask(CDS)
    [eds] = talk.ask(EDS, "c")
    assert listed([cds, eds]) == [("CDS", ["c"], []), ("EDS", ["c"], [])]
    assert talk.ack(cds) == []
    assert talk.ack(eds) == []
    [lds] = talk.ask(LDS)
    # Envoy asks for the routes before it confirms the listener that names them.
    assert talk.ask(RDS, "r") == []
    [rds] = talk.ack(lds)
    assert listed([lds, rds]) == [("LDS", ["l"], []), ("RDS", ["r"], [])]
    assert talk.ack(rds) == []
    assert all(report.in_sync for report in talk.stream.report().values())


@both
@pytest.mark.parametrize("url", [CDS, EDS, LDS, RDS])
def test_each_type_is_refused_and_recovers(url: str, *, delta: bool) -> None:
    """Envoy, AdsIntegrationTest.Failure: a refusal of each type, then good content."""
    make = {CDS: cluster, EDS: endpoints, LDS: listener, RDS: routes}[url]
    talk = Talk(make("x", "bad"), delta=delta)
    [first] = talk.ask(url, "x")
    assert talk.nack(first) == []
    assert not talk.stream.report()[url].in_sync
    [second] = talk.aim(make("x", "good"))
    assert second.resources == (make("x", "good"),)
    talk.ack_all([second])
    assert talk.stream.report()[url].in_sync


@both
def test_a_cluster_is_confirmed_after_its_endpoints(*, delta: bool) -> None:
    """Envoy, CdsPausedDuringWarming: endpoints come while clusters are unconfirmed.

    Two changes of clusters while they warm; only the newest is confirmed.
    """
    talk = Talk(*ALL, delta=delta)
    for url, names in ((CDS, ()), (EDS, ("c",)), (LDS, ()), (RDS, ("r",))):
        talk.ack_all(talk.ask(url, *names))
    more = (cluster("w1"), endpoints("w1"))
    [cds] = talk.aim(*ALL, *more)
    [eds] = talk.ask(EDS, "c", "w1")
    assert talk.ack(eds) == []
    [second, *_] = talk.aim(*ALL, *more, cluster("w2"), endpoints("w2")) or talk.ack(cds)
    assert second.kind is kinds.CDS
    [eds] = talk.ask(EDS, "c", "w1", "w2")
    assert "w2" in [one.name for one in eds.resources]
    talk.ack_all([eds, second])
    assert all(report.in_sync for report in talk.stream.report().values())


@both
def test_a_cluster_that_is_warming_is_replaced(*, delta: bool) -> None:
    """Envoy, CdsEdsReplacementWarming: equal endpoints are sent for the new cluster."""
    talk = Talk(*ALL, delta=delta)
    talk.ack_all(talk.ask(CDS))
    talk.ack_all(talk.ask(EDS, "c"))
    replies = talk.aim(cluster("c", "with tls"), *ALL[1:])
    assert listed(replies) == [("CDS", ["c"], []), ("EDS", ["c"], [])]


def test_warming_clusters_survive_a_reconnection() -> None:
    """Envoy, ClusterWarmingOnNamedResponse: the new stream sends the endpoints by name.

    The cluster was confirmed, its endpoints had not come when the stream broke.
    """
    before = Talk(*ALL, delta=True)
    before.ack_all(before.ask(CDS))
    after = Talk(*ALL, delta=True)
    assert listed(after.ask(CDS, initial={"c": cluster("c").version})) == [("CDS", [], [])]
    assert listed(after.ask(EDS, "c")) == [("EDS", ["c"], [])]


def test_names_are_told_anew_on_a_new_stream() -> None:
    """Envoy, ResourceNamesOnStreamReset and ReconnectionResetsNonceAndAcks (SotW)."""
    version = content_version([cluster("c")])
    talk = Talk(*ALL, delta=False)
    assert talk.ask(CDS, version=version) == []
    assert listed(talk.ask(EDS, "c", version="any")) == [("EDS", ["c"], [])]
    assert listed(talk.aim(cluster("c", "v2"), *ALL[1:])) == [("CDS", ["c"], [])]


def test_a_new_stream_names_the_versions_of_the_last() -> None:
    """Envoy, ReconnectResourcesVersions and ResourceGoneLeadsToBlankInitialVersion."""
    talk = Talk(listener("same"), listener("changed", "v2"), listener("new"), delta=True)
    [lds] = talk.ask(
        LDS,
        initial={
            "same": listener("same").version,
            "changed": listener("changed", "v1").version,
            "gone": listener("gone").version,
        },
    )
    assert listed([lds]) == [("LDS", ["changed", "new"], ["gone"])]
    talk.ack(lds)
    # The map was for the first message only.
    assert listed(talk.aim(listener("same"), listener("changed", "v2"))) == [("LDS", [], ["new"])]


def test_a_refusal_leaves_versions_alone() -> None:
    """Envoy, NoVersionUpdateOnNack: on a new stream the client names what it had before."""
    first = Talk(routes("r", "v1"), delta=True)
    first.ack_all(first.ask(RDS, "r"))
    [bad] = first.aim(routes("r", "bad"))
    first.nack(bad)
    assert first.stream.has(RDS, "r", routes("r", "v1").version)
    second = Talk(routes("r", "v1"), delta=True)
    assert second.ask(RDS, "r", initial={"r": routes("r", "v1").version}) == []


def test_the_legacy_wildcard_returns_with_a_new_stream() -> None:
    """Envoy, ResetToLegacyWildcardBehaviorOnStreamReset."""
    first = Talk(cluster("a"), cluster("b"), delta=True)
    first.ack_all(first.ask(CDS, "a"))
    assert first.say(samples.delta(CDS)) == []
    second = Talk(cluster("a"), cluster("b"), delta=True)
    assert listed(second.ask(CDS)) == [("CDS", ["a", "b"], [])]


def test_a_wildcard_is_given_up() -> None:
    """Envoy, CancellingImplicitWildcardSubscription and ...ExplicitWildcardSubscription."""
    for names in ((), ("*",)):
        talk = Talk(cluster("a"), cluster("b"), delta=True)
        talk.ack_all(talk.ask(CDS, *names))
        assert talk.say(samples.delta(CDS, ["a"], ["*"])) != []
        talk.ack(talk.last[CDS])
        assert listed(talk.aim(cluster("a", "v2"), cluster("b", "v2"))) == [("CDS", ["a"], [])]


@pytest.mark.parametrize(
    ("say", "answered"),
    [
        ("initial", True),
        ("ack", False),
        ("nack", False),
        ("resources changed", True),
        ("same resources", False),
        ("unsubscribe", False),
    ],
)
def test_who_is_answered(say: str, *, answered: bool) -> None:
    """Istio, TestShouldRespond."""
    talk = Talk(endpoints("a"), endpoints("b"), delta=False)
    replies = talk.ask(EDS, "a")
    if say != "initial":
        [first] = replies
        replies = talk.nack(first) if say == "nack" else talk.ack(first)
    if say == "resources changed":
        replies = talk.ask(EDS, "a", "b")
    if say == "same resources":
        replies = talk.ask(EDS, "a")
    if say == "unsubscribe":
        replies = talk.ask(EDS)
    assert bool(replies) == answered


def test_a_reconnection_is_answered() -> None:
    """Istio, TestShouldRespond, reconnect: nonce and version of an earlier stream."""
    talk = Talk(endpoints("a"), delta=False)
    request = samples.sotw(EDS, ["a"], nonce="of an earlier stream", version="1")
    assert listed(talk.say(request)) == [("EDS", ["a"], [])]


def test_unsubscribed_while_it_was_due() -> None:
    """go-control-plane, TestAggregatedHandlersDropStaleResponseAfterUnsubscribe."""
    talk = Talk(*ALL, delta=False)
    talk.ack_all(talk.ask(EDS, "c"))
    [first] = talk.aim(cluster("c"), endpoints("c", "v2"), *ALL[2:])
    assert talk.aim(cluster("c"), endpoints("c", "v3"), *ALL[2:]) == []
    assert talk.say(samples.sotw(EDS, [], nonce=first.nonce)) == []


def test_a_resource_that_was_not_asked_for_before() -> None:
    """go-control-plane, TestSnapshotCreateWatchWithResourcePreviouslyNotRequested."""
    talk = Talk(endpoints("a"), endpoints("b"), delta=False)
    talk.ack_all(talk.ask(EDS, "a"))
    version = talk.versions[EDS]
    [second] = talk.ask(EDS, "b", version=version)
    assert listed([second]) == [("EDS", ["b"], [])]


def test_wildcard_and_names_by_turns() -> None:
    """go-control-plane, TestDeltaWildcardSubscriptions."""
    talk = Talk(endpoints("a"), endpoints("b"), delta=True)
    assert listed(talk.ask(EDS, "*")) == [("EDS", ["a", "b"], [])]
    talk.ack(talk.last[EDS])
    assert listed(talk.ask(EDS, "a")) == [("EDS", ["a"], [])]
    talk.ack(talk.last[EDS])
    assert talk.say(samples.delta(EDS, (), ["*"])) == []
    assert listed(talk.aim(endpoints("a", "v2"), endpoints("b", "v2"))) == [("EDS", ["a"], [])]


def test_new_endpoint_hints_without_a_change() -> None:
    """java-control-plane, ...SameRequestVersionNewResourceHints and ...NoChange."""
    talk = Talk(endpoints("a"), delta=False)
    talk.ack_all(talk.ask(EDS, "a"))
    assert talk.ask(EDS, "a", "not there") == []
    assert listed(talk.ask(EDS, "not there", "a")) == []


@both
def test_a_listener_update_reuses_the_extension(*, delta: bool) -> None:
    """Envoy, ReuseExtensionConfig: the client does not ask again, and is not sent it again."""
    talk = Talk(extension("x"), listener("l"), delta=delta)
    talk.ack_all(talk.ask(LDS))
    talk.ack_all(talk.ask(ECDS, "x"))
    assert listed(talk.aim(extension("x"), listener("l", "v2"))) == [("LDS", ["l"], [])]


@both
def test_listener_and_extension_change_together(*, delta: bool) -> None:
    """Envoy, ReloadBoth: the extension first."""
    talk = Talk(extension("x"), listener("l"), delta=delta)
    talk.ack_all(talk.ask(LDS))
    talk.ack_all(talk.ask(ECDS, "x"))
    [ecds] = talk.aim(extension("x", "v2"), listener("l", "v2"))
    assert listed([ecds]) == [("ECDS", ["x"], [])]
    assert listed(talk.ack(ecds)) == [("LDS", ["l"], [])]


@both
def test_a_bad_extension_keeps_the_good_one(*, delta: bool) -> None:
    """Envoy, ReuseExtensionConfigInvalid: refused, and nothing more is sent."""
    talk = Talk(extension("x"), listener("l"), delta=delta)
    talk.ack_all(talk.ask(LDS))
    talk.ack_all(talk.ask(ECDS, "x"))
    [bad] = talk.aim(extension("x", "bad"), listener("l"))
    assert talk.nack(bad) == []
    assert talk.wait(100 * TIMING.retire) == []
