"""What is remembered of the exchange with a client: what it claims, and what it must answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from controlplane.xds.resource import Resource


@dataclass(frozen=True, slots=True)
class Claim:
    """What a client may have, without anybody here knowing the content.

    Attributes:
        version: that it names when it reconnects; empty where it refused a response, and may or
            may not have applied this part of it.
    """

    version: str


@dataclass(slots=True)
class Sent:
    """A response that the client has not answered yet.

    Attributes:
        nonce: pairs it with the answer.
        version: of the type's content.
        contents: all that is in it.
        changed: the part of it that the client did not have.
        forced: names in it that were to be sent whether or not the client had them.
        removed: names told to be gone.
        at: when it was sent, in seconds.
        serial: of the view it was made from.
        void: names that the client has dropped since: the answer does not count for them.
    """

    nonce: str
    version: str
    contents: Mapping[str, Resource]
    changed: tuple[Resource, ...]
    forced: frozenset[str]
    removed: tuple[str, ...]
    at: float
    serial: int
    void: set[str] = field(default_factory=set)
