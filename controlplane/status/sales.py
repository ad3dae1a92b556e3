"""The state of a sale, judged from its manifest, its books and Redis's clock.

The filters judge by the same clock and the same books, so what is shown here is what users get.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from controlplane.ledger.state import BOOKS_LOST, SaleState
from controlplane.model import Condition
from controlplane.status.objects import SalePhase, SaleStatus

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from controlplane.model import FlashSale
    from controlplane.translate import SalePlan

BOOKS_USABLE: Final = "BooksUsable"
"""Condition of a sale that a translation says of it when its books cannot be kept as it asks."""
STOCK_SUFFICIENT: Final = "StockSufficient"
"""Condition of a sale that says whether its limit covers who is in."""
_EXPIRED: Final = (
    "the sale is over for so long that its books were dropped: delete it, or give it a new epoch "
    "and schedule"
)


def sale_status(
    sale: FlashSale, plan: SalePlan | None, state: SaleState | None, now: datetime
) -> SaleStatus:
    """Put together what is known; without books only the window counts."""
    known = state or SaleState(sale.sale, sale.books, limit=sale.limit)
    schedule = sale.spec.schedule
    return SaleStatus(
        state=phase(sale, known, now),
        admitted=known.admitted,
        remaining=known.remaining,
        limit=known.limit,
        override=known.override,
        suspended_by_hand=known.suspended,
        healing=known.healing,
        closed=known.closed,
        lost_proxies=known.lost_proxies,
        expired=known.expired,
        error=known.error,
        books=sale.books,
        generation=known.generation,
        incarnation=known.incarnation,
        start=schedule.start_time,
        end=schedule.end_time,
        gateways=plan.gateways if plan else (),
        redis=plan.redis.address if plan else "",
    )


def phase(sale: FlashSale, state: SaleState, now: datetime) -> SalePhase:
    """Tell what a user would get to see now; `now` is ours, Redis's clock is what counts."""
    schedule = sale.spec.schedule
    judged = now + timedelta(milliseconds=state.clock_offset_ms)
    if schedule.end_time is not None and judged >= schedule.end_time:
        return SalePhase.ENDED
    if sale.spec.suspend or state.suspended:
        return SalePhase.SUSPENDED
    if judged < schedule.start_time:
        return SalePhase.SCHEDULED
    if state.open and not state.remaining:
        return SalePhase.SOLD_OUT
    return SalePhase.OPEN


def next_change(sale: FlashSale, state: SaleState | None, now: datetime) -> float | None:
    """Give the seconds until the window opens or closes; None when it will not."""
    offset = timedelta(milliseconds=state.clock_offset_ms if state else 0)
    schedule = sale.spec.schedule
    moments = [schedule.start_time, schedule.end_time]
    left = [(moment - now - offset).total_seconds() for moment in moments if moment]
    return min((seconds for seconds in left if seconds > 0), default=None)


def ready(
    status: SaleStatus, programmed: Condition, generation: int, unusable: str = ""
) -> Condition:
    """Say whether the sale can let users in, as far as it depends on us.

    `unusable` is why its books cannot be kept as its manifest has it, which no waiting mends.
    """
    if programmed.status != "True":
        return Condition("Ready", "False", "NotProgrammed", programmed.message, generation)
    for reason, message in _hindrances(status, unusable):
        if message:
            return Condition("Ready", "False", reason, message, generation)
    return Condition("Ready", "True", "Ready", f"{status.remaining} left", generation)


def _hindrances(status: SaleStatus, unusable: str) -> Iterator[tuple[str, str]]:
    """Give what can be in the way of a sale, the last that would go away by itself at the end."""
    yield "BooksUnusable", unusable
    yield "BooksExpired", _EXPIRED if status.expired else ""
    yield "RedisUnavailable", status.error
    if status.closed:
        yield status.closed, books_lost(status)
    if status.healing:
        yield "Healing", "the books are being healed, which takes about a second"
    if not status.incarnation:
        yield "BooksPending", "the books are not open yet"


def stock(status: SaleStatus, generation: int) -> Condition | None:
    """Say that more users are in than the limit allows; None as long as it is not so.

    A limit that shrinks takes nothing back. Whoever shrinks it has to hear that it came too late.
    """
    if not status.incarnation or status.admitted <= status.limit:
        return None
    where = "stock or admission.maxPermits"
    if status.override is not None:
        where = "set by hand with `sluice sale set-limit`"
    message = (
        f"{status.admitted} users are in, and the limit is {status.limit} ({where}): nobody else "
        f"is let in, and nobody is put out. Raise it to {status.admitted} at least, or take users "
        "off with `sluice data delete`"
    )
    return Condition(STOCK_SUFFICIENT, "False", "StockBelowAdmitted", message, generation)


def books_lost(status: SaleStatus) -> str:
    """Explain why books are closed, and what ends it."""
    if status.closed != BOOKS_LOST:
        return f"closed: {status.closed}"
    who = ", ".join(status.lost_proxies[:3]) or "nobody knows how many"
    more = len(status.lost_proxies) - 3
    who += f" and {more} more" if more > 0 else ""
    return (
        f"Redis lost the books, and permits of the last moment may have gone with: {who}. The sale "
        "goes on when they are back; otherwise `sluice sale restore` accepts the books as they "
        "are, `sluice sale reset` empties them"
    )
