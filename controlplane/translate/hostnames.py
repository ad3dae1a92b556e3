"""Hostnames of listeners and routes: what they have in common and which is more specific.

The rules are those of the Gateway API: a wildcard stands for one or more leading labels, so
``*.example.com`` holds ``a.example.com`` and ``a.b.example.com`` but not ``example.com``, and no
hostname at all holds every name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ANY = "*"


def covers(general: str, special: str) -> bool:
    """Whether every name that `special` stands for is one that `general` stands for."""
    if general in {ANY, special}:
        return True
    if not general.startswith("*."):
        return False
    suffix = general[1:]
    return special.endswith(suffix) and len(special) > len(suffix)


def intersect(listener: str, routes: Iterable[str]) -> tuple[str, ...]:
    """The names that a listener and a route serve together, sorted; empty when there are none.

    Of two names that overlap the more specific one stands for what they have in common.
    """
    names = tuple(routes) or (ANY,)
    common = {
        name if covers(listener, name) else listener
        for name in names
        if covers(listener, name) or covers(name, listener)
    }
    return tuple(sorted(common))


def specificity(hostname: str) -> tuple[int, int]:
    """Sorts the more specific name first: no wildcard before wildcard, then more characters."""
    if hostname == ANY:
        return (2, 0)
    return (1 if hostname.startswith("*.") else 0, -len(hostname))


def covering(hostname: str) -> Iterator[str]:
    """Every name that holds this one, the most specific first: itself, wildcards, every name."""
    yield hostname
    labels = hostname.removeprefix("*.").split(".")
    if hostname == ANY:
        return
    first = 1 if not hostname.startswith("*.") else 0
    for start in range(first, len(labels)):
        name = f"*.{'.'.join(labels[start:])}"
        if name != hostname:
            yield name
    yield ANY
