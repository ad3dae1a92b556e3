"""What is to become of one target, from what sales want of it, what is recorded, what it has.

Pure, and told one step at a time: first what is about to be done is recorded, then it is done,
then it is recorded as done. After a crash between any two of them the next look finds which it
was: a value that is neither what it was changed from nor what it was changed to is somebody
else's, and stays.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from controlplane.scaling.records import SETTLED, Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from controlplane.model import ObjectRef

NOT_FOUND: Final = "TargetNotFound"
NOT_PERMITTED: Final = "RefNotPermitted"
FORBIDDEN: Final = "Forbidden"
EXCEEDS: Final = "ExceedsMaxReplicas"
OVERRIDDEN: Final = "Overridden"
REFUSED: Final = "ScalingFailed"


@dataclass(frozen=True, slots=True)
class Observed:
    """What a target has now; `most` is its upper bound, where it has one."""

    value: int
    uid: str
    version: str
    most: int | None = None


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a target cannot be seen or changed: one word, and a sentence that says what to do."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What one sale has to do with a target."""

    sale: ObjectRef
    record: Record | None = None
    wanted: int | None = None
    """None when nothing is wanted now."""
    named: bool = True
    """Whether the sale's spec names the target, now or for later."""
    rush: str = ""
    fault: str = ""
    """Why it may not refer to the target."""
    blocked: Trouble | None = None
    """Why the sale cannot be guarded against being deleted meanwhile."""
    guarded: bool = False
    deleting: bool = False

    @property
    def settled(self) -> bool:
        """Whether all is done that will be done for what is wanted in this rush."""
        record = self.record
        if record is None or record.phase not in SETTLED or record.rush != self.rush:
            return False
        return self.wanted in {None, record.applied}


@dataclass(frozen=True, slots=True)
class Change:
    """One change of one target; taken only if the target is still the one that was seen."""

    target: ObjectRef
    seen: Observed
    to: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What to record, by sale, and what to change once that is recorded."""

    records: Mapping[ObjectRef, Record | None]
    change: Change | None = None


def unknown(parts: Iterable[Part]) -> Outcome:
    """Leave everything as it is while nobody can tell what the target has."""
    return Outcome({part.sale: _past(part) for part in parts})


def unseen(target: ObjectRef, parts: Iterable[Part], trouble: Trouble) -> Outcome:
    """Say why nothing is done."""
    return Outcome({part.sale: _unseen(target, part, trouble) for part in parts})


def seen(target: ObjectRef, parts: Iterable[Part], found: Observed, refused: str = "") -> Outcome:
    """Tell the next step; `refused` is what the server said to the last one."""
    look = _Look(target, found)
    for part in parts:
        look.take(part)
    return look.outcome(refused)


def _past(part: Part) -> Record | None:
    """Keep what tells of this rush, and what has to be put back."""
    record = part.record
    if record is None or record.holding or part.wanted is not None:
        return record
    kept = part.named and record.rush == part.rush and record.phase in SETTLED
    return record if kept else None


def _unseen(target: ObjectRef, part: Part, trouble: Trouble) -> Record | None:
    record = part.record
    mine = Trouble(NOT_PERMITTED, part.fault) if part.fault else trouble
    if record is not None and record.holding:
        if part.wanted is None and mine.reason == NOT_FOUND:
            return _back(record, "it is gone: there is nothing to put back")
        if part.deleting and mine.reason == NOT_PERMITTED:
            return _let_go(record, mine)
        return _troubled(record, mine)
    if part.wanted is None or part.settled:
        return _past(part)
    return _failed(target, part, mine)


@dataclass(slots=True)
class _Look:
    """One look at a target that is there."""

    target: ObjectRef
    found: Observed
    parts: list[Part] = field(default_factory=list)
    held: list[tuple[Part, Record]] = field(default_factory=list)
    """Parts that hold this very object, with their records."""

    def take(self, part: Part) -> None:
        record = part.record
        self.parts.append(part)
        if record is not None and record.holding and record.uid in {"", self.found.uid}:
            self.held.append((part, record))

    # --------------------------------------------------------------------------- what is there
    @property
    def ours(self) -> bool:
        """Whether the target has a value that is (or may be, after a crash) of our making."""
        known: set[int | None] = set()
        for _, record in self.held:
            known |= {record.applied} | ({record.origin} if record.phase == "Scaling" else set())
        return self.found.value in known

    @property
    def base(self) -> int:
        """What it had before anybody scaled it."""
        if self.held and self.ours:
            before = self.held[0][1].before
            return self.found.value if before is None else before
        return self.found.value

    def outcome(self, refused: str) -> Outcome:
        ours = self.ours
        records: dict[ObjectRef, Record | None] = {}
        holders = {part.sale: record for part, record in self.held}
        for part in self.parts:
            record = holders.get(part.sale)
            if record is None:
                records[part.sale] = self._joining(part, ours=ours)
            elif ours:
                records[part.sale] = self._kept(part, record)
            else:
                records[part.sale] = self._lost(part, record)
        if any(_core(records[part.sale]) != _core(part.record) for part in self.parts):
            return Outcome(records)
        return self._next(records, refused) if self.held else Outcome(records)

    # ------------------------------------------------------------------------ what to record
    def _joining(self, part: Part, *, ours: bool) -> Record | None:
        """A part that holds nothing here; it may hold what stood here under this name before."""
        record = part.record
        if record is not None and record.holding and part.wanted is None:
            return _back(record, "another one has taken its name: left as it is")
        if part.wanted is None or part.settled:
            return _past(part)
        return self._judged(part, part.wanted, shared=ours)

    def _judged(self, part: Part, wanted: int, *, shared: bool) -> Record:
        base = self.base if shared else self.found.value
        if part.fault:
            return _failed(self.target, part, Trouble(NOT_PERMITTED, part.fault))
        if self._exceeds(wanted):
            return _failed(self.target, part, self._exceeding(wanted))
        fresh = Record(
            self.target, "Enough", part.rush, self.found.uid, before=base, applied=wanted
        )
        if wanted <= base:
            return fresh
        if part.blocked is not None and not part.guarded:
            return _failed(self.target, part, part.blocked)
        if wanted <= self.found.value:
            return replace(fresh, phase="Scaled")
        return replace(fresh, phase="Scaling", origin=self.found.value)

    def _kept(self, part: Part, record: Record) -> Record:
        """A part whose value stands."""
        if part.wanted is None:
            return record
        record = replace(record, rush=part.rush)
        aim = max(part.wanted, record.before or 0)
        if aim == record.applied:
            return record
        if self._exceeds(aim):
            return _troubled(record, self._exceeding(aim))
        return replace(record, phase="Scaling", applied=aim, origin=self.found.value)

    def _lost(self, part: Part, record: Record) -> Record:
        """A part whose value is gone: somebody else has set another one."""
        value = self.found.value
        if part.wanted is None and value == record.before:
            return _back(record)
        if part.wanted is not None and record.phase == "Scaling":
            # Changed by somebody before we came to it, or after it and a crash: then we would
            # raise it once more, and give back what they set.
            return self._judged(part, part.wanted, shared=False)
        return replace(
            record,
            phase="Overridden",
            origin=None,
            reason=OVERRIDDEN,
            message=f"somebody set it to {value} while the rush had it at {record.applied}: "
            "left as it is",
        )

    # -------------------------------------------------------------------------- what to change
    def _next(self, records: dict[ObjectRef, Record | None], refused: str) -> Outcome:
        """All is recorded: change the target, or note that it is as it should be."""
        active = [(part, record) for part, record in self.held if part.wanted is not None]
        goal = max((record.applied or 0 for _, record in active), default=self.base)
        if self.found.value == goal:
            for part, record in self.held:
                records[part.sale] = self._done(part, record, shared=bool(active))
            return Outcome(records)
        if refused:
            trouble = Trouble(REFUSED, refused)
            told = {part.sale: _troubled(record, trouble) for part, record in self.held}
            return Outcome({**records, **told})
        may = any(
            not part.fault and (part.wanted is None or record.applied == goal)
            for part, record in self.held
        )
        if not may or not all(part.guarded for part, _ in active):
            told = {part.sale: _held_up(part, record) for part, record in self.held}
            return Outcome({**records, **told})
        return Outcome(records, Change(self.target, self.found, goal))

    def _done(self, part: Part, record: Record, *, shared: bool) -> Record:
        if part.wanted is None:
            return _back(
                record, f"it stays at {self.found.value} for another sale" if shared else ""
            )
        aim = max(part.wanted, record.before or 0)
        if part.fault:
            return _troubled(record, Trouble(NOT_PERMITTED, part.fault))
        if aim != record.applied:
            return _troubled(record, self._exceeding(aim))
        return replace(record, phase="Scaled", origin=None, reason="", message="")

    def _exceeds(self, wanted: int) -> bool:
        return self.found.most is not None and wanted > self.found.most

    def _exceeding(self, wanted: int) -> Trouble:
        return Trouble(
            EXCEEDS, f"its maxReplicas is {self.found.most}, and {wanted} are wanted: raise it"
        )


def _held_up(part: Part, record: Record) -> Record:
    """Say why a target cannot be changed for a sale that would have to."""
    if part.fault:
        trouble = Trouble(NOT_PERMITTED, part.fault)
        return _let_go(record, trouble) if part.deleting else _troubled(record, trouble)
    if part.blocked is not None and not part.guarded:
        return _troubled(record, part.blocked)
    return record


def _let_go(record: Record, trouble: Trouble) -> Record:
    return replace(
        record,
        phase="Overridden",
        origin=None,
        reason=trouble.reason,
        message=f"left as it is: {trouble.message}",
    )


def _back(record: Record, message: str = "") -> Record:
    return replace(record, phase="ScaledBack", origin=None, reason="", message=message)


def _failed(target: ObjectRef, part: Part, trouble: Trouble) -> Record:
    return Record(target, "Failed", part.rush, reason=trouble.reason, message=trouble.message)


def _troubled(record: Record, trouble: Trouble) -> Record:
    return replace(record, reason=trouble.reason, message=trouble.message)


def _core(record: Record | None) -> Record | None:
    """A record without what is only told to people."""
    return None if record is None else replace(record, reason="", message="")
