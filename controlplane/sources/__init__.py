"""Where objects come from: files on this machine, read once or watched; or an API server.

That one is to be imported from its module: the Kubernetes client takes half a second and 50 MB, of
which a folder needs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from controlplane.sources.directory import Directory
from controlplane.sources.loading import Update, load

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

__all__ = ["Directory", "Source", "Update", "load"]


class Source(Protocol):
    """Knows all objects, and tells of every change."""

    def updates(self) -> AsyncGenerator[Update]:
        """Give the state now, and again after each change; ends only when cancelled."""
