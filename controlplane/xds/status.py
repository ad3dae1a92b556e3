"""What the store tells about connected proxies: the ground for conditions that are true.

A response being sent says little; a resource is programmed when every connected proxy has said
that it has that content.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class Nack:
    """A refusal that still stands.

    Attributes:
        version: of the response that was refused.
        message: the proxy's own words.
        resources: names of what is to blame, as far as that can be told.
    """

    version: str
    message: str
    resources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TypeState:
    """Where a proxy is with one type.

    Attributes:
        sent: version of the newest response; empty when none was needed yet.
        acked: version of the content that it has by its own word.
        nacked: the newest refusal that still stands, or None.
        wanted: version of the gateway's newest content.
        in_sync: it has the newest content, all of it.
        subscribed: how many resources it asks for; -1 for all.
    """

    sent: str
    acked: str
    nacked: Nack | None
    wanted: str
    in_sync: bool
    subscribed: int


@dataclass(frozen=True, slots=True)
class ProxyState:
    """One connected proxy.

    Attributes:
        node_id: its identity.
        gateway: which it serves, `namespace/name`.
        connected_at: when its oldest stream began.
        workers: how many worker threads it says to have; 0 when it does not say.
        agent: program and version.
        address: of its end of the connection.
        streams: how many it has open; more than one on single-type services, or when two proxies
            were given the same identity.
        waiting: empty, or why it is sent nothing.
        resumed: it brought content along from an earlier stream, so it was not just started.
        types: by type URL, for what it has asked for.
    """

    node_id: str
    gateway: str
    connected_at: datetime
    workers: int = 0
    agent: str = ""
    address: str = ""
    streams: int = 1
    waiting: str = ""
    resumed: bool = False
    types: Mapping[str, TypeState] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Delivery:
    """How far one resource has come.

    Attributes:
        wanted: the version that all should have; None when the gateway has no such resource.
        total: connected proxies of the gateway.
        lacking: node ids of those that do not have that version by their own word.
        refused: node id -> refusal that this resource is (or may be) to blame for; also of
            proxies that have left.
    """

    wanted: str | None
    total: int
    lacking: frozenset[str] = frozenset()
    refused: Mapping[str, Nack] = field(default_factory=dict)

    @property
    def current(self) -> int:
        """How many proxies have it."""
        return self.total - len(self.lacking)

    @property
    def complete(self) -> bool:
        """Whether every connected proxy has it, and there is one."""
        return self.wanted is not None and 0 < self.total == self.current
