"""`sluice validate`: the checks of the control plane, without a control plane."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from controlplane.cli import offline
from controlplane.cli.output import emit, output_option
from controlplane.status.objects import problem_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from controlplane.model import Problem

EPILOG: Final = """\
\b
Examples:
  sluice validate manifests/
  sluice validate sale.yaml edge.yaml
  sluice validate manifests/ -o json

Problems are printed as FILE:LINE: OBJECT: FIELD: what is wrong. Exit code 1 when there is an error;
warnings alone are none.
"""


@click.command(name="validate", epilog=EPILOG)
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@output_option()
def command(paths: Sequence[Path], output: str) -> None:
    """Check manifests without running anything.

    PATHS are folders and files; what refers to each other should be given together.
    """
    update = offline.read(paths)
    translation = offline.translated(update, Path(".sluice"), os.environ)
    found = offline.problems(paths, update, translation)
    value = {
        "objects": len(update.inventory),
        "problems": [problem_json(problem) for problem in found],
    }
    emit(value, output, lambda: show(found, value))
    if any(problem.is_error for problem in found):
        click.get_current_context().exit(1)


def show(found: Sequence[Problem], value: dict[str, Any]) -> None:
    """Print problems, one a line, and how many."""
    for problem in found:
        click.echo(str(problem) if problem.is_error else f"{problem} (warning)")
    errors = sum(problem.is_error for problem in found)
    warnings = len(found) - errors
    click.echo(
        f"{value['objects']} objects, {errors} error{'' if errors == 1 else 's'}"
        + (f", {warnings} warning{'' if warnings == 1 else 's'}" if warnings else "")
    )
