"""The rules of the state-of-the-world variant, one test or more for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from controlplane.xds import kinds
from controlplane.xds.events import Accepted, Ignored, Refused
from controlplane.xds.requests import Node
from controlplane.xds.snapshot import Snapshot, content_version
from controlplane.xds.stream import ProtocolError
from tests.unit.xds import samples
from tests.unit.xds.samples import cluster, endpoints, extension, listener, routes, secret
from tests.unit.xds.talk import Talk, listed

if TYPE_CHECKING:
    from controlplane.xds.resource import Resource

CDS, EDS, SDS, ECDS = kinds.CLUSTER, kinds.ENDPOINTS, kinds.SECRET, kinds.EXTENSION
LDS, RDS = kinds.LISTENER, kinds.ROUTES


def talk(*resources: Resource, **options: object) -> Talk:
    return Talk(*resources, delta=False, **options)  # type: ignore[arg-type]


class TestIdentity:
    def test_the_node_of_the_first_request_stands_for_the_stream(self) -> None:
        """S1: the node is certain on the first request only."""
        conversation = talk(listener("l"), cluster("c"))
        conversation.ask(LDS)
        assert conversation.stream.node == samples.NODE
        assert listed(conversation.ask(CDS)) == [("CDS", ["c"], [])]

    @pytest.mark.parametrize("node", [None, Node(id="", cluster="shop/edge")])
    def test_a_stream_without_identity_ends(self, node: Node | None) -> None:
        """S1: a first request without node.id is INVALID_ARGUMENT."""
        stream = talk().stream
        with pytest.raises(ProtocolError, match=r"node\.id"):
            stream.receive(samples.sotw(LDS, node=node))

    def test_a_type_is_needed_on_the_aggregated_stream(self) -> None:
        """S2: an empty type_url on ADS is INVALID_ARGUMENT."""
        with pytest.raises(ProtocolError, match="type_url"):
            talk().say(samples.sotw(""))

    def test_a_type_is_implied_on_a_single_type_stream(self) -> None:
        """S2: on the per-type services the type is implied."""
        conversation = talk(listener("l"), cluster("c"), only=kinds.LDS)
        assert listed(conversation.say(samples.sotw(""))) == [("LDS", ["l"], [])]

    def test_a_single_type_stream_serves_no_other(self) -> None:
        """S2: a type that is not the service's is INVALID_ARGUMENT."""
        with pytest.raises(ProtocolError, match="asked of the service"):
            talk(only=kinds.LDS).say(samples.sotw(CDS))

    def test_a_type_that_is_not_served_is_ignored(self) -> None:
        """Proxies ask for runtime layers and the like: the rest of the stream must go on."""
        conversation = talk(listener("l"))
        url = "type.googleapis.com/envoy.service.runtime.v3.Runtime"
        assert conversation.ask(url) == []
        assert Ignored("unknown_type", url) in conversation.events()
        assert listed(conversation.ask(LDS)) == [("LDS", ["l"], [])]


class TestNonces:
    def test_a_stale_nonce_is_not_answered(self) -> None:
        """S3: a request whose nonce is not that of the last response is stale."""
        conversation = talk(routes("a"), routes("b"))
        [first] = conversation.ask(RDS, "a")
        conversation.ack(first)
        assert conversation.say(samples.sotw(RDS, ["a", "b"], nonce="t-0")) == []
        assert Ignored("stale_nonce", RDS) in conversation.events()

    def test_any_nonce_is_accepted_while_nothing_was_sent(self) -> None:
        """S3: a nonce may be left over from an earlier stream."""
        conversation = talk(routes("a"))
        replies = conversation.say(samples.sotw(RDS, ["a"], nonce="of another stream"))
        assert listed(replies) == [("RDS", ["a"], [])]

    def test_nonces_are_counted_per_type(self) -> None:
        """S3: an answer of one type says nothing about another."""
        conversation = talk(cluster("c"), endpoints("c"))
        [cds] = conversation.ask(CDS)
        [eds] = conversation.ask(EDS, "c")
        assert cds.nonce != eds.nonce
        conversation.ack(eds)
        conversation.ack(cds)
        accepted = [one for one in conversation.events() if isinstance(one, Accepted)]
        assert [one.kind.short for one in accepted] == ["EDS", "CDS"]

    def test_at_most_one_response_of_a_type_is_unanswered(self) -> None:
        """S4: content that changes meanwhile is sent with the answer, newest only."""
        conversation = talk(routes("a", "v1"))
        [first] = conversation.ask(RDS, "a")
        assert conversation.aim(routes("a", "v2")) == []
        assert conversation.aim(routes("a", "v3")) == []
        [second] = conversation.ack(first)
        assert second.resources == (routes("a", "v3"),)

    def test_names_of_a_dropped_request_come_with_the_next_answer(self) -> None:
        """S4: a stale request is dropped, and nothing is lost by it (envoy#10363)."""
        conversation = talk(routes("a"), routes("b"))
        [first] = conversation.ask(RDS, "a")
        # Written before the client saw the first response.
        assert conversation.say(samples.sotw(RDS, ["a", "b"], nonce="")) == []
        replies = conversation.say(
            samples.sotw(RDS, ["a", "b"], nonce=first.nonce, version=first.version)
        )
        assert listed(replies) == [("RDS", ["b"], [])]

    def test_a_name_given_up_and_taken_up_before_the_answer(self) -> None:
        """S4, S10: both requests are stale, and the answer shows no difference."""
        conversation = talk(endpoints("a"), endpoints("b"))
        [first] = conversation.ask(EDS, "a", "b")
        conversation.ack(first)
        [second] = conversation.aim(endpoints("a", "v2"), endpoints("b"))
        assert conversation.say(samples.sotw(EDS, ["a"], nonce=first.nonce)) == []
        assert conversation.say(samples.sotw(EDS, ["a", "b"], nonce=first.nonce)) == []
        replies = conversation.say(samples.sotw(EDS, ["a", "b"], nonce=second.nonce))
        assert listed(replies) == [("EDS", ["b"], [])]

    def test_an_answer_may_come_before_the_response_was_written(self) -> None:
        """S5: what is expected is recorded before the response is written."""
        conversation = talk(routes("a"))
        [first] = conversation.ask(RDS, "a")
        conversation.ack(first)
        assert any(isinstance(one, Accepted) for one in conversation.events())

    def test_a_stale_request_does_not_cancel_the_subscription(self) -> None:
        """S18: after a stale request, changes are still sent."""
        conversation = talk(routes("a", "v1"))
        [first] = conversation.ask(RDS, "a")
        conversation.ack(first)
        conversation.say(samples.sotw(RDS, [], nonce="stale"))
        assert listed(conversation.aim(routes("a", "v2"))) == [("RDS", ["a"], [])]


class TestRefusals:
    def test_an_error_refuses_even_with_the_same_version(self) -> None:
        """S6: error_detail refuses; versions say nothing."""
        conversation = talk(routes("a"), routes("b"))
        [first] = conversation.ask(RDS, "a")
        conversation.ack(first)
        conversation.events()
        [second] = conversation.ask(RDS, "a", "b")
        conversation.say(
            samples.sotw(
                RDS, ["a", "b"], nonce=second.nonce, version=first.version, error="b is wrong"
            )
        )
        [refused] = conversation.events()
        assert isinstance(refused, Refused)
        assert refused.message == "b is wrong"
        assert refused.names == ["b"]

    def test_a_version_mismatch_without_an_error_accepts(self) -> None:
        """S6: an old version_info alone is no refusal."""
        conversation = talk(routes("a"))
        [first] = conversation.ask(RDS, "a")
        conversation.say(samples.sotw(RDS, ["a"], nonce=first.nonce, version=""))
        [accepted] = conversation.events()
        assert isinstance(accepted, Accepted)

    def test_refused_content_is_not_sent_again(self) -> None:
        """S7: the same bytes are parked until they change."""
        conversation = talk(routes("a", "bad"))
        [first] = conversation.ask(RDS, "a")
        assert conversation.nack(first) == []
        assert conversation.wait(3600) == []
        assert listed(conversation.aim(routes("a", "good"))) == [("RDS", ["a"], [])]

    def test_a_change_elsewhere_does_not_free_it(self) -> None:
        """S7: other content of the type is sent without it, where partial is allowed."""
        conversation = talk(routes("a", "bad"), routes("b", "v1"))
        [first] = conversation.ask(RDS, "a", "b")
        [second] = conversation.nack(first, "a: no such thing")
        assert listed([second]) == [("RDS", ["b"], [])]
        conversation.ack(second)
        [third] = conversation.aim(routes("a", "bad"), routes("b", "v2"))
        assert listed([third]) == [("RDS", ["b"], [])]

    def test_suspects_are_freed_together(self) -> None:
        """S7: whom the message does not name is suspect until one of them changes."""
        conversation = talk(routes("a", "bad"), routes("b", "v1"))
        [first] = conversation.ask(RDS, "a", "b")
        assert conversation.nack(first, "something is wrong") == []
        [second] = conversation.aim(routes("a", "good"), routes("b", "v1"))
        assert listed([second]) == [("RDS", ["a", "b"], [])]

    def test_a_refusal_may_change_the_names(self) -> None:
        """S7: resource_names of a NACK count."""
        conversation = talk(routes("a", "bad"), routes("b"))
        [first] = conversation.ask(RDS, "a")
        replies = conversation.say(samples.sotw(RDS, ["a", "b"], nonce=first.nonce, error="no"))
        assert listed(replies) == [("RDS", ["b"], [])]

    def test_a_full_response_keeps_what_the_client_has(self) -> None:
        """S7, S11: in a full list, refused content is replaced by what was accepted before."""
        old = cluster("a", "v1")
        conversation = talk(old, cluster("b", "v1"))
        [first] = conversation.ask(CDS)
        conversation.ack(first)
        [second] = conversation.aim(cluster("a", "bad"), cluster("b", "v2"))
        [third] = conversation.nack(second, "Error adding/updating cluster(s) a: no")
        assert third.resources == (old, cluster("b", "v2"))
        assert conversation.ack(third) == []

    def test_a_full_response_leaves_out_what_a_new_client_never_had(self) -> None:
        """S7, S11: a client that began with nothing loses nothing."""
        conversation = talk(cluster("a", "bad"), cluster("b"))
        [first] = conversation.ask(CDS)
        [second] = conversation.nack(first, "Error adding/updating cluster(s) a: no")
        assert listed([second]) == [("CDS", ["b"], [])]

    def test_nothing_is_taken_from_a_client_of_unknown_history(self) -> None:
        """S7, S11: it may run an older `a`, so no full list without `a` is sent."""
        conversation = talk(cluster("a", "bad"), cluster("b"))
        [first] = conversation.ask(CDS, version="from before a restart")
        assert conversation.nack(first, "Error adding/updating cluster(s) a: no") == []
        [second] = conversation.aim(cluster("a", "bad"), cluster("b", "v2"))
        assert listed([second]) == [("CDS", ["a", "b"], [])]
        assert conversation.nack(second, "Error adding/updating cluster(s) a: no") == []

    def test_a_rollback_after_a_refusal_is_sent(self) -> None:
        """D8, in this variant too: the refused response may have been applied in part."""
        conversation = talk(cluster("a", "v1"))
        [first] = conversation.ask(CDS)
        conversation.ack(first)
        [second] = conversation.aim(cluster("a", "v2"))
        assert conversation.nack(second) == []
        assert listed(conversation.aim(cluster("a", "v1"))) == [("CDS", ["a"], [])]

    def test_a_late_refusal_is_counted_and_ignored(self) -> None:
        """An error for a response that was accepted changes nothing."""
        conversation = talk(routes("a"))
        [first] = conversation.ask(RDS, "a")
        conversation.ack(first)
        conversation.events()
        assert conversation.nack(first) == []
        assert conversation.events() == [Ignored("stale_nonce", RDS)]


class TestReconnection:
    def test_a_current_wildcard_is_not_sent_again(self) -> None:
        """S8: version V on a new stream is enough, if it stands for everything."""
        resources = (cluster("a"), cluster("b"))
        conversation = talk(*resources)
        version = content_version(resources)
        assert conversation.ask(CDS, version=version) == []
        [accepted] = conversation.events()
        assert isinstance(accepted, Accepted)
        assert accepted.resources == resources
        assert not accepted.pushed
        assert conversation.stream.report()[CDS].in_sync

    def test_an_old_wildcard_is_sent(self) -> None:
        """S8: any other version is answered in full."""
        conversation = talk(cluster("a"), cluster("b"))
        assert listed(conversation.ask(CDS, version="old")) == [("CDS", ["a", "b"], [])]

    @pytest.mark.parametrize(
        ("url", "make"), [(EDS, endpoints), (RDS, routes), (SDS, secret), (ECDS, extension)]
    )
    def test_named_resources_are_always_sent(self, url: str, make: type) -> None:
        """S8: else warming stalls."""
        resource = make("a")
        version = content_version([resource])
        conversation = talk(resource)
        assert len(conversation.ask(url, "a", version=version)) == 1

    def test_named_clusters_are_always_sent(self) -> None:
        """S8: the version of a subset must not be taken for that of all."""
        conversation = talk(cluster("a"))
        version = content_version([cluster("a")])
        assert len(conversation.ask(CDS, "a", version=version)) == 1

    def test_what_the_client_has_is_recalled_by_its_version(self) -> None:
        """W1 on a new stream: a cluster of the past leaves after the routes that used it."""
        old = Snapshot.of([cluster("a"), cluster("old")])
        past = {(CDS, old.version_of(CDS)): old.of_type(CDS)}
        conversation = talk(cluster("a"), cluster("new"), listener("l"), past=past)
        [first] = conversation.ask(CDS, version=old.version_of(CDS))
        assert listed([first]) == [("CDS", ["a", "new", "old"], [])]
        conversation.ack_all([first])
        conversation.ack_all(conversation.ask(LDS))
        assert listed(conversation.wait(1.1)) == [("CDS", ["a", "new"], [])]
