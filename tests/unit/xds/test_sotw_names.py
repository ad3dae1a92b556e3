"""The rules of the state-of-the-world variant about names: who is sent what."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from controlplane.xds import kinds
from controlplane.xds.snapshot import Snapshot
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


class TestNames:
    def test_new_names_are_sent_at_the_same_version(self) -> None:
        """S9: same version, same nonce, other names: respond with the new ones."""
        conversation = talk(endpoints("a"), endpoints("b"))
        [first] = conversation.ask(EDS, "a")
        conversation.ack(first)
        [second] = conversation.ask(EDS, "a", "b")
        assert listed([second]) == [("EDS", ["b"], [])]

    def test_new_names_are_sent_even_if_they_were_sent_before(self) -> None:
        """S9, S10: unsubscribed and subscribed again, at an unchanged version."""
        conversation = talk(endpoints("a"), endpoints("b"))
        [first] = conversation.ask(EDS, "a", "b")
        conversation.ack(first)
        assert conversation.ask(EDS, "a") == []
        assert listed(conversation.ask(EDS, "a", "b")) == [("EDS", ["b"], [])]

    def test_a_name_dropped_and_asked_for_while_a_response_is_on_its_way(self) -> None:
        """S10: an answer to a response from before does not count for the new interest."""
        conversation = talk(endpoints("a"), endpoints("b"))
        [first] = conversation.ask(EDS, "a", "b")
        second = conversation.say(samples.sotw(EDS, ["a"], nonce=first.nonce))
        assert second == []
        third = conversation.say(samples.sotw(EDS, ["a", "b"], nonce=first.nonce))
        assert listed(third) == [("EDS", ["b"], [])]

    def test_a_full_response_deletes_by_leaving_out(self) -> None:
        """S11: listeners and clusters: missing means deleted, empty deletes all."""
        conversation = talk(listener("a"), listener("b"))
        conversation.ack_all(conversation.ask(LDS))
        [second] = conversation.aim(listener("a"))
        assert listed([second]) == [("LDS", ["a"], [])]
        conversation.ack(second)
        assert listed(conversation.aim()) == [("LDS", [], [])]

    def test_a_change_of_one_listener_lists_all(self) -> None:
        """S11: a full response is full."""
        conversation = talk(listener("a"), listener("b"))
        conversation.ack_all(conversation.ask(LDS))
        assert listed(conversation.aim(listener("a", "v2"), listener("b"))) == [
            ("LDS", ["a", "b"], [])
        ]

    def test_other_types_are_sent_in_part(self) -> None:
        """S11: only what changed; absence is not told."""
        conversation = talk(endpoints("a"), endpoints("b"))
        conversation.ack_all(conversation.ask(EDS, "a", "b"))
        assert listed(conversation.aim(endpoints("a", "v2"), endpoints("b"))) == [
            ("EDS", ["a"], [])
        ]

    def test_absence_of_routes_is_not_told(self) -> None:
        """S11: they leave with the listener that names them."""
        conversation = talk(routes("a"))
        conversation.ack_all(conversation.ask(RDS, "a"))
        assert conversation.aim() == []

    def test_an_empty_list_means_all_while_nothing_was_named(self) -> None:
        """S12: the legacy wildcard."""
        conversation = talk(cluster("a"))
        conversation.ack_all(conversation.ask(CDS))
        assert listed(conversation.aim(cluster("a"), cluster("b"))) == [("CDS", ["a", "b"], [])]

    def test_an_empty_list_means_nothing_after_something_was_named(self) -> None:
        """S12: once a name was given, an empty list unsubscribes."""
        conversation = talk(cluster("a"), cluster("b"))
        conversation.ack_all(conversation.ask(CDS, "a"))
        assert conversation.ask(CDS) == []
        assert conversation.aim(cluster("a", "v2"), cluster("b", "v2")) == []

    def test_the_explicit_wildcard_ends_the_legacy_one(self) -> None:
        """S12: "*" is a name too."""
        conversation = talk(cluster("a"))
        conversation.ack_all(conversation.ask(CDS, "*"))
        assert conversation.ask(CDS) == []
        assert conversation.aim(cluster("a", "v2")) == []

    def test_wildcard_and_names_live_together(self) -> None:
        """S12: without the wildcard the names stay."""
        conversation = talk(cluster("a"), cluster("b"))
        conversation.ack_all(conversation.ask(CDS, "*", "a"))
        assert conversation.ask(CDS, "a") == []
        assert listed(conversation.aim(cluster("a", "v2"), cluster("b", "v2"))) == [
            ("CDS", ["a"], [])
        ]

    @pytest.mark.parametrize("url", [EDS, RDS, SDS, ECDS])
    def test_an_empty_list_never_means_all_for_other_types(self, url: str) -> None:
        """S13: proxies send it as the first message too."""
        make = {EDS: endpoints, RDS: routes, SDS: secret, ECDS: extension}[url]
        conversation = talk(make("a"))
        assert conversation.ask(url) == []
        assert len(conversation.ask(url, "a")) == 1

    def test_a_part_of_the_names_is_enough(self) -> None:
        """S14: a subscription need not cover all there is."""
        conversation = talk(endpoints("a"), endpoints("b"), endpoints("c"))
        assert listed(conversation.ask(EDS, "a", "b")) == [("EDS", ["a", "b"], [])]

    def test_unknown_names_are_remembered(self) -> None:
        """S15: sent once created; until then there is no signal."""
        conversation = talk(endpoints("a"))
        conversation.ack_all(conversation.ask(EDS, "a", "later"))
        assert listed(conversation.aim(endpoints("a"), endpoints("later"))) == [
            ("EDS", ["later"], [])
        ]

    def test_only_unknown_names(self) -> None:
        """S15: nothing to send is nothing sent; an empty list of clusters is a fact, though."""
        conversation = talk()
        assert conversation.ask(EDS, "later") == []
        assert listed(conversation.ask(CDS, "later")) == [("CDS", [], [])]

    def test_no_name_twice(self) -> None:
        """S16: a snapshot with two resources of one name cannot be made."""
        with pytest.raises(ValueError, match="are named 'a'"):
            Snapshot.of([listener("a", "v1"), listener("a", "v2")])

    def test_an_unsubscribed_type_is_not_sent(self) -> None:
        """S17: what became due before the client lost interest is not sent after."""
        conversation = talk(cluster("c"), routes("a"))
        [first] = conversation.ask(CDS)
        conversation.ack(first)
        conversation.ack_all(conversation.ask(RDS, "a"))
        # The clusters are under way, the routes wait for their answer.
        [second] = conversation.aim(cluster("c", "v2"), routes("a", "v2"))
        assert second.kind is kinds.CDS
        assert conversation.ask(RDS) == []
        assert conversation.ack(second) == []

    def test_the_number_of_names_is_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Memory that a client can fill has an end: the stream is ended, with the reason."""
        monkeypatch.setattr("controlplane.xds.stream._NAMES_LIMIT", 3)
        conversation = talk()
        conversation.ask(EDS, "a", "b", "c")
        with pytest.raises(ProtocolError, match="more than 3 names"):
            conversation.ask(EDS, "a", "b", "c", "d")
