"""Whether proxies run what an object asks for: by their own word, never by ours.

An object is in force on a proxy when that proxy has confirmed every Envoy resource that the object
is in. A refusal is told in the proxy's own words, since nobody else knows what it did not like.
Proxies of other replicas count by what those replicas report of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final, Literal

from controlplane.model import Condition
from controlplane.status.objects import Proxies
from controlplane.status.replicas import Fleet

if TYPE_CHECKING:
    from controlplane.model import ObjectRef
    from controlplane.status.replica_report import Taken
    from controlplane.translate.report import ResourceKey
    from controlplane.xds.status import Delivery

Deliver = Callable[[str, str, str], "Delivery"]
"""Tells how far a resource has come, by gateway, type URL and name."""

MAX_NAMED: Final = 3
_NOBODY_ELSE: Final = Fleet()


def count(
    ref: ObjectRef,
    taken: Taken,
    keys: Iterable[ResourceKey],
    deliver: Deliver,
    fleet: Fleet = _NOBODY_ELSE,
) -> tuple[Proxies, dict[str, str]]:
    """Count proxies that have all resources of an object; gives refusals by proxy, too."""
    lacking: dict[str, set[str]] = {}
    totals: dict[str, int] = {}
    refused: dict[str, str] = {}
    for gateway, type_url, name in keys:
        delivery = deliver(gateway, type_url, name)
        totals[gateway] = delivery.total
        lacking.setdefault(gateway, set()).update(delivery.lacking)
        elsewhere = fleet.nodes(gateway) if delivery.refused else frozenset()
        for node_id, nack in delivery.refused.items():
            if node_id not in elsewhere:  # where it is now, it says anew what it thinks of it
                refused.setdefault(node_id, nack.message)
    found = Proxies()
    for gateway, total in totals.items():
        moved = fleet.moved.get(gateway, frozenset())
        here = total - len(moved)
        found += Proxies(here - len(lacking[gateway] - moved), here)
        others, refused_there = fleet.count(gateway, str(ref), taken)
        found += others
        refused = {**refused_there, **refused}
    return found, refused


def programmed(
    proxies: Proxies, refused: dict[str, str], generation: int, fleet: Fleet = _NOBODY_ELSE
) -> Condition:
    """Say whether all connected proxies run it."""

    def say(status: Literal["True", "False", "Unknown"], reason: str, words: str = "") -> Condition:
        counted = f"{proxies} of this replica" if fleet.alone else str(proxies)
        message = "; ".join(filter(None, (counted, *fleet.unread, words)))
        return Condition("Programmed", status, reason, message, generation)

    if refused:
        return say("False", "Rejected", _words(refused))
    if proxies.programmed < proxies.total or fleet.unread:
        return say("False", "Pending")
    if not proxies.total:
        where = " to this replica" if fleet.alone else ""
        message = f"no proxy is connected{where}"
        return Condition("Programmed", "Unknown", "NoProxies", message, generation)
    return say("True", "Programmed")


def _words(refused: dict[str, str]) -> str:
    named = sorted(refused.items())[:MAX_NAMED]
    words = "; ".join(f"{node_id} refuses it: {message}" for node_id, message in named)
    more = len(refused) - len(named)
    return f"{words}; and {more} more" if more else words
