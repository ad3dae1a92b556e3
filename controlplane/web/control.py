"""What the API shows and acts on, handed in by whoever puts the control plane together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from controlplane.status.replicas import Fleet

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from prometheus_client import CollectorRegistry

    from controlplane.ledger.ledger import Ledger
    from controlplane.status.objects import Status
    from controlplane.web.filters import Filters
    from controlplane.web.rollouts import Rollouts
    from controlplane.xds.store import Store


@dataclass(frozen=True, slots=True)
class Control:
    """The parts of a running control plane.

    Attributes:
        status: gives the newest status.
        roll_out: brings code that was chosen to the proxies.
        about: what does not change while it runs: version, manifests, addresses.
        registry: where all metrics are.
        rollouts: tells which code a proxy runs.
        fleet: gives the proxies of other replicas.
    """

    status: Callable[[], Status]
    store: Store
    ledger: Ledger
    filters: Filters
    roll_out: Callable[[], None]
    about: Mapping[str, Any]
    registry: CollectorRegistry
    rollouts: Rollouts
    fleet: Callable[[], Fleet] = Fleet
