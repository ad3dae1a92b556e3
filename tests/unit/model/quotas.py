"""Quotas for the tests of the model."""

from __future__ import annotations

from typing import Any

from controlplane.model import Limit, QuotaPolicy, parse


def quota(*limits: dict[str, Any], **spec: Any) -> QuotaPolicy:
    """The least that a policy needs, and what is given on top."""
    parsed = parse(
        {
            "apiVersion": "sluice.dev/v1alpha1",
            "kind": "QuotaPolicy",
            "metadata": {"name": "qpm", "namespace": "shop"},
            "spec": {
                "targetRefs": [{"name": "shop"}],
                "limits": list(limits) or [{"name": "all", "requests": 1, "per": "1m"}],
                **spec,
            },
        }
    )
    assert isinstance(parsed, QuotaPolicy)
    return parsed


def limit(**fields: Any) -> Limit:
    """A limit of 100 requests a minute, unless the fields say otherwise."""
    if not fields.keys() & {"requests", "tokens", "windows"}:
        fields["requests"] = 100
    if "windows" not in fields and fields.get("algorithm") != "Calendar":
        fields.setdefault("per", "1m")
    return quota({"name": "all", **fields}).limits[0]
