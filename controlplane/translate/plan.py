"""What those who keep books and counters need to know of the policies in force."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from controlplane.translate import quota_parameters
from controlplane.translate.parameters import instant_ms

if TYPE_CHECKING:
    from datetime import date

    from controlplane.model import FlashSale, ObjectRef, QuotaPolicy, ResolvedWindow
    from controlplane.model.edge_config import RedisSettings


@dataclass(frozen=True, slots=True)
class SalePlan:
    """One sale, as far as its books are concerned; times in ms since 1970."""

    ref: ObjectRef
    tag: str
    """Names the books: ``namespace/name/epoch``."""
    limit: int
    start_ms: int
    end_ms: int | None
    identity_plain: bool
    """Whether users stand in the books by their own id, not by its hash."""
    retention_ms: int
    """How long the books are kept after the end."""
    gateways: tuple[str, ...]
    redis: RedisSettings
    durability: Literal["Local", "Replicated"]


def plan(
    sale: FlashSale, gateways: tuple[str, ...], redis: RedisSettings, retention_ms: int
) -> SalePlan:
    """The plan of a sale that is in force on these gateways."""
    schedule = sale.spec.schedule
    return SalePlan(
        ref=sale.ref,
        tag=sale.books,
        limit=sale.limit,
        start_ms=instant_ms(schedule.start_time),
        end_ms=None if schedule.end_time is None else instant_ms(schedule.end_time),
        identity_plain=sale.spec.identity.plain,
        retention_ms=retention_ms,
        gateways=gateways,
        redis=redis,
        durability=sale.spec.durability,
    )


@dataclass(frozen=True, slots=True)
class QuotaPlan:
    """One quota policy in one Redis; gateways that name different ones do not share counters."""

    policy: QuotaPolicy
    gateways: tuple[str, ...]
    redis: RedisSettings
    today: date
    """The date that the gateways' calendar windows were worked out for."""

    @property
    def ref(self) -> ObjectRef:
        """The policy as an object."""
        return self.policy.ref

    def borders(self, window: ResolvedWindow) -> tuple[int, ...]:
        """The borders of a calendar window that the gateways go by, ms since 1970."""
        return quota_parameters.borders(window, self.today)
