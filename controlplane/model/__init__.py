"""What users write, typed and frozen, and what can be wrong with it."""

from __future__ import annotations

from controlplane.model.conditions import Condition, merge
from controlplane.model.core import EndpointSlice, Secret, Service
from controlplane.model.edge_config import EdgeConfig, EdgeConfigSpec
from controlplane.model.flash_sale import FlashSale, FlashSaleSpec
from controlplane.model.gateway import Gateway, GatewayClass
from controlplane.model.inventory import Inventory
from controlplane.model.kinds import KINDS
from controlplane.model.meta import ObjectMeta, ObjectRef, Resource
from controlplane.model.namespace import Namespace
from controlplane.model.parsing import identify, parse
from controlplane.model.problems import Invalid, Location, Problem
from controlplane.model.quota_costs import ResolvedCost, ResolvedResponseCost, Term
from controlplane.model.quota_keys import KeyPart, KeySource
from controlplane.model.quota_limits import Limit
from controlplane.model.quota_overrides import ResolvedOverride
from controlplane.model.quota_policy import (
    QUOTA_OUTCOMES,
    QuotaOutcome,
    QuotaPolicy,
    QuotaPolicySpec,
    QuotaTargetRef,
)
from controlplane.model.quota_windows import CalendarUnit, ResolvedWindow, WindowKind
from controlplane.model.reference_grant import ReferenceGrant
from controlplane.model.responses import OUTCOMES, Outcome, ResolvedResponse
from controlplane.model.route import HTTPRoute
from controlplane.model.shapes import unsupported_fields

__all__ = [
    "KINDS",
    "OUTCOMES",
    "QUOTA_OUTCOMES",
    "CalendarUnit",
    "Condition",
    "EdgeConfig",
    "EdgeConfigSpec",
    "EndpointSlice",
    "FlashSale",
    "FlashSaleSpec",
    "Gateway",
    "GatewayClass",
    "HTTPRoute",
    "Invalid",
    "Inventory",
    "KeyPart",
    "KeySource",
    "Limit",
    "Location",
    "Namespace",
    "ObjectMeta",
    "ObjectRef",
    "Outcome",
    "Problem",
    "QuotaOutcome",
    "QuotaPolicy",
    "QuotaPolicySpec",
    "QuotaTargetRef",
    "ReferenceGrant",
    "ResolvedCost",
    "ResolvedOverride",
    "ResolvedResponse",
    "ResolvedResponseCost",
    "ResolvedWindow",
    "Resource",
    "Secret",
    "Service",
    "Term",
    "WindowKind",
    "identify",
    "merge",
    "parse",
    "unsupported_fields",
]
