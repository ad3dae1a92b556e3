"""Sluice: flash sales decided inside Envoy, run by manifests.

The package is the control plane. It reads what users write, gives every Envoy its configuration
by xDS, keeps the books of each sale in Redis, and never stands in the path of a request.
"""

from __future__ import annotations

__version__ = "0.1.0"
