"""The demo: everything on one machine, with real parts, watched in the terminal.

It is made of what a user would start by hand (a Redis, `sluice serve` on a folder, an Envoy from
`sluice bootstrap`, a shop), so what it shows is what they would get.
"""

from __future__ import annotations

from controlplane.local.demo.live import live
from controlplane.local.demo.recipes import RECIPES
from controlplane.local.demo.show import show
from controlplane.local.demo.walk import walk

__all__ = ["RECIPES", "live", "show", "walk"]
