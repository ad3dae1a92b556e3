"""Where an API server has the kinds that we read, which are those of a folder."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from controlplane.kube import ResourceType
from controlplane.model.core import TLS_SECRET
from controlplane.model.kinds import KINDS

if TYPE_CHECKING:
    from collections.abc import Mapping

_PLURALS: Final[Mapping[str, str]] = {
    "GatewayClass": "gatewayclasses",
    "Gateway": "gateways",
    "HTTPRoute": "httproutes",
    "ReferenceGrant": "referencegrants",
    "Namespace": "namespaces",
    "Service": "services",
    "EndpointSlice": "endpointslices",
    "Secret": "secrets",
    "EdgeConfig": "edgeconfigs",
    "FlashSale": "flashsales",
    "QuotaPolicy": "quotapolicies",
}


def _type(kind: str) -> ResourceType:
    model = KINDS[kind]
    group, _, version = model.API_VERSIONS[0].rpartition("/")
    return ResourceType(group, version, _PLURALS[kind], kind, namespaced=model.NAMESPACED)


TYPES: Final[Mapping[str, ResourceType]] = MappingProxyType({kind: _type(kind) for kind in KINDS})
"""Every kind that we read."""
SELECTED: Final[Mapping[str, str]] = MappingProxyType({"Secret": f"type={TLS_SECRET}"})
"""Field selectors by kind: of Secrets only certificates are ever read."""
WITH_STATUS: Final = frozenset({"GatewayClass", "Gateway", "HTTPRoute", "FlashSale", "QuotaPolicy"})
"""Kinds whose status we write."""
