"""What is news: each flip once, and nothing that every edit goes through."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.model.gateway import CONTROLLER_NAME
from controlplane.status.transitions import news


def said(status: str, reason: str = "Programmed", kind: str = "Programmed") -> dict[str, Any]:
    condition = {"type": kind, "status": status, "reason": reason, "message": "words"}
    return {"conditions": [condition]}


def reasons(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    return [one.reason for one in news(before, after)]


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ({}, said("True"), ["Programmed"]),
        (said("True"), said("True", "Other"), []),
        (said("True"), said("False", "Pending"), []),
        (said("True"), said("Unknown", "NoProxies"), []),
        (said("True"), said("False", "Rejected"), ["NotProgrammed"]),
        (said("False", "Rejected"), said("True"), ["Programmed"]),
        ({}, said("False", "TargetNotFound", "Accepted"), ["NotAccepted"]),
        ({}, said("False", "RedisUnavailable", "Ready"), []),
        ({}, {"state": "Scheduled"}, []),
        ({"state": "Scheduled"}, {"state": "Open"}, ["SaleOpened"]),
        ({"state": "Open"}, {"state": "Open", "admitted": 7}, []),
        ({"state": "Open"}, {"state": "SoldOut"}, ["SaleSoldOut"]),
        ({"state": "SoldOut"}, {"state": "Open"}, ["SaleOpened"]),
        ({"state": "SoldOut"}, {"state": "Ended"}, ["SaleEnded"]),
    ],
)
def test_news(before: dict[str, Any], after: dict[str, Any], told: list[str]) -> None:
    assert reasons(before, after) == told


def test_parents_of_a_route_each_have_their_own() -> None:
    def parents(*entries: tuple[str, str, str]) -> dict[str, Any]:
        return {
            "parents": [
                {"controllerName": controller, "parentRef": {"name": name}}
                | said(status, "Accepted", "Accepted")
                for controller, name, status in entries
            ]
        }

    before = parents((CONTROLLER_NAME, "a", "True"), ("other", "b", "True"))
    after = parents(
        (CONTROLLER_NAME, "a", "True"), (CONTROLLER_NAME, "c", "True"), ("other", "b", "False")
    )
    [only] = news(before, after)
    assert (only.reason, only.note) == ("Accepted", "by c words")
