"""Content that a client refuses for now, as it has yet to fetch a part of it.

Envoy refuses a Wasm filter whose code is not in its cache, keeps what it has, and begins to fetch
the code (`nack_on_code_cache_miss`). Nothing tells when it is done; so the content is sent again,
soon at first. Without that flag Envoy says yes, and where the listener is at work already, never
fetches the code and runs no filter at all.

A proxy that has just started gets it without the flag: there Envoy lets its listeners begin only
when they have the code. With it they would begin at once, and answer 500 until they have it.

The bytes must differ from those that were refused (see `Resource.reworded`): of equal ones Envoy
says that it has them, and does nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from controlplane.xds.resource import Resource

TRIES: Final = 24
"""After so many, a minute and a half, the refusal counts: the code is bad, or cannot be had."""
SHORTEST: Final = 0.1
LONGEST: Final = 5.0
_NOT_YET: Final = "Unable to create Wasm"


@dataclass(slots=True)
class _Attempt:
    """Content that was sent in vain; `at` is when it is sent again, once that is known."""

    version: str
    tries: int
    at: float | None = None


class Fetching:
    """What one client has yet to fetch, of one type."""

    def __init__(self) -> None:
        self._attempts: dict[str, _Attempt] = {}

    def postpone(self, refused: Iterable[Resource], message: str) -> bool:
        """Tell whether a refusal only means "not yet"; then what was refused is for later."""
        fetched = [one for one in refused if one.fetched]
        if not fetched or _NOT_YET not in message:
            return False
        attempts = {one.name: self._next(one) for one in fetched}
        if max(attempt.tries for attempt in attempts.values()) > TRIES:
            self.forget(attempts)
            return False
        self._attempts.update(attempts)
        return True

    def _next(self, resource: Resource) -> _Attempt:
        before = self._attempts.get(resource.name)
        same = before is not None and before.version == resource.version
        return _Attempt(resource.version, before.tries + 1 if before and same else 1)

    def waits(self, name: str, version: str, now: float) -> bool:
        """Tell whether this content is not to be sent yet."""
        attempt = self._attempts.get(name)
        if attempt is None or attempt.version != version:
            return False
        if attempt.at is None:
            attempt.at = now + min(LONGEST, SHORTEST * 2.0 ** (attempt.tries - 1))
        return now < attempt.at

    def tried(self, name: str) -> bool:
        """Tell whether the client was sent some content of this name in vain."""
        return name in self._attempts

    def moments(self) -> Iterator[float]:
        """When something is to be sent again."""
        return (attempt.at for attempt in self._attempts.values() if attempt.at is not None)

    def forget(self, names: Iterable[str]) -> None:
        """Drop names: the client has them, or does not want them any more."""
        for name in names:
            self._attempts.pop(name, None)

    def clear(self) -> None:
        """Begin anew: the cause may have been mended."""
        self._attempts.clear()
