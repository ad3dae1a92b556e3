"""`sluice sale`: how sales go, and steering them by hand."""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import click
from rich.live import Live
from rich.text import Text

from controlplane.cli.client import Client, sale_path
from controlplane.cli.output import columns, console, emit, heading, output_option, pairs, since
from controlplane.cli.status import condition_rows, qualified, sale_note, show_sales
from controlplane.cli.target import Target, namespace_option, only_of, sale_argument, target_options

if TYPE_CHECKING:
    from collections.abc import Iterator

STATES: Final = ("Scheduled", "Open", "SoldOut", "Ended", "Suspended")
EPILOG: Final = """\
\b
Examples:
  sluice sale list
  sluice sale show shop/laptop -o yaml
  sluice sale watch shop/laptop --until SoldOut
  sluice sale suspend shop/laptop && sluice sale resume shop/laptop
  sluice sale set-limit shop/laptop 150       above or below what the manifest says
  sluice sale set-limit shop/laptop --clear   leave it to the manifest again
  sluice sale restore shop/laptop             after BooksLost: go on with the books as they are
  sluice sale reset shop/laptop --yes         empty books, all permits there again
"""


@click.group(name="sale", epilog=EPILOG)
def command() -> None:
    """List, watch and steer sales."""


@command.command(
    name="list", epilog="\b\nExamples:\n  sluice sale list\n  sluice sale list -o json"
)
@target_options
@namespace_option
@output_option()
def list_(target: Target, namespace: str | None, output: str) -> None:
    """List all sales."""
    with Client(target) as client:
        found = {"sales": only_of(namespace, client.get("/sales")["sales"])}
    emit(found, output, lambda: show_sales(found["sales"]))


@command.command(epilog="\b\nExamples:\n  sluice sale show shop/laptop")
@target_options
@sale_argument
@output_option()
def show(sale: str, target: Target, output: str) -> None:
    """Show one sale with its conditions."""
    with Client(target) as client:
        found = client.get(sale_path(sale))
    emit(found, output, lambda: describe(found))


@command.command(
    epilog="\b\nExamples:\n  sluice sale watch shop/laptop\n"
    "  sluice sale watch shop/laptop --until SoldOut -o json"
)
@target_options
@sale_argument
@click.option(
    "--until", type=click.Choice(STATES), help="End with 0 as soon as the sale is in this state."
)
@click.option(
    "--interval",
    type=click.FloatRange(0.1, 60),
    default=0.5,
    show_default=True,
    help="Seconds between two looks.",
)
@click.option("-o", "--output", type=click.Choice(("text", "json")), default="text", help="Form.")
def watch(sale: str, target: Target, until: str | None, interval: float, output: str) -> None:
    """Show a sale as it goes, until Ctrl-C.

    On a terminal one line is kept up to date; elsewhere each change is a line.
    """
    screen = console()
    with Client(target) as client:
        looks = follow(client, sale, interval, until)
        if output == "text" and screen.is_terminal:
            with Live(console=screen, auto_refresh=False) as live:
                for found in looks:
                    live.update(Text(watch_line(found)), refresh=True)
            return
        before = ""
        for found in looks:
            line = json.dumps(found) if output == "json" else watch_line(found, clock=False)
            if line != before:
                before = line
                stamp = "" if output == "json" else f"{datetime.now(UTC):%H:%M:%S}  "
                click.echo(f"{stamp}{line}")


def follow(
    client: Client, sale: str, interval: float, until: str | None
) -> Iterator[dict[str, Any]]:
    """Look again and again."""
    while True:
        found = client.get(sale_path(sale))
        yield found
        if found["state"] == until:
            return
        time.sleep(interval)


@command.command(epilog="\b\nExamples:\n  sluice sale suspend shop/laptop")
@target_options
@sale_argument
def suspend(sale: str, target: Target) -> None:
    """Answer everyone with `responses.suspended`; nothing is lost meanwhile."""
    act(target, sale, "suspend", "suspended")


@command.command(epilog="\b\nExamples:\n  sluice sale resume shop/laptop")
@target_options
@sale_argument
def resume(sale: str, target: Target) -> None:
    """Undo `suspend`; a sale that its manifest suspends stays so."""
    act(target, sale, "resume", "resumed")


@command.command(
    epilog="\b\nExamples:\n  sluice sale set-limit shop/laptop 150\n"
    "  sluice sale set-limit shop/laptop --clear"
)
@target_options
@sale_argument
@click.argument("limit", metavar="[NUMBER]", type=click.IntRange(min=0), required=False)
@click.option("--clear", is_flag=True, help="Leave the limit to the manifest again.")
def set_limit(sale: str, limit: int | None, target: Target, *, clear: bool) -> None:
    """Set the limit by hand, whatever the manifest says, until it is cleared.

    Lowered below what is sold it stops selling and takes nothing back.
    """
    if clear == (limit is not None):
        raise click.UsageError("give either a number or --clear")
    what = "limit as in the manifest" if limit is None else f"limit {limit} (by hand)"
    act(target, sale, "limit", what, limit=limit)


@command.command(epilog="\b\nExamples:\n  sluice sale restore shop/laptop")
@target_options
@sale_argument
def restore(sale: str, target: Target) -> None:
    """Go on with the books as they are, after BooksLost.

    Permits that a lost proxy gave in its last moment, and that nobody else knows, may then be sold
    a second time.
    """
    act(target, sale, "restore", "books accepted, the sale goes on")


@command.command(epilog="\b\nExamples:\n  sluice sale reset shop/laptop --yes")
@target_options
@sale_argument
@click.option("--yes", is_flag=True, help="Do not ask.")
def reset(sale: str, target: Target, *, yes: bool) -> None:
    """Empty the books: everybody let in is forgotten, and passes are void."""
    confirm(f"Forget everybody let into {sale}, and sell all of it again?", yes=yes)
    act(target, sale, "reset", "books are empty")


def confirm(question: str, *, yes: bool) -> None:
    """Ask a person; a script has said so by running the command."""
    if not yes and sys.stdin.isatty():
        click.confirm(question, abort=True, err=True)


def act(target: Target, sale: str, action: str, done: str, **fields: Any) -> None:
    """Do something to a sale, and say that it is done."""
    with Client(target) as client:
        client.post(f"{sale_path(sale)}/{action}", fields)
    click.echo(f"{sale}: {done}")


def describe(one: dict[str, Any]) -> None:
    """Print all about a sale."""
    proxies = one["proxies"]
    by_hand = " (by hand)" if one["limitByHand"] is not None else ""
    pairs(
        (
            ("Sale", qualified(one)),
            ("State", one["state"]),
            ("Admitted", one["admitted"]),
            ("Remaining", one["remaining"]),
            ("Limit", f"{one['limit']}{by_hand}"),
            ("Starts", moment(one["startTime"])),
            ("Ends", moment(one["endTime"])),
            ("Proxies", f"{proxies['programmed']} of {proxies['total']}"),
            ("Gateways", ", ".join(one["gateways"])),
            ("Redis", one["redis"]),
            ("Books", f"{one['books']} (generation {one['generation']})"),
            ("Note", sale_note(one)),
        )
    )
    heading("CONDITIONS")
    columns(("TYPE", "STATUS", "REASON", "SINCE", "MESSAGE"), condition_rows(one["conditions"]))


def moment(instant: str | None) -> str:
    """Give a time, and how far away it is."""
    return f"{instant} ({since(instant)})" if instant else ""


def watch_line(one: dict[str, Any], *, clock: bool = True) -> str:
    """Give the state of a sale in one line."""
    proxies = one["proxies"]
    parts = [
        f"{qualified(one)}  {one['state']:<9}",
        f"let in {one['admitted']}/{one['limit']}",
        f"remaining {one['remaining']}",
        f"proxies {proxies['programmed']}/{proxies['total']}",
    ]
    if clock and one["state"] == "Scheduled":
        parts.append(f"opens {since(one['startTime'])}")
    if note := sale_note(one):
        parts.append(note)
    return "  ".join(parts)
