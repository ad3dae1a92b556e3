"""The commands of docs/tour.md, run as they stand there."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from controlplane.local.process import Process
from tests.envoy.stack import SLUICE
from tests.testkit.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.envoy, pytest.mark.redis]

TOUR = Path(__file__).parents[2] / "docs" / "tour.md"


@dataclass(frozen=True, slots=True)
class Step:
    """One command and what it must print; `...` stands for anything."""

    command: str
    expected: str

    @property
    def pattern(self) -> re.Pattern[str]:
        parts = [re.escape(part) for part in self.expected.split("...")]
        return re.compile(".*".join(parts), re.DOTALL)


def steps(text: str) -> Iterator[Step]:
    """The `$ ` lines of all console blocks, with the lines that follow each."""
    for block in re.findall(r"^```console\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, expected = part.partition("\n")
            yield Step(command, expected.strip())


async def run(command: str, folder: Path) -> tuple[int, str]:
    """Exit code and all that was printed."""
    process = await asyncio.create_subprocess_exec(
        "bash",
        *("-c", f"source {folder}/env && {command}"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(60):
        out, _ = await process.communicate()
    return process.returncode or 0, out.decode()


@pytest.mark.slow
@pytest.mark.timeout(1200)
async def test_the_tour(tmp_path: Path) -> None:
    folder = tmp_path / "tour"
    found = list(steps(TOUR.read_text()))
    assert len(found) > 15
    log = tmp_path / "demo.log"
    demo = Process("sluice demo", [SLUICE, "demo", "--keep", folder], log=log)
    try:
        await eventually((folder / "env").exists, deadline=120.0, what="the demo to be up")
        for step in found:
            await follow(step, folder)
    finally:
        await demo.terminate(45.0)
    assert "0 without an answer" in log.read_text()


async def follow(step: Step, folder: Path) -> None:
    """Runs a command until it prints what it should: a sale takes its time."""

    async def printed() -> bool:
        code, out = await run(step.command, folder)
        assert step.pattern.search(out), f"$ {step.command}\n{out}"
        assert code == 0 or "status" in step.command, f"exit code {code}: {out}"
        return True

    # A command that changes something prints nothing that would have to be waited for.
    await eventually(printed, deadline=60.0, every=0.5, what=step.command)
