"""`sluice demo`, as it is typed: every sample walked through, and one of them watched."""

from __future__ import annotations

import asyncio
import os
import re
from typing import TYPE_CHECKING

import pytest

from controlplane.local.demo import RECIPES
from tests.envoy.stack import SLUICE, Finished

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.envoy, pytest.mark.redis, pytest.mark.slow]

DEADLINE = 240.0


async def demo(folder: Path, *arguments: str) -> Finished:
    process = await asyncio.create_subprocess_exec(
        SLUICE,
        *("demo", "--keep", str(folder), *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "NO_COLOR": "1"},
    )
    try:
        async with asyncio.timeout(DEADLINE):
            out, err = await process.communicate()
    except BaseException:
        if process.returncode is None:
            process.kill()
            await process.wait()
        raise
    return Finished(process.returncode or 0, out.decode(), err.decode())


@pytest.mark.parametrize("name", RECIPES)
async def test_every_step_of_a_sample_goes_as_it_should(name: str, tmp_path: Path) -> None:
    # Without a name it is the classic recipe.
    chosen = () if name == "classic-recipe" else ("--sample", name)
    ended = await demo(tmp_path, "--once", *chosen)
    assert ended.code == 0, ended.out + ended.err
    assert ended.err == ""
    *steps, empty, last = ended.out.splitlines()
    assert len(steps) >= 5
    assert all(step.startswith("ok ") for step in steps)
    assert (empty, last) == ("", "Every step went as it should.")
    assert [path.name for path in (tmp_path / "manifests").iterdir()] == [f"{name}.yaml"]


async def test_a_sample_is_watched(tmp_path: Path) -> None:
    ended = await demo(tmp_path, "--sample", "quota-requests", "--seconds", "7")
    assert ended.code == 0, ended.out + ended.err
    for shown in ("sluice quota top shop/qpm", "gold-bob", "no key", "reached the shop"):
        assert shown in ended.out
    # With a limit in force: what the last answer told of it.
    assert re.search(r'alice +let in \d+.* +"per-key";r=\d+;t=\d+', ended.out), ended.out
    assert "0 without an answer" in ended.out
    exported = (tmp_path / "env").read_text()
    assert "export EDGE=http://127.0.0.1:" in exported
    assert "export SALE=" not in exported
