"""`sluice data`: the users let into a sale, as YAML out and in."""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING, Any, Final

import click
import yaml

from controlplane.cli.client import Client, sale_path
from controlplane.cli.errors import CommandError
from controlplane.cli.output import FORMATS, columns
from controlplane.cli.sale import confirm
from controlplane.cli.target import Target, sale_argument, target_options

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CHUNK: Final = 1000
PAGE: Final = 5000
MAX_INPUT: Final = 256 * 1024 * 1024
FIELDS: Final = frozenset({"user", "id", "number", "how", "order"})
EPILOG: Final = """\
\b
Examples:
  sluice data list shop/laptop                        who is in, as YAML
  sluice data list shop/laptop > users.yaml
  sluice data apply shop/laptop < users.yaml          let them in (again)
  sluice data apply shop/laptop "Bearer alice"        as the request carries it
  sluice data delete shop/laptop "Bearer alice"
  sluice data delete shop/laptop                      everybody

The YAML is a list `users` with entries {user: ...}, as listed, or {id: ...}, the raw id, which the
control plane hashes. What `list` prints, `apply` accepts unchanged. --id and --user leave no doubt
about a raw id that looks like a hash.
"""
_HASH: Final = re.compile(r"[0-9a-f]{32}")


@click.group(name="data", epilog=EPILOG)
def command() -> None:
    """List, add and forget the users let into a sale."""


def users_options(function: Any) -> Any:
    """Give the arguments and options that name users."""
    function = click.argument("names", nargs=-1, metavar="[USER]...")(function)
    function = click.option(
        "--id", "ids", multiple=True, metavar="ID", help="A raw id; repeatable."
    )(function)
    function = click.option(
        "--user", "users", multiple=True, metavar="USER", help="A user as listed; repeatable."
    )(function)
    return click.option(
        "-f", "--file", type=click.File("r"), help="YAML with the users; - is standard input."
    )(function)


@command.command(
    name="list",
    epilog="\b\nExamples:\n  sluice data list shop/laptop\n  sluice data list shop/laptop -o table",
)
@target_options
@sale_argument
@click.option(
    "-o", "--output", type=click.Choice(FORMATS), default="yaml", show_default=True, help="Form."
)
def list_(sale: str, target: Target, output: str) -> None:
    """List the users let in, in the order in which they were.

    HOW tells whether a user was admitted by the sale, granted by hand, or healed: known to an edge
    or to the copy when Redis had lost it.
    """
    with Client(target) as client:
        found = read_all(client, sale)
    if output == "json":
        click.echo(json.dumps({"sale": sale, "users": found}, indent=1, ensure_ascii=True))
    elif output == "table":
        columns(
            ("ORDER", "NUMBER", "HOW", "USER"),
            [(one["order"], one["number"], one["how"], one["user"]) for one in found],
        )
    else:
        click.echo(f"sale: {json.dumps(sale)}\nusers:" + ("" if found else " []"))
        for one in found:
            click.echo(yaml_entry(one))


@command.command(
    epilog="\b\nExamples:\n  sluice data apply shop/laptop < users.yaml\n"
    "  sluice data apply shop/laptop -f users.yaml\n"
    '  sluice data apply shop/laptop --id "Bearer alice" --id "Bearer bob"'
)
@target_options
@sale_argument
@users_options
def apply(
    sale: str,
    target: Target,
    names: Sequence[str],
    ids: Sequence[str],
    users: Sequence[str],
    file: Any,
) -> None:
    """Let users in by hand, also those whom the lottery blocks, and above the limit if need be.

    A USER is 32 hexadecimal digits as listed, or a raw id. Without any they are read from standard
    input. Who is in keeps the permit.
    """
    entries = named(names, ids, users)
    if not entries or file is not None:
        stream = file if file is not None else sys.stdin
        entries += read_entries(stream, sale)
    count = 0
    with Client(target) as client:
        for chunk in chunks(entries):
            count += len(client.post(f"{sale_path(sale)}/data/apply", {"users": chunk})["users"])
    click.echo(f"{sale}: {counted(count)} let in")


@command.command(
    epilog='\b\nExamples:\n  sluice data delete shop/laptop --id "Bearer alice"\n'
    "  sluice data delete shop/laptop -f users.yaml\n"
    "  sluice data delete shop/laptop --all --yes"
)
@target_options
@sale_argument
@users_options
@click.option("--all", "everybody", is_flag=True, help="Everybody; so it is when none is named.")
@click.option("--yes", is_flag=True, help="Do not ask before everybody is forgotten.")
def delete(
    sale: str,
    target: Target,
    names: Sequence[str],
    ids: Sequence[str],
    users: Sequence[str],
    file: Any,
    *,
    everybody: bool,
    yes: bool,
) -> None:
    """Forget users: they are as if they had never come, and their permits are there again.

    A USER is 32 hexadecimal digits as listed, or a raw id. Without any it is everybody.
    """
    entries = named(names, ids, users)
    if file is not None:
        entries += read_entries(file, sale)
    if everybody and entries:
        raise click.UsageError("name users, or say --all, but not both")
    path = f"{sale_path(sale)}/data/delete"
    removed = 0
    with Client(target) as client:
        if not entries and file is None:
            confirm(f"Forget everybody let into {sale}?", yes=yes)
            removed = client.post(path, {"all": True})["removed"]
        for chunk in chunks(entries):
            removed += client.post(path, {"users": chunk})["removed"]
    click.echo(f"{sale}: {counted(removed)} forgotten")


def read_all(client: Client, sale: str) -> list[dict[str, Any]]:
    """Read all pages; begins again when somebody deletes in between."""
    for _ in range(10):
        found: list[dict[str, Any]] = []
        generations = set()
        first: int | None = 0
        while first is not None:
            page = client.get(f"{sale_path(sale)}/data", first=first, count=PAGE)
            found += page["users"]
            generations.add(page["generation"])
            first = page["next"]
        if len(generations) == 1:
            return [{**one, "order": order} for order, one in enumerate(found, start=1)]
    raise CommandError(f"the users of {sale} are being deleted faster than they can be listed")


def read_entries(stream: Any, sale: str) -> list[dict[str, Any]]:
    """Read the users of a YAML document."""
    text = stream.read(MAX_INPUT)
    try:
        given = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark else ""
        raise CommandError(f"the users are no YAML: {where}{error.problem}") from error  # type: ignore[attr-defined]
    if isinstance(given, dict):
        unknown = sorted(map(str, given.keys() - {"sale", "users"}))
        if unknown:
            raise CommandError(f"unknown field {unknown[0]!r} (there are: sale, users)")
        if given.get("sale", sale) != sale:
            raise CommandError(f"these are users of {given['sale']}, not of {sale}")
        given = given.get("users")
    if given is None:
        raise CommandError("no users given: expected `users:` with a list of {user: ...}")
    if not isinstance(given, list):
        raise CommandError("users must be a list of {user: ...} or {id: ...}")
    return [read_entry(index, entry) for index, entry in enumerate(given)]


def read_entry(index: int, entry: Any) -> dict[str, Any]:
    """Read one user; a bare text is a raw id, unless it could also be a hash."""
    if isinstance(entry, str):
        if _HASH.fullmatch(entry):
            raise CommandError(
                f"users[{index}]: {entry} may be a raw id or a hash: write {{id: ...}} or "
                "{user: ...}"
            )
        return {"id": entry}
    if not isinstance(entry, dict):
        raise CommandError(f"users[{index}] must be {{user: ...}} or {{id: ...}}")
    unknown = sorted(map(str, entry.keys() - FIELDS))
    if unknown:
        raise CommandError(f"users[{index}]: unknown field {unknown[0]!r}")
    return {kind: entry[kind] for kind in ("user", "id") if kind in entry}


def named(names: Sequence[str], ids: Sequence[str], users: Sequence[str]) -> list[dict[str, Any]]:
    """Give the users named on the command line."""
    given = [("user" if _HASH.fullmatch(one) else "id", one) for one in names]
    given += [("id", one) for one in ids] + [("user", one) for one in users]
    return [{kind: one} for kind, one in given]


def yaml_entry(one: dict[str, Any]) -> str:
    """Write one user."""
    rest = f"number: {one['number']}, how: {one['how']}, order: {one['order']}"
    return f"- {{user: {quoted(one['user'])}, {rest}}}"


def quoted(text: str) -> str:
    """Quote a text for YAML, which would read some hashes as numbers; in ASCII, on one line."""
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(char: str) -> str:
    if char in '"\\':
        return f"\\{char}"
    if char.isascii() and char.isprintable():
        return char
    code = ord(char)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004 - four digits


def chunks(entries: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Cut a long list into calls."""
    for start in range(0, len(entries), CHUNK):
        yield entries[start : start + CHUNK]


def counted(number: int) -> str:
    """Give a number of users in words."""
    return f"{number} user" + ("" if number == 1 else "s")
