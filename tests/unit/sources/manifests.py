"""Manifest text for the tests of the sources."""

from __future__ import annotations

from typing import TYPE_CHECKING

from controlplane.model import EdgeConfig

if TYPE_CHECKING:
    from controlplane.sources import Update


def edge(name: str, database: int | str = 0) -> str:
    """A small object with something to change in it."""
    return (
        "apiVersion: sluice.dev/v1alpha1\n"
        "kind: EdgeConfig\n"
        f"metadata: {{name: {name}}}\n"
        f"spec: {{redis: {{database: {database}}}}}\n"
    )


def together(*texts: str) -> str:
    """Several documents in one file."""
    return "---\n".join(texts)


def databases(update: Update) -> dict[str, int]:
    """What `edge` objects an update knows."""
    return {item.name: item.spec.redis.database for item in update.inventory.all(EdgeConfig)}


def told(update: Update) -> list[str]:
    """The messages of all problems."""
    return [problem.message for problem in update.problems]
