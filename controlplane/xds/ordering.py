"""When a type may be sent, and when a resource may be taken away: make before break.

Additions go out in the order of `kinds.KINDS`. Listeners and routes also wait for the answers to
what was sent before them, since a proxy confirms clusters only when they are ready for traffic: a
route that arrives earlier would answer 503. Removals go the other way: a cluster leaves only after
the listeners and routes that used it are in force (W1), and a moment later, because a request that
is being decided has chosen its cluster already.

A proxy that never answers must not stop the world, so each of these waits is bounded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from controlplane.xds import kinds
from controlplane.xds.exchange import Claim

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from controlplane.xds.kinds import Kind
    from controlplane.xds.progress import Progress


_NEVER = float("inf")
_NOW = float("-inf")


@dataclass(frozen=True, slots=True)
class Timing:
    """The bounds, in seconds.

    Attributes:
        hold: how long listeners and routes wait for the answer to one earlier response.
        linger: how long a removal waits after what used the resource is out of force. Longer
            than any request may be held by a filter.
        retire: after this time a removal happens, even if what used the resource was never
            confirmed. Not so if it was refused: then it is still in use, until that is mended.
    """

    hold: float = 10.0
    linger: float = 1.0
    retire: float = 30.0


class Ordering:
    """The order of one stream's responses."""

    def __init__(self, types: Mapping[str, Progress], timing: Timing) -> None:
        self._types = types
        self._timing = timing
        self._quiet_since: float | None = None
        self._blocked = False
        self._unblocked_at = _NOW

    def observe(self, now: float) -> None:
        """To be called before and after responses are made."""
        blocked = self._refused()
        if self._blocked and not blocked:
            # What was refused is mended, but not confirmed yet: the bound begins anew.
            self._unblocked_at = now
        self._blocked = blocked
        if not self._at_rest():
            self._quiet_since = None
        elif self._quiet_since is None:
            self._quiet_since = now

    def holds(self, kind: Kind, now: float) -> bool:
        """Whether a type has to wait for the answer to another one."""
        return self._held_until(kind) > now

    def may_leave(self, kind: Kind, name: str, since: float, now: float) -> bool:
        """Whether a resource may be removed now that has been unwanted since a moment."""
        return now >= self._leaves_at(kind, name, since)

    def deadline(self) -> float | None:
        """When something becomes possible without any message; None if nothing does."""
        return min(self._moments(), default=None)

    def _moments(self) -> Iterator[float]:
        for state in self._types.values():
            if state.outstanding:
                continue
            held = self._held_until(state.kind)
            if state.waits and held != _NOW:
                yield held
            yield from state.fetching.moments()
            for name, since in state.leaving.items():
                if (at := self._leaves_at(state.kind, name, since)) != _NEVER:
                    yield max(at, held)

    def _held_until(self, kind: Kind) -> float:
        unanswered = (self._types[url].outstanding for url in kind.after if url in self._types)
        return max((sent.at + self._timing.hold for sent in unanswered if sent), default=_NOW)

    def _leaves_at(self, kind: Kind, name: str, since: float) -> float:
        if kind.url == kinds.CLUSTER:
            return self._when_quiet(since)
        if kind.url == kinds.ENDPOINTS:
            return self._when_unasked(name, since)
        if kind.url == kinds.ROUTES:
            return self._when_listeners_are_in_force(since)
        return since

    def _when_quiet(self, since: float) -> float:
        """When what can refer to clusters is in force; never, while the client refuses it."""
        if self._refused():
            return _NEVER
        latest = max(since, self._unblocked_at) + self._timing.retire
        if self._quiet_since is None:
            return latest
        return min(self._quiet_since + self._timing.linger, latest)

    def _when_unasked(self, name: str, since: float) -> float:
        """When no cluster asks for these endpoints; one that leaves takes them along."""
        clusters = self._types.get(kinds.CLUSTER)
        if clusters is None or not clusters.seen:
            return since + self._timing.retire
        asking = _asking(clusters, name)
        if asking & clusters.leaving.keys():
            return _NEVER
        return since + (self._timing.retire if asking else self._timing.linger)

    def _when_listeners_are_in_force(self, since: float) -> float:
        listeners = self._types.get(kinds.LISTENER)
        settled = listeners is not None and listeners.seen and listeners.at_rest
        return since + (self._timing.linger if settled else self._timing.retire)

    def _at_rest(self) -> bool:
        listeners = self._types.get(kinds.LISTENER)
        if listeners is None or not listeners.subscription.active:
            return False
        return all(state.at_rest and not state.leaving for state in self._referrers())

    def _refused(self) -> bool:
        return any(state.parking for state in self._referrers())

    def _referrers(self) -> Iterator[Progress]:
        for url in kinds.REFERRERS:
            if url in self._types:
                yield self._types[url]


def _asking(clusters: Progress, endpoints: str) -> set[str]:
    """The clusters that the client has and that ask for these endpoints."""
    return {
        name
        for name, held in clusters.held.items()
        if (name if isinstance(held, Claim) else held.endpoints) == endpoints
    }
