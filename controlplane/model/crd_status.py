"""What the control plane says about sales and quotas, as the schema of their `status`.

No model reads it: status is what we say, never what we are told. Conditions are those of
metav1.Condition, a map by type, so that other controllers can add their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from controlplane.model.conditions import MAX_MESSAGE
from controlplane.model.flash_sale import MAX_STOCK
from controlplane.model.scaling import MAX_REPLICAS, MAX_TARGETS

if TYPE_CHECKING:
    from controlplane.model.crd_schema import Schema

SCALING_PHASES: Final = ("Scaling", "Scaled", "Enough", "Overridden", "Failed", "ScaledBack")
STATES: Final = ("Scheduled", "Open", "SoldOut", "Ended", "Suspended")
_MOST: Final = 2**53
"""An API server compares bounds as floating-point numbers: beyond this they are another number."""


def _text(description: str, longest: int, pattern: str | None = None) -> Schema:
    schema: Schema = {"type": "string", "description": description, "maxLength": longest}
    return schema if pattern is None else {**schema, "pattern": pattern}


def _number(description: str, most: int) -> Schema:
    width = "int32" if most < 2**31 else "int64"
    schema: Schema = {"type": "integer", "format": width, "description": description}
    return {**schema, "minimum": 0, "maximum": most}


_CONDITION: Final[Schema] = {
    "type": "object",
    "description": "One statement about the object.",
    "required": ["type", "status", "lastTransitionTime", "reason", "message"],
    "properties": {
        "type": _text(
            "What it is about.",
            316,
            r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?"
            r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$",
        ),
        "status": {
            "type": "string",
            "description": "Whether it holds.",
            "enum": ["True", "False", "Unknown"],
        },
        "observedGeneration": _number("The generation of the object that was judged.", _MOST),
        "lastTransitionTime": {
            "type": "string",
            "format": "date-time",
            "maxLength": 64,
            "description": "When `status` last changed.",
        },
        "reason": {
            **_text("Why, in one word.", 1024, r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"),
            "minLength": 1,
        },
        "message": _text("Why, in a sentence.", MAX_MESSAGE),
    },
}
_CONDITIONS: Final[Schema] = {
    "type": "array",
    "description": "`Accepted`, `Programmed` and `Ready`, and those of other controllers.",
    "items": _CONDITION,
    "maxItems": 16,
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["type"],
}
_PROXIES: Final[Schema] = {
    "type": "object",
    "description": "The proxies of the gateways that it is for.",
    "properties": {
        "programmed": _number("How many run it as it stands.", 2**31 - 1),
        "total": _number("How many are connected.", 2**31 - 1),
        "summary": _text("Both, as lists show them: `2/3`.", 32),
    },
}
_MOST_REPLICAS: Final = 2**31 - 1
_INSTANT: Final[Schema] = {"type": "string", "format": "date-time", "maxLength": 64}
_SCALED: Final[Schema] = {
    "type": "object",
    "description": "One target, and what it had before.",
    "required": ["kind", "namespace", "name", "phase"],
    "properties": {
        "kind": _text("Kind of the target.", 63),
        "namespace": _text("Namespace of the target.", 63),
        "name": _text("Name of the target.", 253),
        "uid": _text("Its uid: what is made anew under its name is another.", 128),
        "before": _number("What it had before the rush.", _MOST_REPLICAS),
        "applied": _number("What it is given for the rush.", MAX_REPLICAS),
        "from": _number("What it is being changed from, in phase Scaling.", _MOST_REPLICAS),
        "rush": _text("The rush that this is about: start, end and epoch.", 160),
        "phase": {
            "type": "string",
            "description": "How far it is.",
            "enum": list(SCALING_PHASES),
        },
        "reason": _text("What is wrong, in one word.", 64),
        "message": _text("What is wrong and what to do, in a sentence.", 2048),
    },
}
_SCALING: Final[Schema] = {
    "type": "object",
    "description": "What was scaled up for the rush. It is what is put back, so do not edit it.",
    "properties": {
        "quietSince": {
            **_INSTANT,
            "description": "Since when a sale without an end is sold out.",
        },
        "targets": {
            "type": "array",
            "description": "The targets, and those that are no more named but not put back yet.",
            "items": _SCALED,
            "maxItems": 4 * MAX_TARGETS,
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["kind", "namespace", "name"],
        },
    },
}

SALE_STATUS: Final[Schema] = {
    "type": "object",
    "description": "What the control plane says of it.",
    "properties": {
        "conditions": _CONDITIONS,
        "state": {
            "type": "string",
            "description": "What users get to see now.",
            "enum": list(STATES),
        },
        "admitted": _number("Users let in.", _MOST),
        "remaining": _number("Permits that are left.", MAX_STOCK),
        "proxies": _PROXIES,
        "scaling": _SCALING,
    },
}
QUOTA_STATUS: Final[Schema] = {
    "type": "object",
    "description": "What the control plane says of it.",
    "properties": {
        "conditions": _CONDITIONS,
        "limits": _number("How many limits it has.", 2**31 - 1),
        "proxies": _PROXIES,
    },
}
