"""The rules of the delta variant, one test or more for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from controlplane.xds import kinds
from controlplane.xds.events import Accepted, Ignored, Refused
from tests.unit.xds import samples
from tests.unit.xds.samples import cluster, endpoints, extension, listener, routes, secret
from tests.unit.xds.talk import Talk, listed

if TYPE_CHECKING:
    from controlplane.xds.resource import Resource

CDS, EDS, SDS, ECDS = kinds.CLUSTER, kinds.ENDPOINTS, kinds.SECRET, kinds.EXTENSION
LDS, RDS = kinds.LISTENER, kinds.ROUTES


def talk(*resources: Resource, **options: object) -> Talk:
    return Talk(*resources, delta=True, **options)  # type: ignore[arg-type]


class TestNonces:
    def test_every_response_has_its_own(self) -> None:
        """D1: a nonce is unique per response, and is not the version."""
        conversation = talk(routes("a"))
        replies = [
            *conversation.ask(RDS, "a"),
            *conversation.ack(conversation.last[RDS]),
            *conversation.ask(RDS, "a"),
        ]
        assert len(replies) == 2
        assert replies[0].version == replies[1].version
        assert replies[0].nonce != replies[1].nonce

    def test_an_unknown_nonce_does_not_stop_a_subscription(self) -> None:
        """D1: subscribe and unsubscribe count, whatever the nonce."""
        conversation = talk(routes("a"), routes("b"))
        conversation.ack_all(conversation.ask(RDS, "a"))
        replies = conversation.say(samples.delta(RDS, ["b"], ["a"], nonce="long ago"))
        assert listed(replies) == [("RDS", ["b"], [])]
        conversation.ack_all(replies)
        assert conversation.aim(routes("a", "v2"), routes("b")) == []
        assert Ignored("stale_nonce", RDS) in conversation.events()

    def test_an_old_nonce_accepts_nothing(self) -> None:
        """D1: it only pairs a response with its answer."""
        conversation = talk(routes("a"))
        [first] = conversation.ask(RDS, "a")
        conversation.say(samples.delta(RDS, nonce="t-99"))
        assert not any(isinstance(one, Accepted) for one in conversation.events())
        assert conversation.aim(routes("a", "v2")) == []
        assert listed(conversation.ack(first)) == [("RDS", ["a"], [])]


class TestSubscriptions:
    @pytest.mark.parametrize("error", [None, "refused"])
    def test_they_may_come_with_an_answer(self, error: str | None) -> None:
        """D2: on an ACK or a NACK."""
        conversation = talk(routes("a"), routes("b"))
        [first] = conversation.ask(RDS, "a")
        replies = conversation.say(samples.delta(RDS, ["b"], nonce=first.nonce, error=error))
        assert listed(replies) == [("RDS", ["b"], [])]

    def test_subscribing_comes_before_unsubscribing(self) -> None:
        """D2: a name in both is not subscribed; "*" in both means nothing at all."""
        conversation = talk(routes("a"), cluster("c"))
        assert conversation.say(samples.delta(RDS, ["a"], ["a"])) == []
        assert conversation.say(samples.delta(CDS, ["*"], ["*"])) == []
        assert conversation.aim(routes("a", "v2"), cluster("c", "v2")) == []

    def test_a_name_that_is_subscribed_already_is_sent_again(self) -> None:
        """D3: the client may have forgotten it."""
        conversation = talk(routes("a"), routes("b"))
        conversation.ack_all(conversation.ask(RDS, "a", "b"))
        assert listed(conversation.ask(RDS, "a")) == [("RDS", ["a"], [])]

    def test_the_wildcard_subscribed_again_sends_all(self) -> None:
        """D3: the same for "*"."""
        conversation = talk(cluster("a"), cluster("b"))
        conversation.ack_all(conversation.ask(CDS, "*"))
        assert listed(conversation.ask(CDS, "*")) == [("CDS", ["a", "b"], [])]

    def test_refused_content_is_sent_to_a_client_that_asks_again(self) -> None:
        """D3 before S7: once, as its interest may be new; and not a second time."""
        conversation = talk(routes("a", "bad"))
        [first] = conversation.ask(RDS, "a")
        conversation.nack(first)
        [second] = conversation.ask(RDS, "a")
        assert listed([second]) == [("RDS", ["a"], [])]
        assert conversation.nack(second) == []

    def test_unsubscribing_from_the_unknown_is_ignored(self) -> None:
        """D4: silently."""
        conversation = talk(routes("a"))
        conversation.ack_all(conversation.ask(RDS, "a"))
        assert conversation.say(samples.delta(RDS, (), ["never"])) == []
        assert listed(conversation.aim(routes("a", "v2"))) == [("RDS", ["a"], [])]

    def test_unsubscribing_needs_no_response(self) -> None:
        """D4: and what is unsubscribed is not sent any more."""
        conversation = talk(routes("a"))
        conversation.ack_all(conversation.ask(RDS, "a"))
        assert conversation.say(samples.delta(RDS, (), ["a"])) == []
        assert conversation.aim(routes("a", "v2")) == []

    def test_a_name_that_the_wildcard_still_covers(self) -> None:
        """D4: the client cannot know: it is told that the resource is there, or that it is not."""
        conversation = talk(cluster("a"))
        conversation.ack_all(conversation.ask(CDS, "*", "a", "gone"))
        replies = conversation.say(samples.delta(CDS, (), ["a", "gone"]))
        assert listed(replies) == [("CDS", ["a"], ["gone"])]

    def test_the_legacy_wildcard_stays_beside_a_name(self) -> None:
        """S12 in this variant: only unsubscribing from "*" ends it."""
        conversation = talk(cluster("a"), cluster("b"))
        conversation.ack_all(conversation.ask(CDS))
        conversation.ack_all(conversation.ask(CDS, "a"))
        replies = conversation.aim(cluster("a", "v2"), cluster("b", "v2"))
        assert listed(replies) == [("CDS", ["a", "b"], [])]
        conversation.ack_all(replies)
        assert conversation.say(samples.delta(CDS, (), ["*"])) == []
        assert listed(conversation.aim(cluster("a", "v3"), cluster("b", "v3"))) == [
            ("CDS", ["a"], [])
        ]

    def test_the_wildcard_after_a_name(self) -> None:
        """SwitchIntoWildcardMode: "*" sends all."""
        conversation = talk(cluster("a"), cluster("b"))
        conversation.ack_all(conversation.ask(CDS, "a"))
        assert listed(conversation.ask(CDS, "*")) == [("CDS", ["a", "b"], [])]

    @pytest.mark.parametrize("url", [EDS, RDS, SDS, ECDS])
    def test_no_legacy_wildcard_for_other_types(self, url: str) -> None:
        """S13 in this variant."""
        make = {EDS: endpoints, RDS: routes, SDS: secret, ECDS: extension}[url]
        assert talk(make("a")).ask(url) == []


class TestFirstRequest:
    def test_equal_versions_are_skipped(self) -> None:
        """D5: on a reconnection only what differs is sent."""
        conversation = talk(routes("a"), routes("b", "v2"))
        replies = conversation.ask(
            RDS, "a", "b", initial={"a": routes("a").version, "b": routes("b", "v1").version}
        )
        assert listed(replies) == [("RDS", ["b"], [])]

    def test_equal_versions_count_as_accepted(self) -> None:
        """D5: there will be no other word of it, and status asks."""
        conversation = talk(routes("a"))
        assert conversation.ask(RDS, "a", initial={"a": routes("a").version}) == []
        [accepted] = conversation.events()
        assert isinstance(accepted, Accepted)
        assert accepted.resources == (routes("a"),)
        assert conversation.stream.has(RDS, "a", routes("a").version)

    def test_what_is_gone_is_removed(self) -> None:
        """D5: names that the client has and that are no more."""
        conversation = talk(listener("l"))
        replies = conversation.ask(
            LDS, initial={"l": listener("l").version, "old": listener("old").version}
        )
        assert listed(replies) == [("LDS", [], ["old"])]

    def test_names_without_interest_do_not_count(self) -> None:
        """D5: only what is also subscribed."""
        conversation = talk(routes("a"))
        replies = conversation.ask(RDS, "a", initial={"other": "1"})
        assert listed(replies) == [("RDS", ["a"], [])]

    def test_later_requests_tell_nothing_of_the_kind(self) -> None:
        """D5: the map is for the first message of a type."""
        conversation = talk(routes("a"), routes("b"))
        conversation.ack_all(conversation.ask(RDS, "a"))
        replies = conversation.ask(RDS, "b", initial={"b": routes("b").version})
        assert listed(replies) == [("RDS", ["b"], [])]

    def test_a_wildcard_is_answered_even_if_empty(self) -> None:
        """D6: else the client waits for ever."""
        assert listed(talk().ask(CDS)) == [("CDS", [], [])]
        assert listed(talk().ask(LDS, "*")) == [("LDS", [], [])]

    def test_a_wildcard_is_answered_even_if_nothing_differs(self) -> None:
        """D6: likewise on a reconnection."""
        conversation = talk(cluster("a"))
        replies = conversation.ask(CDS, initial={"a": cluster("a").version})
        assert listed(replies) == [("CDS", [], [])]

    @pytest.mark.parametrize("url", [CDS, EDS, LDS, RDS])
    def test_missing_names_are_told(self, url: str) -> None:
        """D6: and the subscription lives on."""
        make = {CDS: cluster, EDS: endpoints, LDS: listener, RDS: routes}[url]
        conversation = talk()
        replies = conversation.ask(url, "later")
        assert listed(replies) == [(kinds.BY_URL[url].short, [], ["later"])]
        conversation.ack_all(replies)
        assert conversation.wait(3600) == []
        assert listed(conversation.aim(make("later"))) == [(kinds.BY_URL[url].short, ["later"], [])]

    def test_missing_names_are_told_again_to_who_asks_again(self) -> None:
        """D3 and D6."""
        conversation = talk()
        conversation.ack_all(conversation.ask(EDS, "later"))
        assert listed(conversation.ask(EDS, "later")) == [("EDS", [], ["later"])]


class TestResponses:
    def test_no_name_twice(self) -> None:
        """D7: neither within a list nor across both."""
        conversation = talk(listener("a"), listener("b"))
        conversation.ack_all(conversation.ask(LDS, "*", "a", "c"))
        [reply] = conversation.aim(listener("a", "v2"))
        names = [one.name for one in reply.resources]
        assert sorted([*names, *reply.removed]) == ["a", "b"]

    def test_only_what_changed_is_sent(self) -> None:
        """The point of this variant."""
        conversation = talk(cluster("a"), cluster("b"))
        conversation.ack_all(conversation.ask(CDS))
        assert listed(conversation.aim(cluster("a"), cluster("b", "v2"), cluster("c"))) == [
            ("CDS", ["b", "c"], [])
        ]

    def test_an_unconfirmed_response_is_not_known(self) -> None:
        """D8: sent is not had: a rollback after a NACK is sent."""
        conversation = talk(routes("a", "v1"))
        conversation.ack_all(conversation.ask(RDS, "a"))
        [second] = conversation.aim(routes("a", "v2"))
        assert conversation.nack(second) == []
        assert conversation.stream.has(RDS, "a", routes("a", "v1").version)
        assert listed(conversation.aim(routes("a", "v1"))) == [("RDS", ["a"], [])]

    def test_the_innocent_part_of_a_refused_response_is_sent_again(self) -> None:
        """D8: Envoy has applied it; other clients have not."""
        conversation = talk(cluster("a", "bad"), cluster("b"))
        [first] = conversation.ask(CDS)
        [second] = conversation.nack(first, "Error adding/updating cluster(s) a: no")
        assert listed([second]) == [("CDS", ["b"], [])]
        conversation.ack(second)
        assert conversation.wait(60) == []

    def test_a_cluster_of_a_refused_response_leaves_in_order(self) -> None:
        """D8, W1: it may be in use although it was never confirmed."""
        conversation = talk(cluster("a", "bad"), cluster("b"))
        [first] = conversation.ask(CDS)
        conversation.nack(first, "no")
        assert conversation.aim() == []
        assert listed(conversation.wait(30.1)) == [("CDS", [], ["a", "b"])]

    def test_a_removal_that_was_refused_is_done_again_if_need_be(self) -> None:
        """D8: a listener that was removed and comes back unchanged must be sent."""
        conversation = talk(listener("a"))
        conversation.ack_all(conversation.ask(LDS))
        [second] = conversation.aim(listener("bad"))
        assert second.removed == ("a",)
        assert conversation.aim(listener("a"), listener("bad")) == []
        [third] = conversation.nack(second, "Error adding listener(s) bad: no")
        assert listed([third]) == [("LDS", ["a"], [])]

    def test_refused_content_is_parked(self) -> None:
        """S7 in this variant."""
        conversation = talk(routes("a", "bad"))
        [first] = conversation.ask(RDS, "a")
        assert conversation.nack(first, "not liked") == []
        [refused] = [one for one in conversation.events() if isinstance(one, Refused)]
        assert refused.message == "not liked"
        assert refused.blamed == ({"a": routes("a", "bad").version},)
        assert conversation.wait(3600) == []
        assert listed(conversation.aim(routes("a", "good"))) == [("RDS", ["a"], [])]

    def test_a_refused_removal_is_not_repeated(self) -> None:
        """S7: a removal is content, too."""
        conversation = talk(listener("a"))
        conversation.ack_all(conversation.ask(LDS))
        [second] = conversation.aim()
        assert second.removed == ("a",)
        assert conversation.nack(second) == []
        assert conversation.wait(3600) == []

    def test_resources_that_nobody_asked_for_are_not_sent(self) -> None:
        """D9: a client would ignore them, and not list them on a reconnection."""
        conversation = talk(routes("a"), routes("b"))
        assert listed(conversation.ask(RDS, "a")) == [("RDS", ["a"], [])]

    @pytest.mark.parametrize(("url", "make"), [(ECDS, extension), (SDS, secret)])
    def test_what_may_be_in_use_is_never_removed(self, url: str, make: type) -> None:
        """D10: ECDS would answer 500, SDS treats it as an error; the client unsubscribes."""
        conversation = talk(make("a"))
        conversation.ack_all(conversation.ask(url, "a", "missing"))
        assert conversation.aim() == []
        assert conversation.wait(3600) == []
        assert listed(conversation.aim(make("a"))) == []
        assert listed(conversation.aim(make("a", "v2"))) == [(kinds.BY_URL[url].short, ["a"], [])]

    def test_a_name_dropped_and_asked_for_while_a_response_is_on_its_way(self) -> None:
        """RemoveThenAdd: an answer to a response from before does not count."""
        conversation = talk(routes("a"), routes("b"))
        [first] = conversation.ask(RDS, "a", "b")
        assert conversation.say(samples.delta(RDS, (), ["a"])) == []
        assert conversation.ask(RDS, "a") == []
        assert listed(conversation.ack(first)) == [("RDS", ["a"], [])]

    def test_a_name_added_and_dropped_at_once(self) -> None:
        """AddThenRemove: nothing is left of it."""
        conversation = talk(routes("a"), routes("b"))
        [first] = conversation.ask(RDS, "a")
        assert conversation.ask(RDS, "b") == []
        assert conversation.say(samples.delta(RDS, (), ["b"])) == []
        assert conversation.ack(first) == []
