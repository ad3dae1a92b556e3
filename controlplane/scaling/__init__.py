"""Scaling before the rush: what stands behind the edge is there before the crowd is."""

from __future__ import annotations

from controlplane.scaling.scaler import Rhythm, Scaler

__all__ = ["Rhythm", "Scaler"]
