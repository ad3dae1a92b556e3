"""The proxies of all replicas, each counted once, where it is connected.

Pure: from what each replica reports (ours is made here as well) to who runs what. A proxy has an
object in force when its replica has taken in the very object, in our generation or a later one,
as a part of that gateway, and the proxy is not behind on it. Versions of Envoy resources are never
compared: another version of ours may make others of the same objects.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from controlplane.status.objects import Proxies
from controlplane.status.replica_report import (
    MAX_REFUSALS,
    MAX_WORDS,
    Refs,
    ReplicaReport,
    ReportedGateway,
    ReportedProxy,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from controlplane.ledger.state import Place
    from controlplane.model import Inventory
    from controlplane.status.replica_report import Taken
    from controlplane.translate.report import Report, ResourceKey
    from controlplane.xds.status import Delivery, ProxyState

PROGRAMMED: Final = frozenset({"Gateway", "HTTPRoute", "FlashSale", "QuotaPolicy"})
"""Kinds of which it makes sense to say that proxies run them."""


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """The proxies of one gateway that count at another replica.

    `behind` has each list of objects with the number of proxies that lack just these; `refusing`
    are the proxies that refuse something.
    """

    replica: str
    objects: Mapping[str, Taken]
    proxies: tuple[ReportedProxy, ...]
    behind: tuple[tuple[Refs, int], ...]
    refusing: tuple[ReportedProxy, ...]

    def proxies_with(self, ref: str, taken: Taken) -> Proxies:
        """Count those that have an object in force, in this generation or a later one."""
        total = len(self.proxies)
        uid, generation = self.objects.get(ref, ("", 0))
        if uid != taken[0] or generation < taken[1]:
            return Proxies(0, total)
        return Proxies(total - sum(many for refs, many in self.behind if ref in refs), total)

    def refusals(self, ref: str, taken: Taken) -> Mapping[str, str]:
        """Give who refuses this generation of an object, in their own words."""
        if self.objects.get(ref) != taken:
            return {}
        return {
            proxy.node: words
            for proxy in self.refusing
            for refs, words in reversed(proxy.refused)
            if ref in refs
        }


@dataclass(frozen=True, slots=True)
class Fleet:
    """What is known of other replicas and their proxies.

    Attributes:
        elsewhere: by gateway, the proxies that count at other replicas.
        moved: by gateway, those of them that seem to be connected to us as well.
        alone: why other replicas are not known of at all; empty when they are.
        unread: which replicas tell something that cannot be read.
    """

    elsewhere: Mapping[str, tuple[Elsewhere, ...]] = field(default_factory=dict)
    moved: Mapping[str, frozenset[str]] = field(default_factory=dict)
    alone: str = ""
    unread: tuple[str, ...] = ()

    def count(self, gateway: str, ref: str, taken: Taken) -> tuple[Proxies, dict[str, str]]:
        """Count the proxies of others that have an object in force; gives refusals, too."""
        there = self.elsewhere.get(gateway, ())
        refused: dict[str, str] = {}
        for one in there:
            refused.update(one.refusals(ref, taken))
        return sum((one.proxies_with(ref, taken) for one in there), Proxies()), refused

    def nodes(self, gateway: str) -> frozenset[str]:
        """Give the proxies of a gateway that count at other replicas."""
        return frozenset(
            proxy.node for one in self.elsewhere.get(gateway, ()) for proxy in one.proxies
        )

    def everybody(self, own: Iterable[ProxyState]) -> Iterator[tuple[str, ReportedProxy]]:
        """Give each proxy with its gateway, at whichever replica it counts."""
        for ours in own:
            if ours.node_id not in self.moved.get(ours.gateway, ()):
                yield ours.gateway, _reported(ours)
        for gateway, there in self.elsewhere.items():
            for one in there:
                for proxy in one.proxies:
                    yield gateway, proxy


def fleet(
    own: Iterable[ProxyState],
    reports: Iterable[ReplicaReport],
    *,
    alone: str = "",
    unread: Iterable[str] = (),
) -> Fleet:
    """Tell where each proxy counts: where its newest connection is.

    The times are of the replicas' clocks, which only have to agree better than a proxy takes to
    be seen as gone by one replica after it came to another. On a tie it is ours.
    """
    known = sorted(reports, key=lambda report: report.replica)
    here = {(one.gateway, one.node_id): one.connected_at.timestamp() for one in own}
    newest: dict[Place, tuple[float, str]] = {place: (at, "") for place, at in here.items()}
    for report in known:
        for gateway, reported in report.gateways.items():
            for proxy in reported.proxies:
                place = (gateway, proxy.node)
                if place not in newest or proxy.since > newest[place][0]:
                    newest[place] = (proxy.since, report.replica)
    elsewhere: dict[str, list[Elsewhere]] = {}
    moved: dict[str, set[str]] = {}
    for report in known:
        for gateway, reported in report.gateways.items():
            counted = tuple(
                proxy
                for proxy in reported.proxies
                if newest[gateway, proxy.node] == (proxy.since, report.replica)
            )
            if counted:
                elsewhere.setdefault(gateway, []).append(_there(report, reported, counted))
                both = (proxy.node for proxy in counted if (gateway, proxy.node) in here)
                moved.setdefault(gateway, set()).update(both)
    return Fleet(
        {gateway: tuple(there) for gateway, there in elsewhere.items()},
        {gateway: frozenset(nodes) for gateway, nodes in moved.items()},
        alone,
        tuple(unread),
    )


def _there(
    report: ReplicaReport, reported: ReportedGateway, proxies: tuple[ReportedProxy, ...]
) -> Elsewhere:
    behind = Counter(proxy.behind for proxy in proxies if proxy.behind)
    refusing = tuple(proxy for proxy in proxies if proxy.refused)
    return Elsewhere(report.replica, reported.objects, proxies, tuple(behind.items()), refusing)


# --------------------------------------------------------------------------------------- our own
def own_gateways(
    proxies: Iterable[ProxyState],
    report: Report,
    inventory: Inventory,
    deliver: Callable[[str, str, str], Delivery],
) -> Mapping[str, ReportedGateway]:
    """Make what we tell others: of each gateway that has proxies here."""
    connected: dict[str, list[ProxyState]] = {}
    for proxy in proxies:
        connected.setdefault(proxy.gateway, []).append(proxy)
    owned: dict[str, dict[ResourceKey, Refs]] = {gateway: {} for gateway in connected}
    for key, refs in report.owners.items():
        told = frozenset(str(ref) for ref in refs if ref.kind in PROGRAMMED)
        if key[0] in owned and told:
            owned[key[0]][key] = told
    taken = {
        str(ref): (resource.metadata.uid, resource.metadata.generation)
        for ref in {one for refs in report.owners.values() for one in refs}
        if ref.kind in PROGRAMMED and (resource := inventory.find(ref)) is not None
    }
    return {
        gateway: ReportedGateway(
            {ref: taken[ref] for refs in owned[gateway].values() for ref in refs if ref in taken},
            _proxies(there, owned[gateway], deliver),
        )
        for gateway, there in connected.items()
    }


def _proxies(
    proxies: Iterable[ProxyState],
    owned: Mapping[ResourceKey, Refs],
    deliver: Callable[[str, str, str], Delivery],
) -> tuple[ReportedProxy, ...]:
    lacking: dict[str, list[ResourceKey]] = {}
    refused: dict[str, dict[str, set[str]]] = {}
    for key, refs in owned.items():
        delivery = deliver(*key)
        for node in delivery.lacking:
            lacking.setdefault(node, []).append(key)
        for node, nack in delivery.refused.items():
            words = nack.message[:MAX_WORDS]
            refused.setdefault(node, {}).setdefault(words, set()).update(refs)
    # Proxies that lack the same resources share one list of objects.
    lists: dict[tuple[ResourceKey, ...], Refs] = {}
    found = []
    for proxy in proxies:
        keys = tuple(lacking.get(proxy.node_id, ()))
        if keys not in lists:
            lists[keys] = frozenset[str]().union(*(owned[key] for key in keys))
        said = list(refused.get(proxy.node_id, {}).items())[:MAX_REFUSALS]
        found.append(
            replace(
                _reported(proxy),
                behind=lists[keys],
                refused=tuple((frozenset(refs), words) for words, refs in said),
            )
        )
    return tuple(found)


def _reported(proxy: ProxyState) -> ReportedProxy:
    since = round(proxy.connected_at.timestamp(), 3)
    return ReportedProxy(proxy.node_id, since, proxy.workers, fresh=not proxy.resumed)
