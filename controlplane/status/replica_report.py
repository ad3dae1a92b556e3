"""What one replica of the control plane tells the others of its proxies: the report and its bytes.

A report says by generations, not by content, what is in force where: replicas of different
versions make different configuration of the same objects, and have to work side by side for as
long as an upgrade takes. For the same reason readers pass over fields that they do not know, and
the version is raised only when an old reader would understand something wrong.

Many proxies lack the same many objects at the same time (all of them, after a restart of all), so
a list of objects is written once for each gateway, and proxies name it by its place.
"""

from __future__ import annotations

import gzip
import json
import zlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

VERSION: Final = 1
MAX_BYTES: Final = 900 * 1024
"""Of a compressed report; a ConfigMap may have 1 MiB."""
MAX_PLAIN_BYTES: Final = 64 * 1024 * 1024
_LATEST: Final = 2.0**36
"""Seconds since 1970: a little after the year 4000."""
MAX_WORDS: Final = 512
"""Characters of what a proxy said when it refused something."""
MAX_REFUSALS: Final = 3
"""Refusals told of one proxy; status names as many."""

Taken: TypeAlias = tuple[str, int]
"""Which object, and which edit of it: uid and generation."""
Refs: TypeAlias = frozenset[str]
"""Objects by kind, namespace and name: `FlashSale shop/laptop`."""


class ReportError(Exception):
    """A report that cannot be read or written; the message is one line that tells why."""


@dataclass(frozen=True, slots=True)
class ReportedProxy:
    """One proxy that is connected to a replica.

    Attributes:
        node: its identity.
        since: when its oldest stream began, in seconds since 1970 by the replica's clock.
        workers: as it says; 0 when it does not.
        behind: objects that are not in force there, as far as the replica has taken them in.
        refused: in its own words, which objects it refuses and why.
        fresh: its stream began without any earlier configuration: it was started then.
    """

    node: str
    since: float
    workers: int = 0
    behind: Refs = frozenset()
    refused: tuple[tuple[Refs, str], ...] = ()
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class ReportedGateway:
    """The proxies of one gateway, and the objects that its configuration was made from."""

    objects: Mapping[str, Taken] = field(default_factory=dict)
    proxies: tuple[ReportedProxy, ...] = ()


@dataclass(frozen=True, slots=True)
class ReplicaReport:
    """What one replica knows of its proxies.

    Attributes:
        replica: its identity.
        at: when this was written by its clock, for people: nobody compares it with another clock.
        beat: counts what it has written, heartbeats included.
        gateways: by `namespace/name`; those that have a proxy here.
    """

    replica: str
    at: str = ""
    beat: int = 0
    gateways: Mapping[str, ReportedGateway] = field(default_factory=dict)

    def same_as(self, other: ReplicaReport | None) -> bool:
        """Whether both tell the same, whenever they were written."""
        return other is not None and self.gateways == other.gateways

    @property
    def pending(self) -> bool:
        """Whether a proxy lacks something that it has not refused."""
        return any(
            proxy.behind - frozenset[str]().union(*(refs for refs, _ in proxy.refused))
            for gateway in self.gateways.values()
            for proxy in gateway.proxies
            if proxy.behind
        )


# ------------------------------------------------------------------------------------- writing
def encode(report: ReplicaReport) -> tuple[bytes, str]:
    """Give the bytes of a report, and what had to be left out so that it fits (else empty).

    First go the words of refusals; then the objects: then nobody counts anything as in force on
    these proxies, which is on the safe side.

    Raises:
        ReportError: it is too large even so.
    """
    steps = (
        (lambda one: one, ""),
        (_without_words, "what proxies said when they refused something"),
        (_without_objects, "which objects are in force"),
    )
    for shorten, left_out in steps:
        made = _compressed(shorten(report))
        if len(made) <= MAX_BYTES:
            return made, left_out
    raise ReportError(f"it has {len(made)} bytes, and {MAX_BYTES} are the most")


def _compressed(report: ReplicaReport) -> bytes:
    text = json.dumps(_document(report), ensure_ascii=False, separators=(",", ":"))
    return gzip.compress(text.encode(), compresslevel=6, mtime=0)


def _document(report: ReplicaReport) -> dict[str, Any]:
    return {
        "version": VERSION,
        "replica": report.replica,
        "at": report.at,
        "beat": report.beat,
        "gateways": {name: _gateway(one) for name, one in sorted(report.gateways.items())},
    }


def _gateway(gateway: ReportedGateway) -> dict[str, Any]:
    places: dict[Refs, int] = {}

    def place(refs: Refs) -> int:
        return places.setdefault(refs, len(places))

    proxies = [
        {
            "node": proxy.node,
            "since": round(proxy.since, 3),
            "workers": proxy.workers,
            **({"fresh": True} if proxy.fresh else {}),
            **({"behind": place(proxy.behind)} if proxy.behind else {}),
            **(
                {"refused": [[place(refs), words] for refs, words in proxy.refused]}
                if proxy.refused
                else {}
            ),
        }
        for proxy in gateway.proxies
    ]
    return {
        "objects": {ref: list(taken) for ref, taken in sorted(gateway.objects.items())},
        "lists": [sorted(refs) for refs in places],
        "proxies": proxies,
    }


def _without_words(report: ReplicaReport) -> ReplicaReport:
    return _each(report, lambda gateway: gateway, lambda proxy: replace(proxy, refused=()))


def _without_objects(report: ReplicaReport) -> ReplicaReport:
    return _each(
        report,
        lambda gateway: replace(gateway, objects={}),
        lambda proxy: replace(proxy, behind=frozenset(), refused=()),
    )


def _each(
    report: ReplicaReport,
    of_gateway: Callable[[ReportedGateway], ReportedGateway],
    of_proxy: Callable[[ReportedProxy], ReportedProxy],
) -> ReplicaReport:
    gateways = {
        name: of_gateway(replace(gateway, proxies=tuple(map(of_proxy, gateway.proxies))))
        for name, gateway in report.gateways.items()
    }
    return replace(report, gateways=gateways)


# ------------------------------------------------------------------------------------- reading
def decode(data: bytes) -> ReplicaReport:
    """Read a report.

    Raises:
        ReportError: this is none, or one of a version that means something else.
    """
    try:
        document = json.loads(_plain(data))
        version = document["version"]
        if version != VERSION:
            raise ReportError(f"it is of version {version!r}, and {VERSION} is known here")
        return ReplicaReport(
            replica=_text(document["replica"]),
            at=_text(document["at"]),
            beat=_number(document["beat"]),
            gateways={name: _read_gateway(one) for name, one in document["gateways"].items()},
        )
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ReportError(f"it is not a report ({type(error).__name__})") from error


def _plain(data: bytes) -> bytes:
    if len(data) > MAX_BYTES:
        raise ReportError(f"it has {len(data)} bytes, and {MAX_BYTES} are the most")
    stream = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        plain = stream.decompress(data, MAX_PLAIN_BYTES)
    except zlib.error as error:
        raise ReportError("it is not compressed by gzip") from error
    if not stream.eof:
        raise ReportError(f"it is cut off, or more than {MAX_PLAIN_BYTES} bytes")
    return plain


def _read_gateway(document: Mapping[str, Any]) -> ReportedGateway:
    lists = [frozenset(map(_text, refs)) for refs in document["lists"]]
    objects = {
        ref: (_text(uid), _number(generation))
        for ref, (uid, generation) in document["objects"].items()
    }
    return ReportedGateway(objects, tuple(_read_proxy(one, lists) for one in document["proxies"]))


def _read_proxy(document: Mapping[str, Any], lists: list[Refs]) -> ReportedProxy:
    behind = document.get("behind")
    refused = [
        (lists[_number(place)], _text(words)[:MAX_WORDS])
        for place, words in document.get("refused", ())
    ]
    return ReportedProxy(
        node=_text(document["node"]),
        since=_instant(document["since"]),
        workers=_number(document["workers"]),
        fresh=bool(document.get("fresh")),
        behind=frozenset() if behind is None else lists[_number(behind)],
        refused=tuple(refused[:MAX_REFUSALS]),
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _instant(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _LATEST:
        raise TypeError(value)
    return float(value)


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise TypeError(value)
    return value
