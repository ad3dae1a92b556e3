"""Connected proxies as JSON: what each was sent, has, and refuses, type by type.

Of those at other replicas that is known which they report: objects, and no types.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from controlplane.model.durations import format_instant
from controlplane.xds.kinds import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from controlplane.status.replica_report import ReportedProxy
    from controlplane.status.replicas import Fleet
    from controlplane.web.rollouts import Rollouts
    from controlplane.xds.status import ProxyState

_SHORT: Final = {kind.url: kind.short for kind in KINDS}


def proxy_json(proxy: ProxyState, rollouts: Rollouts) -> dict[str, Any]:
    """Describe one proxy; `code` is what it runs by its own word, by filter."""
    return {
        "node": proxy.node_id,
        "gateway": proxy.gateway,
        "replica": "",
        "connectedAt": format_instant(proxy.connected_at.replace(microsecond=0)),
        "workers": proxy.workers,
        "agent": proxy.agent,
        "address": proxy.address,
        "waiting": proxy.waiting,
        "inSync": in_sync(proxy),
        "code": dict(rollouts.code_of(proxy)),
        "types": {
            _SHORT.get(url, url): {
                "wanted": state.wanted,
                "sent": state.sent,
                "acked": state.acked,
                "inSync": state.in_sync,
                "nack": None
                if state.nacked is None
                else {
                    "version": state.nacked.version,
                    "message": state.nacked.message,
                    "resources": list(state.nacked.resources),
                },
            }
            for url, state in proxy.types.items()
        },
    }


def elsewhere_json(fleet: Fleet) -> Iterator[dict[str, Any]]:
    """Describe the proxies of other replicas, each of which is named."""
    for gateway, there in sorted(fleet.elsewhere.items()):
        for one in there:
            for proxy in one.proxies:
                yield _reported(gateway, one.replica, proxy)


def _reported(gateway: str, replica: str, proxy: ReportedProxy) -> dict[str, Any]:
    since = datetime.fromtimestamp(proxy.since, UTC).replace(microsecond=0)
    return {
        "node": proxy.node,
        "gateway": gateway,
        "replica": replica,
        "connectedAt": format_instant(since),
        "workers": proxy.workers,
        "agent": "",
        "address": "",
        "waiting": "",
        "inSync": not proxy.behind,
        "code": {},
        "types": {},
    }


def in_sync(proxy: ProxyState) -> bool:
    """Tell whether a proxy has all that it asked for, by its own word."""
    return bool(proxy.types) and all(state.in_sync for state in proxy.types.values())
