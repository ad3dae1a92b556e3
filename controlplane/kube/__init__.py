"""Kubernetes machinery without our domain: a session, reflectors, a lease, apply, events.

The only importer of the Kubernetes client, and of that only the transport: its informer, elector
and watch are not fit for a control plane that must outlive every trouble of its API server.
"""

from __future__ import annotations

from controlplane.kube.access import Access, find_access
from controlplane.kube.apply import FIELD_MANAGER, apply, apply_status
from controlplane.kube.errors import (
    AlreadyExistsError,
    ConfigurationError,
    ConflictError,
    ForbiddenError,
    GoneError,
    InvalidError,
    KubeError,
    NotFoundError,
    TooManyRequestsError,
    UnauthorizedError,
    UnavailableError,
)
from controlplane.kube.events import EVENTS, EventRecorder, Happening, Reporter, regarding
from controlplane.kube.lease import LEASES, Elector, Terms, new_identity
from controlplane.kube.memory import (
    Bookmark,
    Change,
    Deleted,
    Interrupted,
    Listed,
    Put,
    Resumed,
)
from controlplane.kube.port_forward import PODS, PortForward
from controlplane.kube.reflector import Rhythm, Target, reflect
from controlplane.kube.resources import CONFIG_MAPS, Key, Object, ResourceType, key_of, version_of
from controlplane.kube.session import JSON_PATCH, MERGE_PATCH, Call, Session
from controlplane.kube.streams import targets, watching

__all__ = [
    "CONFIG_MAPS",
    "EVENTS",
    "FIELD_MANAGER",
    "JSON_PATCH",
    "LEASES",
    "MERGE_PATCH",
    "PODS",
    "Access",
    "AlreadyExistsError",
    "Bookmark",
    "Call",
    "Change",
    "ConfigurationError",
    "ConflictError",
    "Deleted",
    "Elector",
    "EventRecorder",
    "ForbiddenError",
    "GoneError",
    "Happening",
    "Interrupted",
    "InvalidError",
    "Key",
    "KubeError",
    "Listed",
    "NotFoundError",
    "Object",
    "PortForward",
    "Put",
    "Reporter",
    "ResourceType",
    "Resumed",
    "Rhythm",
    "Session",
    "Target",
    "Terms",
    "TooManyRequestsError",
    "UnauthorizedError",
    "UnavailableError",
    "apply",
    "apply_status",
    "find_access",
    "key_of",
    "new_identity",
    "reflect",
    "regarding",
    "targets",
    "version_of",
    "watching",
]
