"""The machine: what it is, who may run where, and how much processor time somebody used."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Cores:
    """Which processors are whose: Envoy has one for itself, where there are two."""

    envoy: frozenset[int]
    others: frozenset[int]

    @property
    def shared(self) -> bool:
        """Whether Envoy has to share its processor."""
        return bool(self.envoy & self.others)


def choose_cores() -> Cores:
    """Deals out the processors that this process may use."""
    mine = sorted(os.sched_getaffinity(0))
    return Cores(frozenset(mine[:1]), frozenset(mine[1:] or mine))


def pin(pid: int, cores: frozenset[int]) -> None:
    """Binds all threads of a process; those that it starts later inherit it."""
    for task in _tasks(pid):
        os.sched_setaffinity(int(task.name), cores)


def cpu_seconds(pid: int) -> float:
    """Processor time that all living threads of a process have used, to the nanosecond."""
    total = 0
    for task in _tasks(pid):
        total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def _tasks(pid: int) -> list[Path]:
    return list(Path(f"/proc/{pid}/task").iterdir())


def describe(envoy: Path, redis: Path) -> dict[str, str | int | float]:
    """The machine in a few words; no name of it."""
    cpuinfo = Path("/proc/cpuinfo").read_text()
    model = re.search(r"^model name\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    meminfo = Path("/proc/meminfo").read_text()
    memory = re.search(r"^MemTotal:\s*(\d+) kB", meminfo, re.MULTILINE)
    return {
        "cpu": model[1].strip() if model else platform.machine(),
        "cores": os.cpu_count() or 1,
        "memory_gib": round(int(memory[1]) / 2**20, 1) if memory else 0.0,
        "kernel": platform.release(),
        "envoy": _version(envoy, r"/(\d+\.\d+\.\d+[^/]*)/"),
        "redis": _version(redis, r"v=(\S+)"),
    }


def _version(program: Path, pattern: str) -> str:
    said = subprocess.run(
        [program, "--version"], capture_output=True, text=True, timeout=30, check=True
    ).stdout
    found = re.search(pattern, said)
    return found[1] if found else said.strip()
