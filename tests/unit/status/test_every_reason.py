"""No reason is given that is not reached on a real API server, and told of in the documentation.

The reasons are read from the sources, so that a new one without a test fails here, as does one
that nobody gives any more.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import controlplane
from controlplane.scaling.condition import CONDITION as SCALED
from controlplane.status.objects import OUR_CONDITIONS
from tests.cluster import gateway_reasons, live_reasons, policy_reasons, route_reasons

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE: Final = Path(controlplane.__file__).parent
ROOT: Final = Path(__file__).parents[3]
SAYING: Final = frozenset({"yes", "no", "Condition", "Fault", "Trouble"})
"""Who says a reason, alone or with its condition."""
_WORD: Final = re.compile(r"[A-Z][A-Za-z]+")
_SCALED: Final = re.compile(r'is_scaled\(\s*"\w+/(\w+)"')
_DOCUMENTED: Final = ("docs/gateway-api.md", "docs/operations.md")

NO_REASONS: Final = {
    # Statuses of conditions.
    *("True", "False", "Unknown"),
    # Conditions that have no reason of their name, next to reasons in what is said of books.
    "StockSufficient",
    # Kinds that a reference is compared with.
    *("EdgeConfig", "Gateway"),
}
"""Words in the places of reasons that are none."""


def trees() -> Iterator[ast.Module]:
    """The modules that say reasons."""
    for part in ("translate", "status", "scaling", "model", "ledger/state.py"):
        place = PACKAGE / part
        for path in [place] if place.is_file() else sorted(place.glob("*.py")):
            tree = ast.parse(path.read_text())
            names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
            if names & SAYING or place.is_file() or part == "scaling":
                yield tree


def constants() -> dict[str, str]:
    """Words that have a name."""
    found = {}
    for tree in trees():
        for node in tree.body:
            if not isinstance(node, ast.AnnAssign | ast.Assign):
                continue
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                if isinstance(target, ast.Name) and isinstance(node.value, ast.Constant):
                    found[target.id] = str(node.value.value)
    return found


NAMED: Final = constants()


def word(node: ast.AST) -> str:
    """The word that stands there, by itself or by its name; empty when none does."""
    if isinstance(node, ast.Constant):
        text = node.value
    elif isinstance(node, ast.Name):
        text = NAMED.get(node.id)
    else:
        text = NAMED.get(node.attr) if isinstance(node, ast.Attribute) else None
    return text if isinstance(text, str) and _WORD.fullmatch(text) else ""


def said() -> Iterator[tuple[str, str]]:
    """Reasons with their condition, which is empty where another place tells it."""
    for tree in trees():
        nodes = list(ast.walk(tree))
        types = {id(node.slice) for node in nodes if isinstance(node, ast.Subscript)}
        for node in nodes:
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                yield from _called(node.func.id, [word(argument) for argument in node.args])
            if isinstance(node, ast.keyword) and node.arg == "reason":
                yield "", word(node.value)
            elif isinstance(node, ast.Tuple) and id(node) not in types:
                for element in node.elts:
                    yield "", word(element)


def _called(name: str, words: list[str]) -> Iterator[tuple[str, str]]:
    if name in {"yes", "no"}:
        kind, reason = (*words, "")[:2]
        yield kind, reason if len(words) > 1 else kind
    elif name == "Condition":
        yield words[0], words[2]
    elif name in {"Fault", "Trouble", "say"}:
        yield from (("", found) for found in words)


def reached() -> set[tuple[str, str, str]]:
    """What is reached: on which kind of thing, which condition, which reason."""
    cases = (*gateway_reasons.CASES, *route_reasons.CASES, *policy_reasons.CASES)
    says = [one for case in cases for step in case.steps for one in step.says]
    found = {(one.subject, one.condition, one.reason) for one in (*says, *live_reasons.ALL)}
    for name in ("test_scaling.py", "test_reasons.py"):
        text = (ROOT / "tests" / "cluster" / name).read_text()
        found |= {("FlashSale", SCALED, reason) for reason in _SCALED.findall(text)}
    return {one for one in found if one[2]}


def documented() -> set[tuple[str, str, str]]:
    """What the tables of the documentation tell of; an empty cell is as the one above."""
    found = set()
    for name in _DOCUMENTED:
        above = ["", ""]
        for line in (ROOT / name).read_text().splitlines():
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            conditions = re.findall(r"`(\w+)`", cells[1]) if len(cells) > 2 else []
            if (
                len(cells) < 3
                or not line.startswith("|")
                or not {*conditions} <= OUR_CONDITIONS | {SCALED}
            ):
                continue
            above = [cells[0] or above[0], conditions[0] if conditions else above[1]]
            for subject in above[0].split(", "):
                found |= {(subject, above[1], one) for one in re.findall(r"`(\w+)`", cells[2])}
    return {one for one in found if one[1]}


def test_every_reason_is_reached() -> None:
    known = {(condition, reason) for _, condition, reason in reached()}
    reasons = {reason for _, reason in known}
    found = {one for one in said() if one[1]}
    assert ("Conflicted", "HostnameConflict") in found
    assert ("", "NotScaledBack") in found
    assert {one for one in found if one[0]} - known == set()
    assert {reason for _, reason in found} - reasons - NO_REASONS == set()
    # What nobody gives any more is not to be waited for, either.
    assert reasons - {reason for _, reason in found} == set()


def test_every_reason_is_told_of() -> None:
    assert reached() - documented() == set()
    assert documented() - reached() == set()
