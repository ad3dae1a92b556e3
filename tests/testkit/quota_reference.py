"""What quotas promise, without any cleverness: the model that the script in Redis is held to.

It keeps every charge that was ever made and adds up those that count, in whole numbers and
fractions; how long a refused request has to wait it finds by trying out times. It knows nothing of
how the script keeps its counters, and is as slow as that sounds.
"""

from __future__ import annotations

from collections import defaultdict
from copy import deepcopy
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING

from controlplane.ledger.quota_counters import Reading, Settled, Settlement, Spec, Take, Taken
from controlplane.ledger.quota_keys import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from controlplane.ledger.quota_counters import Answer, Item, Meter, Settle

SECOND_MS = 1000


@dataclass(slots=True)
class History:
    """All that happened to one counter: charges and their times, reservations by their end."""

    charges: list[tuple[int, int]] = field(default_factory=list)
    #: A bucket's level in units, at a time in us.
    level: Fraction = Fraction(0)
    level_us: int = 0
    held: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))

    def held_at(self, now_us: int) -> int:
        """Add up the reservations that nobody settled and that did not expire."""
        return sum(units for end, units in self.held.items() if end > now_us // 1000)


class QuotaReference:
    """Counters by their keys. Times are given, in us, and never go back."""

    def __init__(self) -> None:
        self.histories: defaultdict[str, History] = defaultdict(History)

    def run(self, items: Sequence[Item], now_us: int) -> tuple[Answer, ...]:
        """Do what a batch asks for, item by item."""
        return tuple(
            self._take(item, now_us) if isinstance(item, Take) else self._settle(item, now_us)
            for item in items
        )

    def used(self, spec: Spec, key: str, now_us: int) -> int:
        """Count the units used at a time, reservations left out; parts of one count whole."""
        return used(spec, self.histories[key], now_us)

    def _take(self, take: Take, now_us: int) -> Taken:
        before = [self.histories[meter.key] for meter in take.meters]
        waits = [wait_ms(m, h, now_us) for m, h in zip(take.meters, before, strict=True)]
        refused = any(wait and not m.spec.watch for m, wait in zip(take.meters, waits, strict=True))
        readings = []
        for meter, wait in zip(take.meters, waits, strict=True):
            history, slot = self.histories[meter.key], 0
            if not refused and not wait:
                charge(meter.spec, history, meter.charge, now_us)
                if meter.hold:
                    slot = slot_of(meter.spec.ttl_ms, now_us // 1000)
                    history.held[slot] += meter.hold
            left = max(0, free(meter.spec, history, now_us))
            readings.append(Reading(left, reset_ms(meter.spec, history, now_us), wait, slot))
        return Taken(not refused, tuple(readings))

    def _settle(self, settlement: Settlement, now_us: int) -> Settled:
        return Settled(tuple(self._settle_one(one, now_us) for one in settlement.meters))

    def _settle_one(self, one: Settle, now_us: int) -> int:
        history = self.histories[one.key]
        if one.slot > now_us // 1000:
            history.held[one.slot] -= min(one.held, history.held[one.slot])
        charge(one.spec, history, one.charge, now_us)
        return max(0, free(one.spec, history, now_us))


def used(spec: Spec, history: History, now_us: int) -> int:
    """Count what is used up."""
    if spec.kind is Kind.BUCKET:
        return ceil(level(spec, history, now_us))
    start, end = window(spec, now_us // 1000)
    here = charged(history, start, end)
    if spec.kind is not Kind.SLIDING:
        return here
    share = Fraction(end - now_us // 1000, end - start)
    return here + ceil(charged(history, start - (end - start), start) * share)


def charged(history: History, start_ms: int, end_ms: int) -> int:
    """Add up the charges of a window."""
    return sum(units for at, units in history.charges if start_ms <= at // 1000 < end_ms)


def level(spec: Spec, history: History, now_us: int) -> Fraction:
    """Give what did not drain from a bucket yet, units."""
    assert isinstance(spec.span, int)
    drained = Fraction((now_us - history.level_us) * spec.amount, spec.span * 1000)
    return max(Fraction(0), history.level - drained)


def charge(spec: Spec, history: History, units: int, now_us: int) -> None:
    """Charge units, or give units back, but never more than were used."""
    if spec.kind is Kind.BUCKET:
        history.level = max(Fraction(0), level(spec, history, now_us) + units)
        history.level_us = now_us
    else:
        here = charged(history, *window(spec, now_us // 1000))
        history.charges.append((now_us, max(units, -here)))


def capacity(spec: Spec) -> int:
    """Give the most units that there can be at once."""
    if spec.kind is Kind.BUCKET:
        return spec.burst if spec.amount else 0
    return spec.amount


def free(spec: Spec, history: History, now_us: int) -> int:
    """Give what is left; negative when settlements charged more than there was."""
    return capacity(spec) - used(spec, history, now_us) - history.held_at(now_us)


def wait_ms(meter: Meter, history: History, now_us: int) -> int:
    """Find the first ms after which a meter lets its take through if nothing else happens."""
    units = max(1, meter.charge + meter.hold)

    def fits(after_ms: int) -> bool:
        return free(meter.spec, history, now_us + after_ms * 1000) >= units

    if fits(0):
        return 0
    if units > capacity(meter.spec):
        return max(reset_ms(meter.spec, history, now_us), SECOND_MS)
    return first(fits)


def reset_ms(spec: Spec, history: History, now_us: int) -> int:
    """Give the ms until a window ends, or until a bucket is full again, what is held counted."""
    if spec.kind is not Kind.BUCKET:
        return window(spec, now_us // 1000)[1] - now_us // 1000
    assert isinstance(spec.span, int)
    filled = deepcopy(history)
    filled.level = level(spec, history, now_us) + history.held_at(now_us)
    if filled.level == 0:
        return 0
    return ceil(filled.level * spec.span / spec.amount)


def window(spec: Spec, now_ms: int) -> tuple[int, int]:
    """Find the window at a time; calendar windows beyond the last border are like the last one."""
    if isinstance(spec.span, int):
        return now_ms // spec.span * spec.span, (now_ms // spec.span + 1) * spec.span
    borders = [0, *spec.span]
    while borders[-1] <= now_ms:
        borders.append(borders[-1] + spec.span[-1] - spec.span[-2])
    return max(b for b in borders if b <= now_ms), min(b for b in borders if b > now_ms)


def slot_of(ttl_ms: int, now_ms: int) -> int:
    """Find where a reservation ends: at the first quarter of a life not before its life is over."""
    quarter = Fraction(ttl_ms, 4)
    end = ceil((now_ms + ttl_ms) / quarter) * quarter
    return int(end + Fraction(1, 2))


def first(holds: Callable[[int], bool]) -> int:
    """Find the first number from 1 on that holds, for what holds for all after the first."""
    high = 1
    while not holds(high):
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
