"""What is news about an object, for the Events that `kubectl describe` shows.

Told from the status that stood there to the one that was written, so that every transition is told
once, by whichever replica wrote it, and none again after a restart. Numbers are no news, and
neither is what every edit goes through.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from controlplane.model.gateway import CONTROLLER_NAME
from controlplane.status.objects import SalePhase
from controlplane.status.shapes import by_type, items

if TYPE_CHECKING:
    from collections.abc import Iterator

    from controlplane.kube.events import EventType

_TOLD: Final = ("Accepted", "Programmed")
"""Types of conditions whose flips are told."""
_PASSING: Final = frozenset({"Pending", "NoProxies"})
"""Reasons that come and go with every edit, and with every proxy."""


@dataclass(frozen=True, slots=True)
class News:
    """One transition."""

    reason: str
    note: str
    type: EventType = "Normal"


def news(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[News]:
    """Tell what has become other between two statuses of one object."""
    yield from _flips(before, after)
    known = {str(one.get("parentRef")): one for one in _our_parents(before)}
    for parent in _our_parents(after):
        reference = parent.get("parentRef")
        name = reference.get("name", "") if isinstance(reference, Mapping) else ""
        yield from _flips(known.get(str(reference), {}), parent, f"by {name}")
    yield from _phases(before, after)


def _flips(before: Mapping[str, Any], after: Mapping[str, Any], where: str = "") -> Iterator[News]:
    old, new = by_type(before), by_type(after)
    for kind in _TOLD:
        now = new.get(kind, {})
        was = old.get(kind, {}).get("status", "Unknown")
        if now.get("status", "Unknown") in {was, "Unknown"}:
            continue
        words = " ".join(part for part in (where, str(now.get("message") or "")) if part)
        if now["status"] == "True":
            yield News(kind, words or kind)
        elif now.get("reason") not in _PASSING:
            yield News(f"Not{kind}", f"{now.get('reason')}: {words}", "Warning")


def _phases(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[News]:
    was, now = before.get("state"), after.get("state")
    if was == now:
        return
    admitted, remaining = after.get("admitted", 0), after.get("remaining", 0)
    if now == SalePhase.OPEN.value:
        again = "again " if was in {SalePhase.SOLD_OUT.value, SalePhase.SUSPENDED.value} else ""
        yield News("SaleOpened", f"the sale is open {again}with {remaining} left")
    elif now == SalePhase.SOLD_OUT.value:
        yield News("SaleSoldOut", f"sold out: {admitted} users were let in")
    elif now == SalePhase.ENDED.value:
        yield News("SaleEnded", f"the sale has ended: {admitted} users were let in")


def _our_parents(status: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = items(status, "parents")
    return [one for one in found if one.get("controllerName") == CONTROLLER_NAME]
