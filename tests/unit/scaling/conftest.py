"""The world in which scaling is tried."""

from __future__ import annotations

import pytest

from tests.unit.scaling.world import WEB, World, minutes


@pytest.fixture
def world() -> World:
    """Three pods, and a sale that wants twenty."""
    made = World(now=minutes(-60))
    made.has(WEB, 3)
    return made
