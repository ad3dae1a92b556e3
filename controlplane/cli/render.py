"""`sluice render`: what proxies would be sent, as YAML for people, tests and diffs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from controlplane.cli import offline
from controlplane.cli.errors import CommandError
from controlplane.cli.output import note
from controlplane.translate import render

if TYPE_CHECKING:
    from collections.abc import Sequence

EPILOG: Final = """\
\b
Examples:
  sluice render manifests/ --gateway shop/edge
  sluice render manifests/ --gateway shop/edge | diff last.yaml -

This is what `sluice serve` with this state folder and environment sends (of the latter, only names
of variables count). Equal manifests give equal bytes. Private keys are left out.
"""


@click.command(name="render", epilog=EPILOG)
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--gateway", required=True, metavar="NAMESPACE/NAME", help="Whose proxies.")
@click.option(
    "--state-dir",
    type=click.Path(path_type=Path),
    default=Path(".sluice"),
    show_default=True,
    help="State folder of the control plane, with the filters in force.",
)
def command(paths: Sequence[Path], gateway: str, state_dir: Path) -> None:
    """Print what the proxies of a gateway would be sent.

    PATHS are folders and files of manifests. Problems are told on stderr; what is good is printed
    all the same, as the control plane would serve it.
    """
    update = offline.read(paths)
    translation = offline.translated(update, state_dir, os.environ)
    for problem in offline.problems(paths, update, translation):
        note(str(problem))
    snapshot = translation.snapshots.get(gateway)
    if snapshot is None:
        known = ", ".join(sorted(translation.snapshots)) or "there are none"
        raise CommandError(f"there is no gateway {gateway!r} that can be rendered; known: {known}")
    if not offline.is_built():
        note("warning: the filters are not built (`make filters`): their hashes are zeros here")
    click.echo(render(snapshot), nl=False)
