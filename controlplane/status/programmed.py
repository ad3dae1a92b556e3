"""Whether proxies run what an object asks for: by their own word, never by ours.

An object is in force on a proxy when that proxy has confirmed every Envoy resource that the object
is in. A refusal is told in the proxy's own words, since nobody else knows what it did not like.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from controlplane.model import Condition
from controlplane.status.objects import Proxies

if TYPE_CHECKING:
    from controlplane.translate.report import ResourceKey
    from controlplane.xds.status import Delivery

Deliver = Callable[[str, str, str], "Delivery"]
"""Tells how far a resource has come, by gateway, type URL and name."""

MAX_NAMED: Final = 3


def count(keys: Iterable[ResourceKey], deliver: Deliver) -> tuple[Proxies, dict[str, str]]:
    """Count proxies that have all of these resources; gives refusals by proxy, too."""
    by_gateway: dict[str, Proxies] = {}
    refused: dict[str, str] = {}
    for gateway, type_url, name in keys:
        delivery = deliver(gateway, type_url, name)
        known = by_gateway.get(gateway, Proxies(delivery.total, delivery.total))
        has = 0 if delivery.wanted is None else delivery.current
        by_gateway[gateway] = Proxies(min(known.programmed, has), delivery.total)
        for node_id, nack in delivery.refused.items():
            refused.setdefault(node_id, nack.message)
    return sum(by_gateway.values(), Proxies()), refused


def programmed(proxies: Proxies, refused: dict[str, str], generation: int) -> Condition:
    """Say whether all connected proxies run it."""
    if refused:
        return Condition(
            "Programmed", "False", "Rejected", f"{proxies}; {_words(refused)}", generation
        )
    if not proxies.total:
        return Condition("Programmed", "Unknown", "NoProxies", "no proxy is connected", generation)
    if proxies.programmed < proxies.total:
        return Condition("Programmed", "False", "Pending", str(proxies), generation)
    return Condition("Programmed", "True", "Programmed", str(proxies), generation)


def _words(refused: dict[str, str]) -> str:
    named = sorted(refused.items())[:MAX_NAMED]
    words = "; ".join(f"{node_id} refuses it: {message}" for node_id, message in named)
    more = len(refused) - len(named)
    return f"{words}; and {more} more" if more else words
