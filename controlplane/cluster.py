"""A control plane's place in a Kubernetes cluster: objects come from it, and status goes there.

A module of its own, as it costs half a second and 50 MB to import: those alone pay who have one.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import TYPE_CHECKING

from controlplane.kube import ConfigurationError, Session
from controlplane.scaling import Scaler
from controlplane.settings import StartError
from controlplane.sources.kubernetes import ClusterSource
from controlplane.status.kubernetes import ClusterStatus
from controlplane.web.shared_filters import SharedFilters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from contextlib import AsyncExitStack

    from prometheus_client import CollectorRegistry

    from controlplane.settings import Cluster
    from controlplane.web.filter_store import FilterStore


@dataclass(frozen=True, slots=True)
class Membership:
    """The parts that talk to the API server, and what to call it."""

    origin: str
    source: ClusterSource
    publisher: ClusterStatus
    code: SharedFilters


async def join(
    cluster: Cluster,
    stack: AsyncExitStack,
    *,
    registry: CollectorRegistry,
    filters: FilterStore,
    changed: Callable[[], None],
    running: Callable[[], Iterable[Mapping[str, str]]],
) -> Membership:
    """Find the API server, which may well be away; the session ends with the stack.

    Args:
        cluster: which one.
        stack: for the session.
        registry: where writes are counted.
        filters: the code that this replica has.
        changed: called when the code that replicas share is another.
        running: gives the code that each proxy runs.

    Raises:
        StartError: it cannot be told where the API server is.
    """
    try:
        session = await Session.open(cluster.kubeconfig, cluster.context)
    except ConfigurationError as error:
        raise StartError(str(error)) from error
    await stack.enter_async_context(session)
    source = ClusterSource(session, cluster.namespaces, secrets=cluster.secrets)
    publisher = ClusterStatus(
        session,
        source.standings,
        lease=(session.namespace, cluster.lease),
        host=platform.node(),
        registry=registry,
        replicas=cluster.replicas,
    )
    publisher.beside(
        Scaler(session, source.standings, lambda: publisher.leading, registry=registry)
    )
    code = SharedFilters(
        session,
        filters,
        changed=changed,
        running=running,
        leading=lambda: publisher.leading,
    )
    return Membership(f"{session.server} ({session.origin})", source, publisher, code)
