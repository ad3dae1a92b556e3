"""The benchmark from start to end: builds nothing, starts everything, measures in turns.

The filters are compared with plain Envoy in the same process, a few seconds apart, again and again;
the median of the rounds' ratios is what counts. Every answer is checked, so that a filter that
breaks cannot look fast.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from bench import applies, edits, loader, machine
from bench.cases import CASES, MORE_CASES, PLAIN
from bench.loader import LoadError
from bench.results import LIMIT_SHARE, Run, quantile, summarize, table, write
from bench.stage import Stage, StageError
from controlplane.local import LocalError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.cases import Case
    from bench.results import Result

RESULTS = Path(__file__).parent / "results" / "latest.json"
LATENCY_BARS = {"p50_ms": 0.5, "p99_ms": 3.0}
EDIT_BAR_MS = 200.0
EDIT_WORKERS = 2
_MARGIN = 1.5
_TRIES = 3
_LATENCY_ROUNDS = 7
_FIRST_USER = 100_000  # those before were used to see whether all is ready
_BY_NAME = {case.name: case for case in (*CASES, *MORE_CASES)}


class UnexpectedError(StageError):
    """Not every answer was the expected one."""


class Bench:
    """One benchmark: what was asked for, where it runs, how far it got."""

    def __init__(self, options: argparse.Namespace, stage: Stage, progress: Progress) -> None:
        self.options = options
        self.stage = stage
        self.progress = progress
        self.sent = _FIRST_USER
        self.repeated = 0

    async def throughput(self, groups: Sequence[Sequence[Case]], name: str) -> list[Result]:
        """Measures groups of cases, each next to plain Envoy, in several Envoys."""
        starts, each = self.options.starts, self.options.rounds
        runs = sum(len(group) for group in groups) * starts * each
        task = self.progress.add_task(name, total=runs)
        rounds: list[list[dict[str, Run]]] = [[] for _ in groups]
        for start in range(starts):
            if start or self.stage.envoy.concurrency != 1:
                await self.stage.restart_envoy(1)
            for _ in range(each):
                for group, done in zip(groups, rounds, strict=True):
                    done.append(await self._round(group, task))
        return [r for g, done in zip(groups, rounds, strict=True) for r in summarize(done, g)]

    async def _round(self, group: Sequence[Case], task: TaskID) -> dict[str, Run]:
        runs: dict[str, Run] = {}
        for case in group:
            most = runs[PLAIN].figures.rps * _MARGIN if runs else 0.0
            runs[case.name] = await self._run(case, most=most)
            self.progress.advance(task)
        return runs

    async def _run(self, case: Case, *, most: float = 0.0, rate: float = 0.0) -> Run:
        """Measures one case once; again, a few times, when an answer was not the expected one.

        A machine that stops for longer than the deadline of a decision, as shared ones do, makes
        answers that are right and not what is measured here.
        """
        for remaining in reversed(range(_TRIES)):
            await self.stage.supply(case, int(most * self.options.seconds))
            try:
                return await self._run_once(case, rate)
            except UnexpectedError:
                if not remaining:
                    raise
                self.repeated += 1
        raise AssertionError

    async def _run_once(self, case: Case, rate: float) -> Run:
        load = self.stage.load(
            case,
            seconds=self.options.seconds,
            connections=self.options.connections,
            first=self.sent,
            rate=rate,
        )
        looks, cpu, begun = await self.stage.looks(case), self.stage.envoy_cpu(), time.monotonic()
        figures = await loader.send(load)
        cpu, took = self.stage.envoy_cpu() - cpu, time.monotonic() - begun
        self.sent += figures.answers
        if wrong := figures.unexpected(case.status):
            message = f"{case.name}: {wrong}; Envoy's log is {self.stage.envoy_log}"
            raise UnexpectedError(message)
        if case.asks_redis:
            looks = await self.stage.looks(case) - looks
            if looks < figures.answers:
                message = f"{case.name}: Redis was asked for {looks} of {figures.answers} requests"
                raise StageError(message)
        await self.stage.account(case, figures.answers)
        return Run(figures, cpu_us=cpu / figures.answers * 1e6, envoy_share=cpu / took)

    async def added_latency(self, rate: float) -> dict[str, Any]:
        """What a decision of Redis adds to the latency of plain Envoy, at a fixed rate."""
        task = self.progress.add_task("latency at half load", total=2 * _LATENCY_ROUNDS)
        added: dict[str, list[float]] = {name: [] for name in LATENCY_BARS}
        absolute: dict[str, list[float]] = {name: [] for name in LATENCY_BARS}
        for _ in range(_LATENCY_ROUNDS):
            figures = {}
            for name in (PLAIN, "redis-decision"):
                figures[name] = (await self._run(_BY_NAME[name], rate=rate)).figures
                self.progress.advance(task)
            for name in LATENCY_BARS:
                decision = getattr(figures["redis-decision"], name)
                added[name].append(decision - getattr(figures[PLAIN], name))
                absolute[name].append(decision)
        result: dict[str, Any] = {"rate": round(rate)}
        for name, bar in LATENCY_BARS.items():
            value = median(added[name])
            result[name] = round(value, 3)
            result[f"with_plain_{name}"] = round(median(absolute[name]), 3)
            result[f"{name.removesuffix('_ms')}_verdict"] = "passed" if value < bar else "missed"
        return result

    async def edit_to_force(self) -> dict[str, Any]:
        """From writing a manifest to its being in force on every worker."""
        task = self.progress.add_task("edits", total=self.options.edits)
        await self.stage.restart_envoy(EDIT_WORKERS)
        await self.stage.supply(_BY_NAME["not-started"], 0)
        workers = await edits.one_of_each(self.stage.port, EDIT_WORKERS, self.stage.by_worker)

        async def edit(number: int) -> None:
            self.stage.edit(number)
            self.progress.advance(task)

        try:
            times = await edits.measure(
                workers,
                self.options.edits,
                edit,
                path=_BY_NAME["not-started"].path,
            )
        finally:
            for worker in workers:
                worker.close()
        return _to_force(times)


async def apply_to_force(folder: Path, count: int, progress: Progress) -> dict[str, Any]:
    """From a request to an API server to its being in force on every worker."""
    task = progress.add_task("edits by an API server", total=count)
    times = await applies.measure(folder, count, EDIT_WORKERS, lambda: progress.advance(task))
    return _to_force(times)


def _to_force(times: Sequence[float]) -> dict[str, Any]:
    """The figures of edits, whose times are sorted."""
    p99 = quantile(times, 0.99) * 1e3
    return {
        "edits": len(times),
        "workers": EDIT_WORKERS,
        "p50_ms": round(quantile(times, 0.5) * 1e3, 1),
        "p99_ms": round(p99, 1),
        "max_ms": round(times[-1] * 1e3, 1),
        "verdict": "passed" if p99 < EDIT_BAR_MS else "missed",
    }


async def bench(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Runs everything that was asked for; the results as they stand in the file."""
    if options.applies:
        applies.need()
    cores = machine.choose_cores()
    os.sched_setaffinity(0, cores.others)  # and with it all that is started from here
    folder = Path(tempfile.mkdtemp(prefix="sluice-bench-"))  # kept when something goes wrong
    with _progress(console) as shown:
        task = shown.add_task("starting Redis, the control plane and Envoy", total=None)
        async with Stage(folder, cores) as stage:
            shown.remove_task(task)
            here = machine.describe(stage.envoy_binary, stage.redis_binary)
            run = Bench(options, stage, shown)
            first, quotas, more, last, two = _groups(options.cases)
            groups = [group for group in (first, quotas, more) if group]
            measured = await run.throughput(groups, "throughput")
            decision = next((r for r in measured if r.case.name == "redis-decision"), None)
            latency = await run.added_latency(decision.rps / 2) if decision else None
            edit = await run.edit_to_force() if options.edits else None
            measured += await run.throughput([last], "throughput, writing") if last else []
            measured += await run.throughput([two], "throughput, two sales") if two else []
            measured = [r for i, r in enumerate(measured) if r.case.name != PLAIN or not i]
            results: dict[str, Any] = {
                "machine": here,
                "settings": {
                    "connections": options.connections,
                    "envoy_starts": options.starts,
                    "rounds": options.starts * options.rounds,
                    "seconds": options.seconds,
                    "envoy_has_a_core_for_itself": not cores.shared,
                    "repeated_runs": run.repeated,
                },
                "cases": [r.as_json() for r in measured if r.case in CASES],
                "more_cases": [r.as_json() for r in measured if r.case in MORE_CASES],
                "added_latency": latency,
                "edit_to_force": edit,
            }
        # Here no processor is kept free: nothing is compared.
        os.sched_setaffinity(0, cores.envoy | cores.others)
        results["apply_to_force"] = (
            await apply_to_force(folder / "cluster", options.applies, shown)
            if options.applies
            else None
        )
    await asyncio.to_thread(shutil.rmtree, folder)
    console.print(table(measured, _describe(here)))
    _tell(console, results, measured)
    return results


def _groups(names: Sequence[str]) -> list[list[Case]]:
    """What is measured in turns, and what comes last, on its own.

    That is `redis-admit`: workers go on reading the log of all those permits for a while, and a
    new Envoy reads all of it. And `among-two`: when a sale goes, the filter asks for the route of
    each request for a while.
    """
    chosen = [case for case in _BY_NAME.values() if not names or case.name in names]
    plain = _BY_NAME[PLAIN]
    first = [c for c in chosen if c in CASES and c != plain and not c.quota]
    quotas = [c for c in chosen if c.quota]
    alone = ("redis-admit", "among-two")
    more = [c for c in chosen if c in MORE_CASES and c.name not in alone]
    others = [[c for c in chosen if c.name == name] for name in alone]
    return [[plain, *group] if group else [] for group in (first, quotas, more, *others)]


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, TimeElapsedColumn(), console=console)


def _describe(here: Mapping[str, Any]) -> str:
    return (
        f"{here['cpu']}, {here['cores']} cores, {here['memory_gib']} GiB, Linux {here['kernel']}, "
        f"Envoy {here['envoy']} with one worker, Redis {here['redis']}"
    )


def _tell(console: Console, results: Mapping[str, Any], measured: Sequence[Result]) -> None:
    if latency := results.get("added_latency"):
        console.print(
            f"Added by a Redis decision at {latency['rate']:,} requests/s: "
            f"p50 {latency['p50_ms']:.2f} ms ({latency['p50_verdict']}), "
            f"p99 {latency['p99_ms']:.2f} ms ({latency['p99_verdict']})"
        )
    for name, begin in (("edit", "writing a file"), ("apply", "applying an object")):
        if edit := results.get(f"{name}_to_force"):
            console.print(
                f"From {begin} to every worker acting on it: p50 {edit['p50_ms']:.0f} ms, "
                f"p99 {edit['p99_ms']:.0f} ms of {edit['edits']} edits ({edit['verdict']})"
            )
    disturbed = [r.case.name for r in measured if r.envoy_share < LIMIT_SHARE]
    if disturbed:
        console.print(
            f"Envoy was not the limit in {', '.join(disturbed)}: other programs were. "
            "Run it again on a quiet machine; until then only cpu_ratio in the results means much."
        )


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--starts", type=int, default=3, help="how often Envoy is started [3]")
    parser.add_argument("--rounds", type=int, default=3, help="rounds with each Envoy [3]")
    parser.add_argument("--seconds", type=float, default=2.0, help="seconds a case a round [2]")
    parser.add_argument("--connections", type=int, default=64, help="connections [64]")
    parser.add_argument("--cases", nargs="+", choices=list(_BY_NAME), default=[], help="only these")
    parser.add_argument("--edits", type=int, default=50, help="edits of a manifest; 0: none [50]")
    parser.add_argument("--applies", type=int, default=100, help="edits by an API server [100]")
    parser.add_argument("--output", type=Path, default=RESULTS, help="where the results go")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the benchmark. 0: all was measured, whatever the bars say; 1: something did not run."""
    options = _options(argv)
    console = Console()
    try:
        results = asyncio.run(bench(options, console))
    except (LoadError, LocalError, LookupError, StageError) as error:
        Console(stderr=True).print(f"[red]error:[/] {error}", highlight=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        return 130
    write(options.output, results)
    console.print(f"Written to {options.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
