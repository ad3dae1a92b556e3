"""Who is to blame for a refused response, and what is not sent again because of it.

A client refuses a response as a whole, with a text. Sending it again would be refused again, for
ever, so what is to blame is parked: it is not sent on this stream until the content changes (S7).
Who that is follows from three facts: content that the client accepted before is innocent; Envoy
names the clusters and listeners it refuses; if neither narrows it down, all that was new is
suspect together. Suspects are parked as a group and leave together, as soon as one of them
changes: the fix to the guilty one must not leave the others behind.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

GONE = ""  # stands for the version of a removal

Blame = tuple[Mapping[str, str], ...]  # groups of name -> version


def blame(suspects: Mapping[str, str], message: str) -> Blame:
    """Each of the suspects that the message names, or else all of them together."""
    named = tuple({name: version} for name, version in suspects.items() if _mentions(message, name))
    return named or ((dict(suspects),) if suspects else ())


def _mentions(message: str, name: str) -> bool:
    # As a whole word: "edge-80" is not meant where "edge-8080" is written.
    return re.search(rf"(?<![\w./-]){re.escape(name)}(?![\w/-]|\.\w)", message) is not None


class Parking:
    """The refused content of one type on one stream."""

    def __init__(self) -> None:
        self._groups: list[dict[str, str]] = []

    def __bool__(self) -> bool:
        return bool(self._groups)

    def park(self, group: Mapping[str, str]) -> None:
        """Remembers name -> version of content that was refused together."""
        if group and group not in self._groups:
            self._groups.append(dict(group))

    def holds(self, name: str, version: str) -> bool:
        """Whether this content must not be sent."""
        return bool(self._groups) and any(group.get(name) == version for group in self._groups)

    def holds_any(self, names: Iterable[str]) -> bool:
        """Whether any content under these names is parked."""
        return any(name in group for group in self._groups for name in names)

    def release(self, names: Collection[str]) -> set[str]:
        """Frees every group with one of these names; gives all names of those groups."""
        freed = [group for group in self._groups if any(name in group for name in names)]
        self._groups = [group for group in self._groups if group not in freed]
        return {name for group in freed for name in group}

    def forget(self, name: str) -> None:
        """Drops a name: the client does not want it any more, or has taken it after all."""
        rest = [{one: group[one] for one in group if one != name} for group in self._groups]
        self._groups = [group for group in rest if group]

    def release_all(self) -> set[str]:
        """Frees everything."""
        return self.release({name for group in self._groups for name in group})
