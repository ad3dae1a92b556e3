"""What the script `quota` is asked, what it says, and how a counter stands in Redis.

Pure: whoever has a client runs `Batch.keys` and `Batch.args`, and gives the reply to `Batch.read`.
A take without units on a watched counter only looks (`peek`); a settlement without a slot changes
a counter by hand (`adjust`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, inf
from struct import Struct
from typing import TYPE_CHECKING, Any, Final, TypeVar

from controlplane.ledger.quota_keys import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_T = TypeVar("_T")

_NUMBERS: Final = Struct("<ddd")
"""What a counter's value begins with: its three numbers."""

REFUSED: Final = 0
"""The verdict on a take: refused. Any other is that it may pass."""
ALL: Final = 1
"""All meters let it pass, and so none of them tells how long it would have to wait."""


@dataclass(frozen=True, slots=True)
class Spec:
    """What holds for a counter, whoever is counted.

    `span` is a window's length in ms; for Kind.CALENDAR it is the windows' borders, ms since 1970,
    ascending, two or more. `burst` is the capacity of a bucket. `ttl_ms` is the life of a
    reservation; 0: none can be made. `watch`: it never refuses (shadow).
    """

    kind: Kind
    amount: int
    span: int | tuple[int, ...]
    burst: int = 0
    ttl_ms: int = 0
    watch: bool = False

    def args(self) -> tuple[str, ...]:
        """Give the six words of the script's arguments."""
        span = str(self.span) if isinstance(self.span, int) else ",".join(map(str, self.span))
        numbers = (str(self.amount), span, str(self.burst), str(self.ttl_ms))
        return (self.kind.value, *numbers, "w" if self.watch else "e")

    def window(self, now_ms: int) -> tuple[int, int]:
        """Give begin and end of the window at `now_ms`; a bucket has none of its own."""
        if isinstance(self.span, int):
            start = now_ms - now_ms % self.span
            return start, start + self.span
        if now_ms >= self.span[-1]:
            # Nobody sent newer borders: better windows like the last than one without an end.
            length = self.span[-1] - self.span[-2]
            start = self.span[-1] + (now_ms - self.span[-1]) // length * length
            return start, start + length
        start = max((border for border in self.span if border <= now_ms), default=0)
        return start, min(border for border in self.span if border > now_ms)


@dataclass(frozen=True, slots=True)
class Meter:
    """One counter of a take: `charge` units for good, `hold` units reserved."""

    spec: Spec
    key: str
    charge: int = 1
    hold: int = 0


@dataclass(frozen=True, slots=True)
class Settle:
    """One counter of a settlement: gives back `held` units of `slot`, then charges `charge`."""

    spec: Spec
    key: str
    slot: int = 0
    held: int = 0
    charge: int = 0


@dataclass(frozen=True, slots=True)
class Take:
    """One request: all of its meters are charged, or none. Their counters must differ."""

    meters: tuple[Meter, ...]

    @property
    def cost(self) -> tuple[tuple[Spec, int, int], ...]:
        """What it is charged, whoever it is from."""
        return tuple((meter.spec, meter.charge, meter.hold) for meter in self.meters)


@dataclass(frozen=True, slots=True)
class Settlement:
    """The end of one request."""

    meters: tuple[Settle, ...]


Item = Take | Settlement


@dataclass(frozen=True, slots=True)
class Reading:
    """What a counter says after a take; times in ms.

    `wait_ms` is 0 where it lets the take through, `slot` is 0 where nothing was reserved.
    """

    remaining: int
    reset_ms: int
    wait_ms: int
    slot: int


@dataclass(frozen=True, slots=True)
class Taken:
    """The answer to a take, with a reading for each meter."""

    allowed: bool
    readings: tuple[Reading, ...]


@dataclass(frozen=True, slots=True)
class Settled:
    """The answer to a settlement: what each counter has left."""

    remaining: tuple[int, ...]


Answer = Taken | Settled


@dataclass(frozen=True, slots=True)
class Reply:
    """The reply to one run: Redis's time, and an answer for each item."""

    now_us: int
    answers: tuple[Answer, ...]


@dataclass(frozen=True, slots=True)
class Batch:
    """One run of the script."""

    items: tuple[Item, ...]
    keys: tuple[str, ...]
    args: tuple[str, ...]

    @classmethod
    def of(cls, *items: Item) -> Batch:
        """Encode items; ValueError for units that the script could not take back or keep."""
        meters = [meter for item in items for meter in item.meters]
        for meter in meters:
            _check(meter)
        specs = _places(meter.spec for meter in meters)
        keys = _places(meter.key for meter in meters)
        costs = _places(item.cost for item in items if isinstance(item, Take))
        args: list[object] = [len(specs)]
        for spec in specs:
            args += spec.args()
        args.append(len(costs))
        for cost in costs:
            args.append(len(cost))
            for spec, charge, hold in cost:
                args += [specs[spec], charge, hold]
        for item in items:
            if isinstance(item, Take):
                args += [costs[item.cost], *(keys[meter.key] for meter in item.meters)]
                continue
            args += [0, len(item.meters)]
            for one in item.meters:
                args += [specs[one.spec], keys[one.key], one.slot, one.held, one.charge]
        return cls(items, tuple(keys), tuple(map(str, args)))

    def read(self, reply: Sequence[Any]) -> Reply:
        """Read the script's reply; ValueError when it is not one to this batch."""
        numbers = iter([int(number) for number in reply])
        try:
            now_us = next(numbers)
            answers = [_answer(item, numbers) for item in self.items]
        except StopIteration:
            raise ValueError(f"quota replied {len(reply)} numbers, which are too few") from None
        if left := len(list(numbers)):
            raise ValueError(f"quota replied {len(reply)} numbers, {left} too many")
        return Reply(now_us, tuple(answers))


def peek(*counters: tuple[Spec, str]) -> Take:
    """Look at counters without touching them."""
    return Take(tuple(Meter(replace(spec, watch=True), key, charge=0) for spec, key in counters))


def adjust(spec: Spec, key: str, units: int) -> Settlement:
    """Charge `units` by hand, or take back when negative; a counter never goes below zero."""
    return Settlement((Settle(spec, key, charge=units),))


@dataclass(frozen=True, slots=True)
class Counter:
    """A counter as it stands in Redis; what `a`, `b` and `c` are depends on its kind.

    Fixed, calendar: window begin in ms, units used, 0. Sliding: window begin, used, used in the
    window before. Bucket: time of the last change in us, debt in units times us of its span, 0.
    `slots`: when each reservation expires, ms, and its units.
    """

    a: int
    b: int
    c: int
    slots: tuple[tuple[int, int], ...] = ()

    @classmethod
    def parse(cls, value: bytes) -> Counter:
        """Read a counter's value; ValueError when it is not one."""
        if len(value) < _NUMBERS.size:
            raise ValueError(f"{len(value)} bytes are too few for a counter")
        a, b, c = _NUMBERS.unpack_from(value)
        if not all(0 <= number < inf for number in (a, b, c)):
            raise ValueError(f"a counter cannot stand at {a}, {b}, {c}")
        _, *slots = value[_NUMBERS.size :].decode("ascii").split(" ")
        pairs = [slot.split("=") for slot in slots]
        return cls(int(a), int(b), int(c), tuple((int(e), int(units)) for e, units in pairs))

    def held(self, now_ms: int) -> int:
        """Count the units that are reserved at `now_ms`."""
        return sum(units for expires, units in self.slots if expires > now_ms)

    def used(self, spec: Spec, now_us: int) -> int:
        """Count the units used up at `now_us`, without those reserved; parts of one count whole."""
        now_ms = now_us // 1000
        start, end = spec.window(now_ms) if spec.kind is not Kind.BUCKET else (0, 0)
        if spec.kind is Kind.BUCKET and isinstance(spec.span, int):
            debt = max(0, self.b - max(0, now_us - self.a) * spec.amount)
            return -(-debt // (spec.span * 1000))
        if spec.kind is not Kind.SLIDING:
            return self.b if self.a == start else 0
        span = end - start
        earlier, used = (self.c, self.b) if self.a == start else (0, 0)
        if self.a == start - span:
            earlier = self.b
        return ceil(earlier * (end - now_ms) / span) + used


def _places(things: Iterable[_T]) -> dict[_T, int]:
    """Give each its place among those that differ, from 1."""
    return {thing: place for place, thing in enumerate(dict.fromkeys(things), 1)}


def _answer(item: Item, numbers: Iterator[int]) -> Answer:
    """Read the answer to an item; StopIteration where it ends too early."""
    verdict = next(numbers)
    if isinstance(item, Settlement):
        return Settled(tuple([next(numbers) for _ in item.meters]))
    readings = []
    for meter in item.meters:
        remaining, reset_ms = next(numbers), next(numbers)
        wait_ms = 0 if verdict == ALL else next(numbers)
        slot = next(numbers) if meter.hold else 0
        readings.append(Reading(remaining, reset_ms, wait_ms, slot))
    return Taken(verdict != REFUSED, tuple(readings))


def _check(meter: Meter | Settle) -> None:
    if isinstance(meter, Settle):
        if meter.held < 0:
            raise ValueError(f"{meter.key}: {meter.held} units cannot be given back")
    elif meter.charge < 0 or meter.hold < 0:
        raise ValueError(f"{meter.key}: a take cannot be of less than no units")
    elif meter.hold and not meter.spec.ttl_ms:
        raise ValueError(f"{meter.key}: {meter.hold} units held without an end")
