"""What the control plane says about sales and quotas, as the schema of their `status`.

No model reads it: status is what we say, never what we are told. Conditions are those of
metav1.Condition, a map by type, so that other controllers can add their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from controlplane.model.conditions import MAX_MESSAGE
from controlplane.model.flash_sale import MAX_STOCK

if TYPE_CHECKING:
    from controlplane.model.crd_schema import Schema

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
