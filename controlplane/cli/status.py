"""`sluice status`: what is in force, what is not, and why."""

from __future__ import annotations

from typing import Any, Final

import click

from controlplane.cli.client import Client
from controlplane.cli.output import columns, emit, heading, output_option, since
from controlplane.cli.target import Target, target_options

TYPES: Final = ("CDS", "EDS", "SDS", "ECDS", "LDS", "RDS")
EPILOG: Final = """\
\b
Examples:
  sluice status
  sluice status --versions             what each proxy has confirmed
  sluice status -o json
  sluice status --check || echo "something is not as it should be"
  sluice status --retry shop/edge      after mending what made a proxy refuse (a port in use)
"""


@click.command(name="status", epilog=EPILOG)
@target_options
@output_option()
@click.option(
    "--versions", is_flag=True, help="Show the version of each type that a proxy has confirmed."
)
@click.option("--check", is_flag=True, help="Exit with 1 unless everything is as it should be.")
@click.option(
    "--retry",
    metavar="NAMESPACE/GATEWAY",
    help="First send once more what proxies of this gateway refused.",
)
def command(target: Target, output: str, *, versions: bool, check: bool, retry: str | None) -> None:
    """Show gateways, proxies, sales, quotas, and what is wrong.

    Conditions are true only when the proxies have said so: PROXIES tells how many run the newest
    configuration of how many that are connected.
    """
    with Client(target) as client:
        if retry:
            client.post(f"/gateways/{retry}/retry")
        found = client.get("/status")
    emit(found, output, lambda: show(found, versions=versions))
    if check and faults(found):
        click.get_current_context().exit(1)


def show(found: dict[str, Any], *, versions: bool = False) -> None:
    """Print everything as tables."""
    if not found["ready"]:
        click.echo("The manifests have not been read yet: proxies are told nothing.")
    heading("OBJECTS")
    columns(
        ("KIND", "NAME", "ACCEPTED", "PROGRAMMED", "READY", "PROXIES", "MESSAGE"),
        [object_row(one) for one in found["objects"]],
    )
    heading("PROXIES")
    columns(
        ("NODE", "GATEWAY", "WORKERS", *TYPES, "CONNECTED", "AGENT"),
        [proxy_row(one, versions=versions) for one in found["proxies"]],
    )
    sales = [one for one in found["objects"] if one["kind"] == "FlashSale"]
    if sales:
        heading("SALES")
        show_sales(sales)
    quotas = [one for one in found["objects"] if one["kind"] == "QuotaPolicy"]
    if quotas:
        heading("QUOTAS")
        show_quotas(quotas)
    chosen = [line for one in found.get("filters", ()) if (line := choice_line(one))]
    if chosen:
        heading("FILTERS")
        for line in chosen:
            click.echo(line)
    said = refusals(found["proxies"]) + [problem_line(one) for one in found["problems"]]
    if said:
        heading("PROBLEMS")
        for line in said:
            click.echo(line)


def show_sales(sales: list[dict[str, Any]]) -> None:
    """Print sales as a table."""
    columns(
        ("NAME", "STATE", "ADMITTED", "REMAINING", "LIMIT", "STARTS", "ENDS", "PROXIES", "NOTE"),
        [sale_row(one) for one in sales],
    )


def show_quotas(quotas: list[dict[str, Any]]) -> None:
    """Print quota policies as a table."""
    columns(
        ("NAME", "LIMITS", "GATEWAYS", "ACCEPTED", "PROGRAMMED", "PROXIES", "NOTE"),
        [quota_row(one) for one in quotas],
    )


def object_row(one: dict[str, Any]) -> tuple[object, ...]:
    """Give the line of an object."""
    found = {item["type"]: item for item in all_conditions(one)}
    proxies = one["proxies"]
    count = f"{proxies['programmed']}/{proxies['total']}" if "Programmed" in found else "-"
    return (
        one["kind"],
        qualified(one),
        *(found.get(kind, {}).get("status", "-") for kind in ("Accepted", "Programmed", "Ready")),
        count,
        next((bad["message"] or bad["reason"] for bad in found.values() if is_bad(bad)), ""),
    )


def proxy_row(one: dict[str, Any], *, versions: bool = False) -> tuple[object, ...]:
    """Give the line of a proxy."""
    word = version_word if versions else sync_word
    return (
        one["node"],
        one["gateway"],
        one["workers"] or "?",
        *(word(one["types"].get(kind)) for kind in TYPES),
        since(one["connectedAt"]),
        one["waiting"] or agent(one),
    )


def agent(one: dict[str, Any]) -> str:
    """Say what a proxy is; of one at another replica, where, and whether it has everything."""
    if not one.get("replica"):
        return str(one["agent"])
    where = f"at {one['replica'].partition('_')[0]}"
    return where if one["inSync"] else f"{where}, not up to date"


def sale_row(one: dict[str, Any]) -> tuple[object, ...]:
    """Give the line of a sale."""
    proxies = one["proxies"]
    by_hand = " (by hand)" if one["limitByHand"] is not None else ""
    return (
        qualified(one),
        one["state"],
        one["admitted"],
        one["remaining"],
        f"{one['limit']}{by_hand}",
        since(one["startTime"]),
        since(one["endTime"]) or "sold out",
        f"{proxies['programmed']}/{proxies['total']}",
        sale_note(one),
    )


def sale_note(one: dict[str, Any]) -> str:
    """Say in a word or two what is special about a sale just now."""
    if one["closed"]:
        return f"closed: {one['closed']}"
    if one["redisError"]:
        return str(one["redisError"])
    if one["healing"]:
        return "books are being healed"
    return "suspended by hand" if one["suspendedByHand"] else ""


def quota_row(one: dict[str, Any]) -> tuple[object, ...]:
    """Give the line of a quota policy."""
    found = {item["type"]: item["status"] for item in one["conditions"]}
    proxies = one["proxies"]
    return (
        qualified(one),
        ", ".join(map(limit_words, one["limits"])),
        ", ".join(one["gateways"]),
        found.get("Accepted"),
        found.get("Programmed"),
        f"{proxies['programmed']}/{proxies['total']}",
        quota_note(one),
    )


def limit_words(limit: dict[str, Any]) -> str:
    """Give a limit in a few words: `per-key 10/1s 1000/1d`, a shadow in brackets."""
    windows = " ".join(f"{one['amount']}/{one['per']}" for one in limit["windows"])
    words = f"{limit['name']} {windows}"
    return words if limit["mode"] == "Enforce" else f"({words})"


def quota_note(one: dict[str, Any]) -> str:
    """Say why a policy is not in force as it should be, if so."""
    return next((str(bad["message"]) for bad in one["conditions"] if is_bad(bad)), "")


def sync_word(state: dict[str, Any] | None) -> str:
    """Say how a proxy stands with one type."""
    if state is None:
        return "-"
    if state["nack"]:
        return "NACK"
    return "SYNCED" if state["inSync"] else "STALE"


def version_word(state: dict[str, Any] | None) -> str:
    """Give the version in force; a star tells that there is a newer one."""
    if state is None or not state["acked"]:
        return "-"
    return f"{state['acked'][:8]}{'' if state['inSync'] else '*'}"


def choice_line(one: dict[str, Any]) -> str:
    """Say of a filter whose code somebody chose which it is; nothing of others."""
    if not one.get("chosen"):
        return ""
    ago = f" {since(one['chosenAt'])}" if one["chosenAt"] else ""
    line = f"{one['filter']}: code {one['chosen'][:12]} was chosen by hand{ago}"
    if one["sha256"] != one["chosen"]:
        return f"{line}, and {one['sha256'][:12]} is in force"
    return line if one["image"] == one["sha256"] else f"{line}; this image has {one['image'][:12]}"


def refusals(proxies: list[dict[str, Any]]) -> list[str]:
    """Give what proxies refuse, in their own words."""
    return [
        f"{proxy['node']}: refuses {kind} {', '.join(state['nack']['resources'])}: "
        f"{state['nack']['message']}"
        for proxy in proxies
        for kind, state in proxy["types"].items()
        if state["nack"]
    ]


def problem_line(problem: dict[str, Any]) -> str:
    """Give a problem as one line, its place first."""
    place = f"{problem['file']}:{problem['line']}" if problem["line"] else problem["file"]
    parts = (place, problem["object"], problem["field"], problem["message"])
    line = ": ".join(part for part in parts if part)
    return line if problem["severity"] == "error" else f"warning: {line}"


def faults(found: dict[str, Any]) -> bool:
    """Tell whether anything is not as it should be."""
    bad = any(is_bad(item) for one in found["objects"] for item in all_conditions(one))
    wrong = any(problem["severity"] == "error" for problem in found["problems"])
    return bad or wrong or bool(refusals(found["proxies"])) or not found["ready"]


def condition_rows(conditions: list[dict[str, Any]]) -> list[tuple[object, ...]]:
    """Give the lines of conditions, dated."""
    return [
        (
            item["type"],
            item["status"],
            item["reason"],
            since(item["lastTransitionTime"]),
            item["message"],
        )
        for item in conditions
    ]


def all_conditions(one: dict[str, Any]) -> list[dict[str, Any]]:
    """Give the conditions of an object, and of its parts where they say more."""
    parts = [item for part in one.get("parts", ()) for item in part["conditions"]]
    whole = {item["type"] for item in one["conditions"]}
    worst: dict[str, dict[str, Any]] = {}
    for item in parts:
        if item["type"] not in whole and (item["type"] not in worst or is_bad(item)):
            worst[item["type"]] = item
    return [*one["conditions"], *worst.values()]


def is_bad(condition: dict[str, Any]) -> bool:
    """Tell whether a condition says that something is wrong."""
    wrong_when_true = {"BooksLost", "Conflicted", "PartiallyInvalid", "OverlappingTLSConfig"}
    if condition["type"] in wrong_when_true:
        return bool(condition["status"] == "True")
    return bool(condition["status"] != "True")


def qualified(one: dict[str, Any]) -> str:
    """Name an object with its namespace."""
    return f"{one['namespace']}/{one['name']}" if one["namespace"] else str(one["name"])
