"""How a control plane is told to run: what the command line gives, and `app` takes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from controlplane.status.known_reports import ReplicaTerms
from controlplane.xds.identity import TRUST_DOMAIN

if TYPE_CHECKING:
    from controlplane.xds.credentials import TlsFiles


class StartError(Exception):
    """The control plane cannot start; the message is one line that says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A Kubernetes API server as the place where objects are, and where their status goes.

    Attributes:
        kubeconfig: how to reach it; without one as every client does (KUBECONFIG, the pod's
            ServiceAccount, ~/.kube/config).
        context: of the kubeconfig; its current one when not given.
        namespaces: where to look for objects; everywhere when none is named.
        secrets: read Secrets, for the certificates of HTTPS listeners.
        lease: name of the Lease, in our own namespace, that says which replica writes status.
        replicas: how replicas tell each other of their proxies.
    """

    kubeconfig: Path | None = None
    context: str | None = None
    namespaces: tuple[str, ...] = ()
    secrets: bool = True
    lease: str = "sluice"
    replicas: ReplicaTerms = field(default_factory=ReplicaTerms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a control plane runs.

    Attributes:
        manifests: the folder (or file) of objects, watched; or
        cluster: the API server that has them. One of both.
        state_dir: what outlives the process: copies of books, the key ring, filter code.
        xds_host: where proxies get their configuration; so for xds_port (0: any free one).
        xds_tls: the files of mutual TLS for proxies; without them plaintext.
        xds_trust_domain: in which the certificates of proxies name gateways.
        xds_plaintext: serve without TLS also where other machines can connect.
        filters_port: where proxies get filter code over TLS, at xds_host.
        web_host: where commands and scrapers ask; so for web_port.
        health_host: where health and metrics are offered without the API; nowhere when None.
        health_port: the port for that.
        web_names: further names under which the API may be called, besides loopback.
        built: the folder with the built filters.
        grace: seconds that streams have for ending in order.
    """

    manifests: Path | None = None
    cluster: Cluster | None = None
    state_dir: Path = Path(".sluice")
    xds_host: str = "127.0.0.1"
    xds_port: int = 18000
    xds_tls: TlsFiles | None = None
    xds_trust_domain: str = TRUST_DOMAIN
    xds_plaintext: bool = False
    filters_port: int = 18081
    web_host: str = "127.0.0.1"
    web_port: int = 18080
    web_names: tuple[str, ...] = ()
    health_host: str | None = None
    health_port: int = 18082
    built: Path | None = None
    grace: float = 3.0

    def __post_init__(self) -> None:
        if (self.manifests is None) == (self.cluster is None):
            raise ValueError("objects come from a folder or from a cluster: name one of both")
