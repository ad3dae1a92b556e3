"""Tells the log what changed about objects: each transition once, in words to act on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

if TYPE_CHECKING:
    from controlplane.model import Condition, Problem
    from controlplane.status.objects import ObjectStatus, Status

log = structlog.get_logger(__name__)


class TerminalWriter:
    """Compares each status with the one before and logs the difference."""

    def __init__(self) -> None:
        self._conditions: dict[tuple[str, str], tuple[str, str, str]] = {}
        self._phases: dict[str, str] = {}
        self._problems: frozenset[str] = frozenset()

    def write(self, status: Status) -> None:
        """Log what is new in this status."""
        self._write_problems(status.problems)
        seen: set[tuple[str, str]] = set()
        for one in status.objects:
            seen |= self._write_object(one)
        for gone in self._conditions.keys() - seen:
            del self._conditions[gone]

    def _write_problems(self, problems: tuple[Problem, ...]) -> None:
        now = {str(problem): problem for problem in problems}
        for text, problem in now.items():
            if text not in self._problems:
                level = log.error if problem.is_error else log.warning
                level("Problem found", problem=text)
        for text in sorted(self._problems - now.keys()):
            log.info("Problem solved", problem=text)
        self._problems = frozenset(now)

    def _write_object(self, one: ObjectStatus) -> set[tuple[str, str]]:
        name = str(one.ref)
        if one.sale is not None and self._phases.get(name) != one.sale.state:
            self._phases[name] = one.sale.state
            log.info("Sale changed", sale=one.name, state=one.sale.state.value)
        seen = set()
        for condition in one.conditions:
            key = (name, condition.type)
            seen.add(key)
            self._write_condition(key, condition, loud=one.ref.kind in _LOUD)
        return seen

    def _write_condition(self, key: tuple[str, str], condition: Condition, *, loud: bool) -> None:
        if condition.reason in _PASSING:
            return  # every change goes through it
        good = (condition.status == "True") != (condition.type in _BAD)
        # A number in the message of a condition that holds is no transition.
        words = "" if good else condition.message
        said = (condition.status, condition.reason, words)
        before = self._conditions.get(key)
        if before == said:
            return
        self._conditions[key] = said
        fields = {"object": key[0], "reason": condition.reason, "message": condition.message}
        fields = {field: value for field, value in fields.items() if value}
        what = f"{condition.type} is {condition.status}"
        if not good:
            log.warning(what, **fields)
        elif before is not None or (loud and condition.type == "Programmed"):
            log.info(what, **fields)
        else:
            log.debug(what, **fields)


_BAD: Final = frozenset({"BooksLost", "Conflicted", "PartiallyInvalid"})
"""Conditions that tell of something wrong when they are true."""
_PASSING: Final = frozenset({"Pending", "NoProxies", "NotProgrammed", "BooksPending", "Healing"})
"""Reasons that are no news: they come and go with every change."""
_LOUD: Final = frozenset({"Gateway", "FlashSale", "QuotaPolicy"})
