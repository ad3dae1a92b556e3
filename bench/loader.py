"""Runs the load generator, and says what it said."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FOLDER = Path(__file__).parent / "load"
PROGRAM = FOLDER / "target" / "release" / "sluice-load"
_GRACE = 30.0


class LoadError(Exception):
    """The load could not be sent."""


@dataclass(frozen=True, slots=True)
class Load:
    """One run of the load generator.

    Attributes:
        url: where to.
        seconds: for how long; 0: until `requests` are sent.
        requests: how many requests; 0: as many as there is time for.
        connections: over how many connections.
        rate: requests a second; 0: as fast as the answers come.
        headers: request headers, with holes.
        values: name of a hole -> file of lines.
        first: number of the first request.
    """

    url: str
    seconds: float = 0.0
    requests: int = 0
    connections: int = 64
    rate: float = 0.0
    headers: Sequence[str] = ()
    values: Mapping[str, Path] | None = None
    first: int = 0

    def arguments(self) -> list[str]:
        """The command line."""
        arguments = ["--connections", str(self.connections), "--first", str(self.first)]
        arguments += ["--seconds", str(self.seconds)] if self.seconds else []
        arguments += ["--requests", str(self.requests)] if self.requests else []
        arguments += ["--rate", str(self.rate)] if self.rate else []
        for header in self.headers:
            arguments += ["--header", header]
        for name, file in (self.values or {}).items():
            arguments += ["--values", f"{name}={file}"]
        return [*arguments, self.url]


@dataclass(frozen=True, slots=True)
class Figures:
    """What came of it."""

    answers: int
    rps: float
    p50_ms: float
    p99_ms: float
    statuses: Mapping[int, int]
    errors: Mapping[str, int]
    unsent: int
    cpu_share: float

    def unexpected(self, status: int) -> str:
        """What went wrong if every answer should have had this status; empty if nothing."""
        wrong = {s: n for s, n in self.statuses.items() if s != status}
        failed = {kind: n for kind, n in self.errors.items() if n}
        if wrong or failed or not self.answers:
            return f"expected {status} only, got {dict(self.statuses)}, errors {failed}"
        return ""


async def send(load: Load) -> Figures:
    """Sends the load and waits for the end of it.

    Raises:
        LoadError: the load generator could not run, or did not end in time.
    """
    process = await asyncio.create_subprocess_exec(
        PROGRAM,
        *load.arguments(),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(load.seconds + load.requests / 1000 + _GRACE):
            out, err = await process.communicate()
    except TimeoutError as error:
        message = f"the load generator did not end in time: {load}"
        raise LoadError(message) from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise LoadError(err.decode(errors="replace").strip())
    return _figures(json.loads(out))


def _figures(report: Mapping[str, Any]) -> Figures:
    return Figures(
        answers=report["answers"],
        rps=report["rps"],
        p50_ms=report["latency_ms"]["p50"],
        p99_ms=report["latency_ms"]["p99"],
        statuses={int(status): count for status, count in report["statuses"].items()},
        errors=report["errors"],
        unsent=report["unsent"],
        cpu_share=report["cpu_share"],
    )
