"""A sample, walked through step by step, each step checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import httpx

from controlplane.local.demo.ground import Ground
from controlplane.local.demo.recipes import RECIPES
from controlplane.local.demo.staging import Sample
from controlplane.local.demo.steps import StepError, Steps

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

_ANSWER_DEADLINE: Final = 15.0


async def walk(name: str, folder: Path, console: Console) -> int:
    """Walk through a sample with real parts; 0 when every step went as it should, else 1.

    Raises:
        LocalError: something did not start, or a command failed.
    """
    recipe = RECIPES[name]
    sample = Sample(name, recipe.path)
    with console.status("") as status:
        ground = Ground(folder, sample.scene, lambda what: status.update(f"{what} ..."))
        async with ground, httpx.AsyncClient(timeout=_ANSWER_DEADLINE) as client:
            status.stop()
            steps = Steps(ground, sample, client, lambda said: console.print(said, soft_wrap=True))
            try:
                await recipe.walk(steps)
            except StepError as error:
                console.print(f"[red]FAILED[/red]  {error}", soft_wrap=True)
                return 1
    console.print("\nEvery step went as it should.")
    return 0
