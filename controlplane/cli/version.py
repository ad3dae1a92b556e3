"""`sluice version`: which one this is."""

from __future__ import annotations

import click

from controlplane import __version__
from controlplane.cli.output import emit, output_option


@click.command(name="version", epilog="\b\nExamples:\n  sluice version\n  sluice version -o json")
@output_option()
def command(output: str) -> None:
    """Show the version."""
    emit({"version": __version__}, output, lambda: click.echo(f"sluice {__version__}"))
