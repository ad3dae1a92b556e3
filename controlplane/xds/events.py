"""What a stream's state machine sends, and what it has learned from the client.

The machine touches neither the network nor the store: whoever drives it writes the replies to the
client and hands the events on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from controlplane.xds import wire

if TYPE_CHECKING:
    from controlplane.xds.kinds import Kind
    from controlplane.xds.parking import Blame
    from controlplane.xds.resource import Resource


@dataclass(frozen=True, slots=True)
class Reply:
    """One response to the client.

    Attributes:
        kind: its type.
        delta: in which variant it is written.
        version: of the content that the response brings the client to.
        nonce: unique on the stream; the client's answer repeats it.
        resources: no name twice, and none that is in `removed` (S16, D7).
        removed: names that are gone (delta only).
    """

    kind: Kind
    delta: bool
    version: str
    nonce: str
    resources: tuple[Resource, ...] = ()
    removed: tuple[str, ...] = ()

    def encode(self) -> bytes:
        """The response's bytes, joined from what the resources keep encoded."""
        if self.delta:
            return wire.delta(self.version, self.kind.url, self.nonce, self.resources, self.removed)
        return wire.sotw(self.version, self.kind.url, self.nonce, self.resources)


@dataclass(frozen=True, slots=True)
class Accepted:
    """The client has this content: it said so, or it brought it along from an earlier stream.

    Attributes:
        kind: the type.
        resources: those that it did not have before.
        serial: of the view from which they were sent.
        pushed: False when the client brought the content along.
    """

    kind: Kind
    resources: tuple[Resource, ...]
    serial: int
    pushed: bool = True


@dataclass(frozen=True, slots=True)
class Refused:
    """The client refused a response (NACK).

    Attributes:
        kind: the type.
        version: of the response.
        message: the client's own words.
        blamed: groups of what is to blame together, each name -> version; the version is empty
            for a removal.
    """

    kind: Kind
    version: str
    message: str
    blamed: Blame = ()

    @property
    def names(self) -> list[str]:
        """All names that are to blame."""
        return sorted({name for group in self.blamed for name in group})


@dataclass(frozen=True, slots=True)
class Postponed:
    """The client will not have a response yet, and gets it again in a moment.

    Attributes:
        kind: the type.
        message: the client's own words.
    """

    kind: Kind
    message: str


@dataclass(frozen=True, slots=True)
class Ignored:
    """A request had no effect, or only in part.

    Attributes:
        reason: `stale_nonce` or `unknown_type`.
        type_url: of the request.
    """

    reason: str
    type_url: str


Event = Accepted | Refused | Postponed | Ignored


@dataclass(frozen=True, slots=True)
class TypeReport:
    """What a stream knows about one type, for the status.

    Attributes:
        sent: version of the last response; empty when there was none.
        acked: version of the content that the client has by its own word.
        in_sync: the client has all that this stream is to bring it.
        subscribed: how many names it asks for; -1 for all.
    """

    sent: str
    acked: str
    in_sync: bool
    subscribed: int
