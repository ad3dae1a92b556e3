"""What is news about scaling, for Events: told from what stood in the status to what does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from controlplane.status.transitions import News

if TYPE_CHECKING:
    from collections.abc import Iterator

    from controlplane.scaling.records import Record, Recorded


def news(before: Recorded, after: Recorded) -> Iterator[News]:
    """Tell each transition once, whichever replica wrote it."""
    for target in sorted(after.records):
        found = _of_one(before.records.get(target), after.records[target])
        if found is not None:
            yield found


def _of_one(was: Record | None, now: Record) -> News | None:
    old = None if was is None else was.phase
    if now.phase == "Scaled" and old != "Scaled":
        return News("ScaledUp", f"{now.target}: from {now.before} to {now.applied}")
    if now.phase == "ScaledBack" and old != "ScaledBack":
        return News("ScaledBack", f"{now.target}: {now.message or f'back to {now.before}'}")
    if now.phase == "Overridden" and old != "Overridden":
        return News("ScalingOverridden", f"{now.target}: {now.message}", "Warning")
    if now.reason and (was is None or was.reason != now.reason):
        return News("ScalingFailed", f"{now.target}: {now.message}", "Warning")
    return None
