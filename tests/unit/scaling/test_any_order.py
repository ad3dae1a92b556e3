"""Whatever the order of crashes, edits, deletions and clock jumps, the end is right.

Users set odd numbers, each once; sales want even ones. So it can always be told whose a number is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.unit.scaling.world import API, WEB, World, minutes

if TYPE_CHECKING:
    from controlplane.model import ObjectRef

NAMES = ("laptop", "phone", "watch")
TARGETS = (WEB, API)
wishes = st.dictionaries(
    st.sampled_from(TARGETS), st.integers(1, 20).map(lambda n: 2 * n), max_size=2
)
ends = st.sampled_from([5.0, 10.0, 60.0])


class _Machine(RuleBasedStateMachine):
    """Sales come and go, a control plane lives and dies."""

    @initialize()
    def begin(self) -> None:
        self.world = World(now=minutes(-30))
        self.set_by_users: dict[ObjectRef, int] = {}
        self.times_set = 0
        for target in TARGETS:
            self.someone_sets(target)

    # --------------------------------------------------------------------------------- users
    @rule(name=st.sampled_from(NAMES), wish=wishes, end=ends)
    def someone_applies(self, name: str, wish: dict[ObjectRef, int], end: float) -> None:
        if not any(one.deleting for ref, one in self.world.sales.items() if ref.name == name):
            self.world.wants(name, wish, end=end)

    @rule(name=st.sampled_from(NAMES))
    def someone_deletes(self, name: str) -> None:
        for ref in [ref for ref in self.world.sales if ref.name == name]:
            self.world.deletes(ref)

    def someone_sets(self, target: ObjectRef) -> None:
        self.times_set += 1
        value = 2 * (self.times_set * 17 % 101) + 1  # up and down, and no number twice
        self.world.has(target, value)
        self.set_by_users[target] = value

    # --------------------------------------------------------------------------- the machines
    @rule(step=st.floats(0, 20))
    def time_passes(self, step: float) -> None:
        self.world.now += minutes(step) - minutes(0)

    @rule()
    def it_runs(self) -> None:
        self.world.run()

    @rule(writes=st.integers(0, 5))
    def it_dies(self, writes: int) -> None:
        self.world.dies_after(writes)

    # -------------------------------------------------------------------------- what must hold
    @invariant()
    def what_is_held_is_guarded(self) -> None:
        for sale in self.world.sales.values():
            assert sale.guarded or not sale.recorded.holding

    def teardown(self) -> None:
        for _ in range(2):
            self.world.now = max(self.world.now, minutes(0)) + (minutes(300) - minutes(0))
            self.world.run()
        for target, value in self.set_by_users.items():
            assert self.world.value(target) == value
        assert not any(sale.guarded for sale in self.world.sales.values())
        assert not any(sale.deleting for sale in self.world.sales.values())


class NobodyInterferes(_Machine):
    """Nobody sets a target but us: then each has at any time what the rush needs."""

    @rule()
    def it_is_as_wanted(self) -> None:
        self.world.run()
        for target, before in self.set_by_users.items():
            wanted = [
                record.applied
                for sale in self.world.sales.values()
                if sale.active(self.world.now)
                for name, record in sale.recorded.records.items()
                if name == target and record.applied is not None
            ]
            assert self.world.value(target) == max([before, *wanted])
        for sale in self.world.sales.values():
            if sale.active(self.world.now) and sale.scaling is not None:
                records = sale.recorded.records.values()
                wishes = {one.name: one.wanted for one in sale.scaling.targets}
                for record in records:
                    wish = wishes[record.target.name]
                    assert record.applied in {wish, max(wish, record.before or 0)}


class EverybodyInterferes(_Machine):
    """Users set targets, make them anew, and the clock jumps: what users set last comes back."""

    @rule(which=st.sampled_from(TARGETS))
    def a_user_sets(self, which: ObjectRef) -> None:
        self.someone_sets(which)

    @rule(which=st.sampled_from(TARGETS))
    def a_user_makes_it_anew(self, which: ObjectRef) -> None:
        del self.world.targets[which]
        self.someone_sets(which)

    @precondition(lambda self: self.world.now > minutes(-60))
    @rule(step=st.floats(0, 40))
    def the_clock_goes_back(self, step: float) -> None:
        self.world.now -= minutes(step) - minutes(0)

    @rule(which=st.sampled_from(TARGETS), name=st.sampled_from(NAMES))
    def a_grant_comes_and_goes(self, which: ObjectRef, name: str) -> None:
        for ref in [ref for ref, sale in self.world.sales.items() if ref.name == name]:
            if not self.world.sales[ref].deleting:  # a deleted one lets go of what it may not see
                self.world.ungranted = {(ref, which)}
                self.world.run()
                self.world.ungranted = set()


_SETTINGS = settings(max_examples=150, stateful_step_count=30, deadline=None)
TestNobodyInterferes = NobodyInterferes.TestCase
TestNobodyInterferes.settings = _SETTINGS
TestEverybodyInterferes = EverybodyInterferes.TestCase
TestEverybodyInterferes.settings = _SETTINGS
