"""Figures out of many runs: the median of what the rounds said, a table, a file."""

from __future__ import annotations

import json
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from rich.table import Table

from bench.cases import PLAIN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from bench.cases import Case
    from bench.loader import Figures


LIMIT_SHARE: Final = 0.8
"""Below this share of the time, something else than Envoy was the limit."""


@dataclass(frozen=True, slots=True)
class Run:
    """One case in one round.

    Attributes:
        figures: what the load generator says.
        cpu_us: processor time of Envoy a request, in microseconds.
        envoy_share: share of the time in which Envoy ran. Near 1 it was the limit, as it should be.
    """

    figures: Figures
    cpu_us: float
    envoy_share: float


@dataclass(frozen=True, slots=True)
class Result:
    """One case, all rounds.

    Attributes:
        ratio: the median of the rounds' requests a second against plain Envoy's in that round.
        cpu_ratio: likewise of the processor time a request, upside down; steadier, where others
            use the machine too.
    """

    case: Case
    rps: float
    p50_ms: float
    p99_ms: float
    ratio: float
    cpu_us: float
    cpu_ratio: float
    envoy_share: float

    @property
    def verdict(self) -> str:
        """Whether the bar was reached; empty when there is none.

        `disturbed` instead of missed when Envoy was not the limit: it might have done more.
        """
        if self.case.bar is None:
            return ""
        if self.ratio >= self.case.bar:
            return "passed"
        return "disturbed" if self.envoy_share < LIMIT_SHARE else "missed"

    def as_json(self) -> dict[str, Any]:
        """As it stands in the results file."""
        bar = {"bar": self.case.bar, "verdict": self.verdict} if self.verdict else {}
        return {
            "name": self.case.name,
            "rps": round(self.rps),
            "p50_ms": round(self.p50_ms, 3),
            "p99_ms": round(self.p99_ms, 3),
            "ratio": round(self.ratio, 3),
            "cpu_us": round(self.cpu_us, 2),
            "cpu_ratio": round(self.cpu_ratio, 3),
            "envoy_share": round(self.envoy_share, 2),
            **bar,
        }


def summarize(rounds: Sequence[Mapping[str, Run]], cases: Sequence[Case]) -> list[Result]:
    """The median over the rounds, each of which has a run of plain Envoy to compare with."""
    results = []
    for case in cases:
        runs = [(r[case.name], r[PLAIN]) for r in rounds]
        median = statistics.median
        results.append(
            Result(
                case=case,
                rps=median(run.figures.rps for run, _ in runs),
                p50_ms=median(run.figures.p50_ms for run, _ in runs),
                p99_ms=median(run.figures.p99_ms for run, _ in runs),
                ratio=median(run.figures.rps / plain.figures.rps for run, plain in runs),
                cpu_us=median(run.cpu_us for run, _ in runs),
                cpu_ratio=median(plain.cpu_us / run.cpu_us for run, plain in runs),
                envoy_share=median(min(run.envoy_share, plain.envoy_share) for run, plain in runs),
            )
        )
    return results


def table(results: Sequence[Result], title: str) -> Table:
    """The results for a person."""
    made = Table(title=title, title_justify="left")
    made.add_column("case")
    for column in ("requests/s", "p50 ms", "p99 ms", "Envoy us", "of plain", "bar"):
        made.add_column(column, justify="right")
    made.add_column("what", no_wrap=True)
    for result in results:
        verdict = result.verdict
        color = {"passed": "green", "missed": "red", "disturbed": "yellow"}.get(verdict, "default")
        made.add_row(
            result.case.name,
            f"{result.rps:,.0f}",
            f"{result.p50_ms:.2f}",
            f"{result.p99_ms:.2f}",
            f"{result.cpu_us:.1f}",
            f"[{color}]{result.ratio:.2f}[/]",
            f"{result.case.bar:.2f} {verdict}" if result.case.bar else "",
            result.case.what,
        )
    return made


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value that a share of a sorted row does not exceed."""
    return ordered[min(len(ordered) - 1, max(0, -int(-len(ordered) * share // 1) - 1))]


def write(path: Path, results: Mapping[str, Any]) -> None:
    """Writes the results file; in place only when it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".part")
    draft.write_text(json.dumps(results, indent=1) + "\n")
    draft.replace(path)
