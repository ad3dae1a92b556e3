"""Objects for the tests of the model."""

from __future__ import annotations

from typing import Any

from controlplane.model import FlashSale, parse


def sale(name: str = "laptop", **spec: Any) -> FlashSale:
    """The least that a sale needs, and what is given on top (`pass_` for `pass`)."""
    given = {name.removesuffix("_"): value for name, value in spec.items()}
    parsed = parse(
        {
            "apiVersion": "sluice.dev/v1alpha1",
            "kind": "FlashSale",
            "metadata": {"name": name, "namespace": "shop"},
            "spec": {
                "targetRefs": [{"name": "shop"}],
                "schedule": {"startTime": "2026-01-01T00:00:00Z"},
                "stock": 3,
                "identity": {"header": "Authorization"},
                **given,
            },
        }
    )
    assert isinstance(parsed, FlashSale)
    return parsed
