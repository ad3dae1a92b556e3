"""The log tells each transition once, and nothing that passes by itself."""

from __future__ import annotations

from typing import Any

import pytest
from structlog.testing import capture_logs

from controlplane.model import ObjectRef, Problem
from controlplane.status.objects import Status
from controlplane.status.terminal import TerminalWriter
from tests.unit.status.facts import Proxies, Scene, books


class Told:
    """What the writer logs as the scene goes on."""

    def __init__(self) -> None:
        self.scene = Scene()
        self.writer = TerminalWriter()

    def after(self, *states: Any, **changes: Any) -> list[str]:
        self.scene.observe(*states, **changes)
        return self.write(self.scene.tracker.status)

    def write(self, status: Status) -> list[str]:
        with capture_logs() as logs:
            self.writer.write(status)
        return [
            f"{line['log_level']}: {line['event']} ({line.get('object') or line.get('sale', '')})"
            for line in logs
            if line["log_level"] != "debug"
        ]


@pytest.fixture
def told() -> Told:
    made = Told()
    made.after(books())
    return made


def test_the_first_look_tells_what_matters() -> None:
    assert Told().after(books()) == [
        "info: Sale changed (shop/laptop)",
        "info: Programmed is True (FlashSale shop/laptop)",
        "info: Programmed is True (Gateway shop/edge)",
    ]


def test_nothing_new_is_not_told(told: Told) -> None:
    assert told.after(books(admitted=1)) == []


def test_what_every_change_goes_through_is_not_told(told: Told) -> None:
    assert told.after(books(healing=True), deliver=Proxies(2, 1)) == []
    assert told.after(books(), deliver=Proxies(2, 2)) == []


def test_a_refusal_and_its_end_are_told(told: Told) -> None:
    refused = told.after(books(), deliver=Proxies(2, 1, {"edge-b": "no"}))
    assert "warning: Programmed is False (FlashSale shop/laptop)" in refused
    assert told.after(books(), deliver=Proxies(2, 1, {"edge-b": "no"})) == []
    assert "info: Programmed is True (FlashSale shop/laptop)" in told.after(
        books(), deliver=Proxies(2, 2)
    )


def test_lost_books_are_a_warning(told: Told) -> None:
    lost = told.after(books(closed="BooksLost"))
    assert "warning: BooksLost is True (FlashSale shop/laptop)" in lost


def test_problems_come_and_go() -> None:
    told = Told()
    problem = Problem(ObjectRef("FlashSale", "shop", "laptop"), "is wrong", file="a.yaml", line=3)
    assert told.write(Status(problems=(problem,))) == ["error: Problem found ()"]
    assert told.write(Status(problems=(problem,))) == []
    assert told.write(Status()) == ["info: Problem solved ()"]
