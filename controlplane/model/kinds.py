"""Which kinds Sluice reads, by name."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from controlplane.model.core import EndpointSlice, Secret, Service
from controlplane.model.edge_config import EdgeConfig
from controlplane.model.flash_sale import FlashSale
from controlplane.model.gateway import Gateway, GatewayClass
from controlplane.model.namespace import Namespace
from controlplane.model.quota_policy import QuotaPolicy
from controlplane.model.reference_grant import ReferenceGrant
from controlplane.model.route import HTTPRoute

if TYPE_CHECKING:
    from collections.abc import Mapping

    from controlplane.model.meta import Resource

KINDS: Final[Mapping[str, type[Resource]]] = MappingProxyType(
    {
        "GatewayClass": GatewayClass,
        "Gateway": Gateway,
        "HTTPRoute": HTTPRoute,
        "ReferenceGrant": ReferenceGrant,
        "Namespace": Namespace,
        "Service": Service,
        "EndpointSlice": EndpointSlice,
        "Secret": Secret,
        "EdgeConfig": EdgeConfig,
        "FlashSale": FlashSale,
        "QuotaPolicy": QuotaPolicy,
    }
)
"""Every kind that Sluice acts on."""
