"""Which proxies count as lost, and when they count as back."""

from __future__ import annotations

from controlplane.ledger.presence import Connected, Presence

GATEWAYS = ("shop/edge",)
A, B = ("shop/edge", "a"), ("shop/edge", "b")


class Time:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def at(time: Time, moment: float, presence: Presence, *proxies: Connected) -> None:
    time.now = moment
    presence.update(proxies)


def test_a_proxy_whose_stream_ended_is_lost_until_it_goes_on() -> None:
    time = Time()
    presence = Presence(time)
    a, b = Connected("a", "shop/edge", fresh=True), Connected("b", "shop/edge", fresh=True)
    at(time, 1, presence, a, b)
    at(time, 2, presence, b)
    assert presence.lost_since(GATEWAYS, 2) == (A,)
    assert presence.lost_since(GATEWAYS, 2.5) == ()
    assert presence.lost_since(("shop/other",), 0) == ()
    at(time, 3, presence, Connected("a", "shop/edge", fresh=False, since=3), b)
    assert presence.lost_since(GATEWAYS, 0) == ()
    assert presence.connected(GATEWAYS) == (A, B)


def test_one_that_was_started_afresh_remembers_nothing() -> None:
    time = Time()
    presence = Presence(time)
    at(time, 1, presence, Connected("a", "shop/edge", fresh=True, since=1))
    at(time, 2, presence)
    at(time, 3, presence, Connected("a", "shop/edge", fresh=True, since=3))
    assert presence.lost_since(GATEWAYS, 0) == (A,)


def test_a_restart_too_quick_to_be_seen_as_an_absence() -> None:
    time = Time()
    presence = Presence(time)
    at(time, 1, presence, Connected("a", "shop/edge", fresh=True, since=1))
    at(time, 2, presence, Connected("a", "shop/edge", fresh=True, since=2))
    assert presence.lost_since(GATEWAYS, 2) == (A,)


def test_proxies_known_from_before_are_waited_for() -> None:
    time = Time()
    presence = Presence(time)
    at(time, 1, presence, Connected("a", "shop/edge", fresh=False, since=1))
    presence.recall([A, B])
    assert presence.lost_since(GATEWAYS, 0) == (B,)


def test_what_is_remembered_is_bounded() -> None:
    time = Time()
    presence = Presence(time)
    presence.recall(("shop/edge", f"p{n}") for n in range(20_000))
    at(time, 1, presence)
    assert len(presence.lost) == 10_000
    at(time, 100_000, presence)
    assert not presence.lost


def test_two_gateways_may_have_proxies_of_one_name() -> None:
    time = Time()
    presence = Presence(time)
    at(time, 1, presence, Connected("a", "shop/edge"), Connected("a", "shop/other"))
    at(time, 2, presence, Connected("a", "shop/edge"))
    assert presence.lost_since(GATEWAYS, 0) == ()
    assert presence.lost_since(("shop/other",), 0) == (("shop/other", "a"),)
