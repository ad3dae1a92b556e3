"""Times as the API server wants them.

A MicroTime is read strictly: six digits of fraction and a zone. The client leaves the fraction out
once in a million times, when it is zero, and the server then refuses the Lease or the Event.
"""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> datetime:
    """Give the wall clock's time, for others to read; intervals are measured monotonically."""
    return datetime.now(UTC)


def micro_time(instant: datetime) -> str:
    """Write an instant as a MicroTime."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
