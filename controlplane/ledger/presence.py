"""Which proxies are connected, which were lost and when: the evidence after a loss of books.

Whoever was let in since the last look at the books is known to the proxy that let them in. As long
as every proxy that was there is still there, nothing can be missing; a proxy that ended in between
may have taken permits with it. A proxy counts as back only if it went on with its stream: one that
was started afresh remembers nothing.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from controlplane.ledger.state import Place

FORGET_AFTER_SECONDS = 24 * 3600.0
MAX_LOST = 10_000


@dataclass(frozen=True, slots=True)
class Connected:
    """One connected proxy; `fresh` when its stream began without any earlier configuration."""

    node_id: str
    gateway: str
    fresh: bool = False
    #: When the stream began, on any clock: two streams of one proxy differ in it.
    since: float = 0.0


class Presence:
    """Follows the proxies of all gateways; times are of the monotonic clock."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._here: dict[Place, Connected] = {}
        self._lost: dict[Place, float] = {}
        self._versions: Counter[str] = Counter()

    def version(self, gateways: Iterable[str]) -> int:
        """Give a number that grows with each change at these gateways."""
        return sum(self._versions[gateway] for gateway in gateways)

    def update(self, proxies: Iterable[Connected]) -> None:
        """Take the proxies that are connected now."""
        now = self._monotonic()
        here = {(proxy.gateway, proxy.node_id): proxy for proxy in proxies}
        for place, proxy in self._here.items():
            after = here.get(place)
            if after is None or (after.fresh and after.since != proxy.since):
                self._lost[place] = now
        for place, proxy in here.items():
            before = self._here.get(place)
            if not proxy.fresh and (before is None or before.since != proxy.since):
                self._lost.pop(place, None)
        for place in self._here.keys() | here.keys():
            if self._here.get(place) != here.get(place):
                self._versions[place[0]] += 1
        self._here = here
        self._prune(now)

    def recall(self, places: Iterable[Place]) -> None:
        """Take proxies that an earlier control plane knew: lost until they are seen to go on."""
        now = self._monotonic()
        for place in places:
            self._versions[place[0]] += 1
            known = self._here.get(place)
            if known is None or known.fresh:
                self._lost.setdefault(place, now)

    def connected(self, gateways: Collection[str]) -> tuple[Place, ...]:
        """Give the proxies connected to these gateways, in order."""
        return tuple(sorted(place for place in self._here if place[0] in gateways))

    def lost_since(self, gateways: Collection[str], moment: float) -> tuple[Place, ...]:
        """Give the proxies of these gateways lost at `moment` or later, and not back yet."""
        return tuple(
            sorted(
                place
                for place, when in self._lost.items()
                if place[0] in gateways and when >= moment
            )
        )

    def goes_on(self, place: Place) -> bool:
        """Tell whether a proxy is connected that was so before, and remembers what it knew."""
        proxy = self._here.get(place)
        return proxy is not None and not proxy.fresh

    @property
    def lost(self) -> Mapping[Place, float]:
        """All lost proxies with the time of their loss."""
        return dict(self._lost)

    def _prune(self, now: float) -> None:
        stale = [one for one, when in self._lost.items() if now - when > FORGET_AFTER_SECONDS]
        for place in stale:
            del self._lost[place]
        while len(self._lost) > MAX_LOST:
            del self._lost[next(iter(self._lost))]
