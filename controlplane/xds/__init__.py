"""How configuration travels: Envoy's discovery protocol (xDS), over gRPC.

- `resource`, `snapshot`: content, encoded once; versions are hashes of it.
- `store`, `gateway`: what each gateway's proxies are to have, what they refused, who they are.
- `stream`: the protocol as a state machine without I/O, for both variants.
- `server`, `session`: gRPC around it.

The server is not imported here, so that those who only make snapshots need not load gRPC.
"""

from __future__ import annotations

from controlplane.xds.resource import Resource
from controlplane.xds.snapshot import Snapshot
from controlplane.xds.status import Delivery, Nack, ProxyState, TypeState
from controlplane.xds.store import Store

__all__ = ["Delivery", "Nack", "ProxyState", "Resource", "Snapshot", "Store", "TypeState"]
