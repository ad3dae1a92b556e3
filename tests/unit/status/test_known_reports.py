"""Which reports count: those whose heartbeat is heard, by a clock that stands still in silence."""

from __future__ import annotations

import pytest

from controlplane.status.known_reports import HeardClock, KnownReports, ReplicaTerms
from controlplane.status.replica_report import ReplicaReport, ReportedGateway

TERMS = ReplicaTerms(heartbeat=10.0, stale=30.0, dead=600.0, reconnect=6.0)
B, C = ReplicaReport("b"), ReplicaReport("c")


class Scene:
    """Reports, and the time."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.known = KnownReports(TERMS, lambda: self.now)

    def passes(self, seconds: float, *, heard: bool = True) -> None:
        """Time goes by; with `heard`, our own heartbeat comes back as ever."""
        while seconds > 0:
            step = min(seconds, TERMS.heartbeat)
            self.now += step
            seconds -= step
            if heard:
                self.known.heard()


@pytest.fixture
def scene() -> Scene:
    made = Scene()
    made.known.heard()
    made.known.see("b", "1", B)
    made.known.see("c", "2", C)
    return made


def test_a_report_counts_until_its_heart_stops(scene: Scene) -> None:
    assert scene.known.counted() == (B, C)
    for _ in range(3):
        scene.passes(10)
        scene.known.see("c", "2", C)
    assert scene.known.counted() == (B, C)
    scene.passes(0.1)
    assert scene.known.counted() == (C,)
    scene.known.see("b", "1", B)
    assert scene.known.counted() == (B, C)


def test_in_silence_nobody_grows_old(scene: Scene) -> None:
    scene.passes(3600, heard=False)
    assert scene.known.counted() == (B, C)
    scene.known.heard()
    # The server is back: others have as long as they would have had, less one heartbeat.
    scene.passes(15)
    assert scene.known.counted() == (B, C)
    scene.passes(10)
    assert scene.known.counted() == ()


def test_who_leaves_in_order_counts_until_its_proxies_had_time_to_come_back(scene: Scene) -> None:
    scene.known.leave("b")
    scene.passes(6)
    assert scene.known.counted() == (B, C)
    scene.known.leave("b")
    scene.passes(0.1)
    assert scene.known.counted() == (C,)
    scene.known.leave("nobody")


def test_one_that_comes_back_stays(scene: Scene) -> None:
    scene.known.leave("b")
    scene.known.see("b", "3", B)
    scene.passes(20)
    assert scene.known.counted() == (B, C)


def test_a_heartbeat_is_no_news(scene: Scene) -> None:
    before = scene.known.counted()
    scene.known.see("b", "1", ReplicaReport("b", "later", 2))
    assert scene.known.counted()[0] is before[0]
    scene.known.see("b", "1", ReplicaReport("b", gateways={"a": ReportedGateway()}))
    assert scene.known.counted()[0] is not before[0]


def test_what_cannot_be_read_is_told_as_long_as_it_would_count(scene: Scene) -> None:
    scene.known.see("b", "1", None, "it is of version 2")
    assert scene.known.counted() == (C,)
    assert scene.known.unread() == ("the report b cannot be read: it is of version 2",)
    assert scene.known.is_unread("b", "it is of version 2")
    assert not scene.known.is_unread("b", "why")
    assert not scene.known.is_unread("c", "it is of version 2")
    scene.passes(31)
    assert scene.known.unread() == ()


def test_the_dead_are_told_by_their_uid(scene: Scene) -> None:
    scene.passes(600)
    assert scene.known.dead() == ()
    scene.known.see("c", "2", C)
    scene.passes(0.1)
    assert scene.known.dead() == (("b", "1"),)
    scene.known.leave("b")
    assert scene.known.dead() == ()


def test_the_clock_goes_on_no_longer_than_something_is_heard() -> None:
    now = 5.0
    clock = HeardClock(2.0, lambda: now)
    now = 6.0
    assert clock.now() == 1.0
    now = 60.0
    assert clock.now() == 2.0
    clock.heard()
    assert clock.now() == 2.0
    now = 61.0
    assert clock.now() == 3.0
