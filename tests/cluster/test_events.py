from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from controlplane.kube import (
    EVENTS,
    EventRecorder,
    Happening,
    Object,
    Reporter,
    ResourceType,
    Session,
    regarding,
)
from controlplane.kube.events import Series
from tests.cluster.widgets import WIDGETS, install_widgets, widget
from tests.testkit.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.cluster.api_server import ApiServer

pytestmark = pytest.mark.cluster
REPORTER = Reporter("sluice.dev/control-plane", "sluice-7d4b9-abcde")
NAMESPACES = ResourceType("", "v1", "namespaces", "Namespace", namespaced=False)


class Clock:
    """A monotonic clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def recorder(session: Session, clock: Clock) -> AsyncIterator[EventRecorder]:
    recorder = EventRecorder(session, REPORTER, clock)
    task = asyncio.create_task(recorder.run())
    yield recorder
    assert not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def made(shared_api_server: ApiServer, session: Session, namespace: str) -> Object:
    await install_widgets(shared_api_server)
    return await session.create(WIDGETS, widget("one", namespace, size=1))


async def _events(session: Session, namespace: str, name: str = "one") -> list[Object]:
    found = (await session.page(EVENTS, namespace))["items"]
    return [event for event in found if event["regarding"]["name"] == name]


async def test_an_event_is_what_people_find_at_the_object(
    session: Session, namespace: str, made: Object, recorder: EventRecorder
) -> None:
    note = "Opened " + "ä" * 2000  # longer than the server allows, and cut within a character
    recorder.record(Happening(regarding(made), "Normal", "SaleOpened", "Open", note))
    (event,) = await eventually(lambda: _events(session, namespace))
    assert event["regarding"]["uid"] == made["metadata"]["uid"]
    assert event["note"].startswith("Opened ää")
    assert event["note"].endswith("...")
    assert (event["reason"], event["type"]) == ("SaleOpened", "Normal")
    assert recorder.lost == 0


async def test_repeats_become_a_series_that_is_written_seldom(
    session: Session, namespace: str, made: Object, recorder: EventRecorder, clock: Clock
) -> None:
    async def written() -> list[Object]:
        await eventually(recorder._waiting.empty)
        return await _events(session, namespace)

    for number in range(5):
        note = f"Rejected {number}"
        recorder.record(Happening(regarding(made), "Warning", "ConfigRejected", "Push", note))
    (event,) = await eventually(written)

    async def count(expected: int) -> None:
        async def so() -> bool:
            (event,) = await _events(session, namespace)
            return bool(event.get("series", {}).get("count") == expected)

        await eventually(so)

    await count(2)  # the first repeat is told at once, those after it later
    clock.now += 61
    recorder.record(Happening(regarding(made), "Warning", "ConfigRejected", "Push", "Again"))
    await count(6)
    clock.now += 400
    recorder.record(Happening(regarding(made), "Warning", "ConfigRejected", "Push", "Later"))

    async def another() -> bool:
        return len(await _events(session, namespace)) == 2

    await eventually(another)
    assert recorder.lost == 0
    assert event["reportingController"] == REPORTER.controller


async def test_a_series_goes_on_when_its_event_is_gone(
    session: Session, namespace: str, made: Object, recorder: EventRecorder, clock: Clock
) -> None:
    happening = Happening(regarding(made), "Normal", "SaleOpened", "Open", "Opened")
    recorder.record(happening)
    (event,) = await eventually(lambda: _events(session, namespace))
    await session.delete(EVENTS, event["metadata"]["name"], namespace)
    clock.now += 61
    recorder.record(happening)
    (again,) = await eventually(lambda: _events(session, namespace))
    assert again["metadata"]["name"] != event["metadata"]["name"]
    assert recorder.lost == 0


async def test_an_object_without_a_namespace_has_its_events_in_default(
    session: Session, namespace: str, recorder: EventRecorder
) -> None:
    obj = await session.get(NAMESPACES, namespace)
    happening = Happening(regarding(obj), "Normal", "Seen", "Look", "Seen")
    recorder.record(happening)
    (event,) = await eventually(lambda: _events(session, "default", namespace))
    assert event["regarding"]["kind"] == "Namespace"
    assert recorder.lost == 0


async def test_what_cannot_be_written_is_counted_and_ends_nothing(
    session: Session, namespace: str, made: Object, recorder: EventRecorder
) -> None:
    recorder.record(Happening(regarding(made), "Normal", "", "", ""))  # a reason is required
    recorder.record(Happening(regarding(made), "Normal", "SaleOpened", "Open", "Opened"))
    await eventually(lambda: _events(session, namespace))
    assert recorder.lost == 1


def test_the_number_of_series_is_bounded(clock: Clock) -> None:
    series = Series(REPORTER)
    now = datetime.now(UTC)
    for number in range(5000):
        reference = (("kind", "Widget"), ("name", f"w{number}"))
        series.take(Happening(reference, "Normal", "Seen", "Look", ""), now, clock.now)
    assert len(series._known) == 1024
