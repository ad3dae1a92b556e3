"""`sluice filters`: the filters' code in the store, and which of it each proxy runs."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click

from controlplane.cli.client import Client
from controlplane.cli.errors import CommandError
from controlplane.cli.output import columns, emit, heading, output_option, since
from controlplane.cli.target import Target, target_options

FILTERS: Final = ("flash-sale", "quota", "redis-bridge")
DIGITS: Final = 12
EPILOG: Final = """\
\b
Examples:
  sluice filters list
  sluice filters reload                       the built files, after `make filters`
  sluice filters reload --file new.wasm       code from elsewhere
  sluice filters reload --to 3f9a0c2b11de     and back again
"""


@click.group(name="filters", epilog=EPILOG)
def command() -> None:
    """List the filters' code, and roll it out or back."""


@command.command(name="list", epilog="\b\nExamples:\n  sluice filters list")
@target_options
@output_option()
def list_(target: Target, output: str) -> None:
    """List the code in the store, and what each proxy runs by its own word."""
    with Client(target) as client:
        found = client.get("/filters")
    emit(found, output, lambda: show(found))


@command.command(
    epilog="\b\nExamples:\n  sluice filters reload\n  sluice filters reload --file new.wasm\n"
    "  sluice filters reload --to 3f9a0c2b11de"
)
@target_options
@click.option(
    "--filter", "name", type=click.Choice(FILTERS), help="Which; flash-sale if code is named."
)
@click.option(
    "--file", type=click.Path(path_type=Path, dir_okay=False), help="Take the code from this file."
)
@click.option(
    "--to", metavar="HASH", help="Go back to code of the store, by the start of its hash."
)
@output_option()
def reload(
    target: Target, name: str | None, file: Path | None, to: str | None, output: str
) -> None:
    """Roll code out to all proxies; no restart, and nothing let in is lost.

    Without options: the files that the package was built with, as they are now.

    On a cluster all replicas follow, and what was chosen stays in force, upgrades included, until
    a reload without options: then each replica serves the code of its own image again.
    """
    if file is not None and to is not None:
        raise click.UsageError("give either --file or --to")
    body: dict[str, Any] = {"filter": name} if name else {}
    if to is not None:
        body["to"] = to
    if file is not None:
        body["code"] = base64.b64encode(read(file)).decode()
    with Client(target) as client:
        found = client.post("/filters/reload", body)
    emit(found, output, lambda: columns(("FILTER", "CODE"), [row(one) for one in found["filters"]]))


def read(path: Path) -> bytes:
    """Read code from a file."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise CommandError(f"filter file {path} cannot be read: {error.strerror}") from error


def show(found: dict[str, Any]) -> None:
    """Print the store and the proxies as tables."""
    shared = any("shared" in one for one in found["filters"])
    more = ("SHARED", "LAST USED", "NOTE") if shared else ()
    columns(
        ("FILTER", "CODE", "SIZE", "STORED", "IN FORCE", *more),
        [code_row(one, shared=shared) for one in found["filters"]],
    )
    for one in found.get("inForce", ()):
        if one.get("problem"):
            click.echo(f"{one['filter']}: {one['problem']}")
    heading("PROXIES")
    columns(
        ("NODE", "GATEWAY", *(name.upper() for name in FILTERS), "IN SYNC"),
        [
            (
                one["node"],
                one["gateway"],
                *(one["code"].get(name, "?")[:DIGITS] for name in FILTERS),
                "yes" if one["inSync"] else "no",
            )
            for one in found["proxies"]
        ],
    )


def code_row(one: dict[str, Any], *, shared: bool) -> tuple[str, ...]:
    """Give the line of code; `shared` is by all replicas of a cluster."""
    line = (
        one["filter"],
        one["sha256"][:DIGITS],
        f"{one['size'] // 1024} KiB",
        moment(one["storedAt"]),
        "yes" if one["current"] else "",
    )
    if not shared:
        return line
    notes = [word for word, key in (("by hand", "chosen"), ("of the image", "image")) if one[key]]
    return (*line, "yes" if one["shared"] else "", moment(one["usedAt"]), ", ".join(notes))


def moment(at: float | None) -> str:
    """Say how long ago something was, by the seconds of the epoch."""
    return "" if at is None else since(datetime.fromtimestamp(at, UTC).isoformat())


def row(one: dict[str, Any]) -> tuple[str, str]:
    """Give the line of rolled-out code."""
    return (one["filter"], one["sha256"][:DIGITS])
