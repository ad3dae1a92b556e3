"""What became of what users wrote: verdicts, what proxies confirm, and the books, as conditions."""

from __future__ import annotations

from controlplane.status.objects import ObjectStatus, PartStatus, SaleStatus, Status
from controlplane.status.tracker import Tracker

__all__ = ["ObjectStatus", "PartStatus", "SaleStatus", "Status", "Tracker"]
