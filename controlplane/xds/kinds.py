"""The resource types that are served, in the order in which they are sent, and their rules.

Every rule of the protocol that depends on the type is a field here, so that the state machine asks
the table and never compares URLs.
"""

from __future__ import annotations

from dataclasses import dataclass

_PREFIX = "type.googleapis.com/"


@dataclass(frozen=True, slots=True)
class Kind:
    """One resource type of the discovery protocol.

    Attributes:
        short: how people call it, in logs and metrics.
        url: the type URL.
        whole: a state-of-the-world response lists all that the client subscribed to; what is
            missing is deleted. Also: the type knows the legacy wildcard, an empty list of names.
        removable: a delta response may tell that a subscribed resource is gone. Clients treat that
            as an error for secrets, and answer requests with 500 for extension configurations.
        service: the single-type service.
        method: its state-of-the-world method is `Stream` + this, its delta method `Delta` + this.
        after: types whose unanswered responses are waited for before this one is sent.
    """

    short: str
    url: str
    whole: bool
    removable: bool
    service: str
    method: str
    after: tuple[str, ...] = ()


CLUSTER = _PREFIX + "envoy.config.cluster.v3.Cluster"
ENDPOINTS = _PREFIX + "envoy.config.endpoint.v3.ClusterLoadAssignment"
SECRET = _PREFIX + "envoy.extensions.transport_sockets.tls.v3.Secret"
EXTENSION = _PREFIX + "envoy.config.core.v3.TypedExtensionConfig"
LISTENER = _PREFIX + "envoy.config.listener.v3.Listener"
ROUTES = _PREFIX + "envoy.config.route.v3.RouteConfiguration"

# The order of additions: what is referred to comes before what refers to it. Endpoints, secrets
# and extensions wait for nobody: a proxy confirms clusters only once their endpoints and secrets
# are there, so that waiting would be a deadlock; and a sale's edit must not wait at all.
CDS = Kind(
    "CDS",
    CLUSTER,
    whole=True,
    removable=True,
    service="envoy.service.cluster.v3.ClusterDiscoveryService",
    method="Clusters",
)
EDS = Kind(
    "EDS",
    ENDPOINTS,
    whole=False,
    removable=True,
    service="envoy.service.endpoint.v3.EndpointDiscoveryService",
    method="Endpoints",
)
SDS = Kind(
    "SDS",
    SECRET,
    whole=False,
    removable=False,
    service="envoy.service.secret.v3.SecretDiscoveryService",
    method="Secrets",
)
ECDS = Kind(
    "ECDS",
    EXTENSION,
    whole=False,
    removable=False,
    service="envoy.service.extension.v3.ExtensionConfigDiscoveryService",
    method="ExtensionConfigs",
)
LDS = Kind(
    "LDS",
    LISTENER,
    whole=True,
    removable=True,
    service="envoy.service.listener.v3.ListenerDiscoveryService",
    method="Listeners",
    after=(CLUSTER, ENDPOINTS, SECRET, EXTENSION),
)
RDS = Kind(
    "RDS",
    ROUTES,
    whole=False,
    removable=True,
    service="envoy.service.route.v3.RouteDiscoveryService",
    method="Routes",
    after=(CLUSTER, ENDPOINTS, SECRET, EXTENSION, LISTENER),
)

KINDS = (CDS, EDS, SDS, ECDS, LDS, RDS)
BY_URL = {kind.url: kind for kind in KINDS}

# What can keep a cluster in use. Clusters leave only after all of these are in force.
REFERRERS = (EXTENSION, LISTENER, ROUTES)
# What a referrer can need: kept as long as an older referrer stays because the new one was refused.
REFERRED = (CLUSTER, ENDPOINTS, SECRET, EXTENSION, ROUTES)
