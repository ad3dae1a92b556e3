"""What commands print: tables for people, JSON and YAML for programs.

Tables are plain columns: they can be read, grepped and pasted. Colours are for terminals only, and
not where NO_COLOR asks for none.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import click
import yaml
from rich.console import Console

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

FORMATS: Final = ("table", "json", "yaml")
GOOD: Final = "green"
BAD: Final = "red"
WAIT: Final = "yellow"
_STYLES: Final = {
    "True": GOOD,
    "False": BAD,
    "Unknown": WAIT,
    "Open": GOOD,
    "SoldOut": WAIT,
    "Scheduled": WAIT,
    "Suspended": BAD,
    "SYNCED": GOOD,
    "STALE": WAIT,
    "NACK": BAD,
}


def output_option(default: str = "table") -> Callable[[Any], Any]:
    """Give the option --output of commands that list."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(FORMATS),
        default=default,
        show_default=True,
        help="For people, or for programs.",
    )


def emit(value: Any, output: str, table: Callable[[], None]) -> None:
    """Print a value in the wanted form."""
    if output == "json":
        click.echo(json.dumps(value, indent=2, ensure_ascii=True))
    elif output == "yaml":
        click.echo(to_yaml(value), nl=False)
    else:
        table()


def to_yaml(value: Any) -> str:
    """Write YAML in the order of the value."""
    text: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=False, width=1000)
    return text


def columns(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table; the last column is never cut, whatever the width of the terminal."""
    texts = [[_text(cell) for cell in row] for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(headers, *texts, strict=True)]
    click.echo(click.style(_line(headers, widths), bold=True), color=use_colour())
    for row in texts:
        click.echo(_line(row, widths, styled=True), color=use_colour())


def pairs(rows: Iterable[tuple[str, object]]) -> None:
    """Print names and values, one a line."""
    given = [(name, _text(value)) for name, value in rows]
    width = max(len(name) for name, _ in given)
    for name, value in given:
        click.echo(f"{name:<{width}}  {_styled(value, value)}", color=use_colour())


def heading(text: str) -> None:
    """Print a heading between two tables."""
    click.echo(click.style(f"\n{text}", bold=True), color=use_colour())


def note(text: str) -> None:
    """Say something to the person, beside the result."""
    click.echo(text, err=True)


def use_colour() -> bool:
    """Tell whether colours are wanted on standard output."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def console() -> Console:
    """Give a console for what moves; it knows by itself about terminals and NO_COLOR."""
    return Console(highlight=False)


def since(instant: str | None, now: datetime | None = None) -> str:
    """Tell how long ago (or ahead) an instant of the API is: `3m ago`, `in 2h`."""
    if not instant:
        return ""
    moment = datetime.fromisoformat(instant)
    seconds = int(((now or datetime.now(UTC)) - moment).total_seconds())
    return f"{_short(seconds)} ago" if seconds >= 0 else f"in {_short(-seconds)}"


def _short(seconds: int) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _text(cell: object) -> str:
    if cell is None or cell == "":
        return "-"
    return str(cell).replace("\n", " ")


def _line(cells: Sequence[str], widths: Sequence[int], *, styled: bool = False) -> str:
    last = len(cells) - 1
    padded = [
        cell if index == last else f"{cell:<{width}}"
        for index, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    if styled:
        padded = [_styled(cell, text) for cell, text in zip(cells, padded, strict=True)]
    return "  ".join(padded)


def _styled(cell: str, text: str) -> str:
    colour = _STYLES.get(cell)
    return click.style(text, fg=colour) if colour else text
