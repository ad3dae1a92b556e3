"""`sluice keys`: the keys that sign passes. Their numbers, never the keys."""

from __future__ import annotations

from typing import Any, Final

import click

from controlplane.cli.client import Client
from controlplane.cli.output import columns, emit, output_option
from controlplane.cli.target import Target, target_options

EPILOG: Final = """\
\b
Examples:
  sluice keys list
  sluice keys rotate

The newest key signs; up to four verify, so passes stay good through three rotations.
"""


@click.group(name="keys", epilog=EPILOG)
def command() -> None:
    """List and rotate the keys that sign passes."""


@command.command(name="list", epilog="\b\nExamples:\n  sluice keys list")
@target_options
@output_option()
def list_(target: Target, output: str) -> None:
    """List the keys of each Redis, by number."""
    with Client(target) as client:
        found = client.get("/keys")
    emit(found, output, lambda: show(found))


@command.command(
    epilog="\b\nExamples:\n  sluice keys rotate\n  sluice keys rotate --redis HOST:PORT"
)
@target_options
@click.option("--redis", metavar="HOST:PORT", help="Only on this Redis; otherwise on each.")
@output_option()
def rotate(target: Target, redis: str | None, output: str) -> None:
    """Make a new key, which signs from now on; edges have it within a poll or two."""
    with Client(target) as client:
        found = client.post("/keys/rotate", {"redis": redis} if redis else {})
    emit(found, output, lambda: show(found))


def show(found: dict[str, Any]) -> None:
    """Print rings as a table."""
    columns(
        ("REDIS", "SIGNING", "VERIFYING"),
        [
            (ring["redis"], ring["signing"], ", ".join(map(str, ring["verifying"])))
            for ring in found["rings"]
        ],
    )
