"""`sluice demo`: everything on this machine, with real parts, in a folder that goes away."""

from __future__ import annotations

import asyncio
import signal
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from controlplane.cli.errors import CommandError
from controlplane.cli.output import console
from controlplane.local.demo import RECIPES, live, show, walk
from controlplane.local.errors import LocalError

if TYPE_CHECKING:
    from collections.abc import Coroutine

EPILOG: Final = """\
\b
Examples:
  sluice demo                   watch a sale; Ctrl-C ends everything
  sluice demo --once            the classic recipe step by step, checked; exit code 0 or 1
  sluice demo --keep ./demo     leave manifests, state and logs there
  sluice demo --sample quota-requests          watch one of manifests/samples
  sluice demo --sample quota-requests --once   the same step by step, checked
"""
CLASSIC: Final = "classic-recipe"


def known(ctx: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Refuse the name of a sample that there is not."""
    if value is None or value in RECIPES:
        return value
    message = f"there is no {value!r}; the samples are: {', '.join(RECIPES)}"
    raise click.BadParameter(message, ctx, parameter)


@click.command(name="demo", epilog=EPILOG)
@click.option("--once", is_flag=True, help="Walk step by step, check each step, and end.")
@click.option(
    "--sample",
    metavar="NAME",
    callback=known,
    help="Show this one of manifests/samples; a wrong name lists them.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(1, 86400),
    help="End by itself after this long (not with --once).",
)
@click.option("--keep", type=click.Path(path_type=Path), help="Work in this folder and keep it.")
def command(*, once: bool, sample: str | None, seconds: float | None, keep: Path | None) -> None:
    """Run the whole stack on this machine and watch a sale, or one of the samples.

    A Redis, a control plane on a folder of manifests, a real Envoy with the Wasm filters, and a toy
    shop behind it. The sale opens a few seconds later, and a crowd of toy users comes for it.
    """
    with ExitStack() as stack:
        if keep is None:
            made = stack.enter_context(tempfile.TemporaryDirectory(prefix="sluice-demo-"))
            folder = Path(made)
        else:
            keep.mkdir(parents=True, exist_ok=True)
            folder = keep.absolute()
        screen = console()
        if once:
            task = walk(sample or CLASSIC, folder, screen)
        elif sample:
            task = show(sample, folder, screen, seconds=seconds)
        else:
            task = live(folder, screen, seconds=seconds)
        try:
            code = asyncio.run(interruptible(task))
        except LocalError as error:
            raise CommandError(str(error)) from error
    click.get_current_context().exit(code)


async def interruptible(task: Coroutine[Any, Any, int]) -> int:
    """Run until done, or until Ctrl-C or SIGTERM: then everything is ended in order."""
    running = asyncio.ensure_future(task)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, running.cancel)
    try:
        return await running
    except asyncio.CancelledError:
        return 0
    except BaseExceptionGroup as group:
        found = group.subgroup(LocalError)
        if found is None:
            raise
        raise CommandError(str(found.exceptions[0])) from group
