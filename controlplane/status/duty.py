"""What else than status is done by the one replica that leads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from controlplane.model import Inventory


class Duty(Protocol):
    """Something that two replicas must not do at the same time."""

    def offer(self, inventory: Inventory) -> None:
        """Take the newest objects; on every replica."""

    async def lead(self) -> None:
        """Do it, on the one that leads, until cancelled."""
