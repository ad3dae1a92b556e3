"""A filter whose code a proxy has yet to fetch: sent again, until it has it or it must be bad."""

from __future__ import annotations

import pytest

from controlplane.xds import kinds
from controlplane.xds.events import Accepted, Postponed, Refused
from controlplane.xds.fetching import LONGEST, SHORTEST, TRIES
from controlplane.xds.resource import WORD, Resource
from tests.unit.xds.samples import extension
from tests.unit.xds.talk import Talk

ECDS = kinds.EXTENSION
NOT_YET = "Unable to create Wasm plugin sale"


def remote(text: str = "v1", name: str = "sale") -> Resource:
    body = f"{text} code.wasm?{WORD} and more".encode()
    return Resource.of(ECDS, name, body, b"opening " + body)


@pytest.fixture(params=[True, False], ids=["delta", "sotw"])
def conversation(request: pytest.FixtureRequest) -> Talk:
    return Talk(remote(), delta=request.param)


def test_it_is_sent_again_in_other_bytes(conversation: Talk) -> None:
    [first] = conversation.ask(ECDS, "sale")
    assert conversation.nack(first, NOT_YET) == []
    [event] = conversation.events()
    assert isinstance(event, Postponed)
    assert conversation.wait(SHORTEST * 0.9) == []
    deadline = conversation.stream.deadline()
    assert deadline is not None
    assert conversation.now < deadline <= conversation.now + SHORTEST
    [second] = conversation.wait(SHORTEST * 0.2)
    [before], [after] = first.resources, second.resources
    assert before.version == after.version == remote().version
    # A client that has just started gets it in a way of its own, once.
    assert (before.body.startswith(b"opening"), after.body.startswith(b"opening")) == (True, False)
    assert WORD.encode() not in before.body + after.body
    assert not conversation.stream.has(ECDS, "sale", remote().version)
    conversation.ack(second)
    [event] = conversation.events()
    assert isinstance(event, Accepted)
    assert conversation.stream.has(ECDS, "sale", remote().version)
    assert conversation.stream.deadline() is None
    assert conversation.wait(3600) == []


def test_each_time_in_other_bytes(conversation: Talk) -> None:
    [reply] = conversation.ask(ECDS, "sale")
    bodies = set()
    for _ in range(3):
        conversation.nack(reply, NOT_YET)
        [reply] = conversation.wait(LONGEST)
        bodies.add(reply.resources[0].body)
    assert len(bodies) == 3


def test_who_has_something_in_its_place_never_gets_it_as_at_the_start(conversation: Talk) -> None:
    [first] = conversation.ask(ECDS, "sale")
    conversation.ack(first)
    [second] = conversation.aim(remote("v2"))
    assert second.resources[0].body.startswith(b"v2")


def test_nor_does_who_was_there_before(conversation: Talk) -> None:
    options = {"initial": {"gone": "1"}} if conversation.delta else {"version": "1"}
    conversation.ask(kinds.CLUSTER, "gone", **options)
    [reply] = conversation.ask(ECDS, "sale")
    assert reply.resources[0].body.startswith(b"v1")


def test_at_last_the_refusal_counts(conversation: Talk) -> None:
    [reply] = conversation.ask(ECDS, "sale")
    for _ in range(TRIES):
        assert conversation.nack(reply, NOT_YET) == []
        assert [type(event) for event in conversation.events()] == [Postponed]
        [reply] = conversation.wait(LONGEST + 0.1)
    assert conversation.nack(reply, NOT_YET) == []
    [event] = conversation.events()
    assert isinstance(event, Refused)
    assert event.blamed == ({"sale": remote().version},)
    assert conversation.wait(3600) == []
    # By hand once more, with as many tries.
    [reply] = conversation.aim(remote(), retries=1)
    assert conversation.nack(reply, NOT_YET) == []
    assert [type(event) for event in conversation.events()] == [Postponed]
    assert len(conversation.wait(LONGEST)) == 1


def test_other_content_is_sent_at_once(conversation: Talk) -> None:
    [first] = conversation.ask(ECDS, "sale")
    conversation.nack(first, NOT_YET)
    [second] = conversation.aim(remote("v2"))
    assert conversation.nack(second, NOT_YET) == []
    [third] = conversation.wait(SHORTEST)
    conversation.ack(third)
    assert conversation.stream.has(ECDS, "sale", remote("v2").version)


@pytest.mark.parametrize("message", ["Unable to parse JSON", ""])
def test_other_refusals_count_at_once(conversation: Talk, message: str) -> None:
    [first] = conversation.ask(ECDS, "sale")
    conversation.nack(first, message)
    assert [type(event) for event in conversation.events()] == [Refused]


def test_code_of_the_proxys_own_machine_is_not_fetched() -> None:
    conversation = Talk(extension("sale"), delta=True)
    [first] = conversation.ask(ECDS, "sale")
    assert first.resources == (extension("sale"),)
    conversation.nack(first, NOT_YET)
    assert [type(event) for event in conversation.events()] == [Refused]


def test_a_name_given_up_is_not_sent_again() -> None:
    conversation = Talk(remote(), remote(name="quota"), delta=True)
    [first] = conversation.ask(ECDS, "sale", "quota")
    conversation.nack(first, NOT_YET)
    conversation.ask(ECDS, unsubscribe=["sale"])
    [second] = conversation.wait(SHORTEST)
    assert [one.name for one in second.resources] == ["quota"]
