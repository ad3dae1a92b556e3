"""How a control plane is told to run: what the command line gives and the composition root takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A Kubernetes API server as the place where objects are, and where their status goes.

    Attributes:
        kubeconfig: how to reach it; without one as every client does (KUBECONFIG, the pod's
            ServiceAccount, ~/.kube/config).
        context: of the kubeconfig; its current one when not given.
        namespaces: where to look for objects; everywhere when none is named.
        lease_name: of the Lease that says which replica writes status; in our own namespace.
    """

    kubeconfig: Path | None = None
    context: str | None = None
    namespaces: tuple[str, ...] = ()
    lease_name: str = "sluice"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a control plane runs.

    Attributes:
        manifests: the folder (or file) of objects, watched; or
        cluster: the API server that has them. One of both.
        state_dir: what outlives the process: copies of books, the key ring, filter code.
        xds_host: where proxies get their configuration; so for xds_port (0: any free one).
        web_host: where commands and scrapers ask; so for web_port.
        web_names: further names under which the API may be called, besides loopback.
        built: the folder with the built filters.
        grace: seconds that streams have for ending in order.
    """

    manifests: Path | None = None
    cluster: Cluster | None = None
    state_dir: Path = Path(".sluice")
    xds_host: str = "127.0.0.1"
    xds_port: int = 18000
    web_host: str = "127.0.0.1"
    web_port: int = 18080
    web_names: tuple[str, ...] = ()
    built: Path | None = None
    grace: float = 3.0

    def __post_init__(self) -> None:
        if (self.manifests is None) == (self.cluster is None):
            raise ValueError("objects come from a folder or from a cluster: name one of both")
