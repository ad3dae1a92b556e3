"""`sluice quota`: what consumers have used of their quotas, and changing that by hand.

A consumer is named by the parts of the limit's key, as requests carry them. They may be secrets:
they travel in the body of a call, and only their hash stands in Redis, in answers and in logs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from controlplane.cli.client import Client, quota_path
from controlplane.cli.output import columns, emit, heading, note, output_option, pairs, since
from controlplane.cli.sale import confirm
from controlplane.cli.status import condition_rows, qualified, quota_note, show_quotas
from controlplane.cli.target import (
    Target,
    namespace_option,
    only_of,
    policy_argument,
    target_options,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MAX_UNITS: Final = 10**9
MAX_TOP: Final = 1000
EPILOG: Final = """\
\b
Examples:
  sluice quota list
  sluice quota show shop/model-api -o yaml
  sluice quota get shop/model-api --key "Bearer alice"
  sluice quota get shop/model-api --limit per-user-and-path --key alice --key /v1/chat
  sluice quota top shop/model-api --limit per-key
  sluice quota adjust shop/model-api --limit per-key --key "Bearer alice" --give-back 500
  sluice quota reset shop/model-api --key "Bearer alice"
  sluice quota reset shop/model-api --all --yes

--key stands once for each part of the limit's key, in its order; a client address may be the bare
address. --consumer names one as `get` and `top` show it. Without --limit all limits are meant
whose key has as many parts as were given.
"""


@click.group(name="quota", epilog=EPILOG)
def command() -> None:
    """List quotas, and see and change what consumers have used."""


def limit_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give the option --limit."""
    return click.option("--limit", metavar="LIMIT", help="Only this limit of the policy.")(function)


def consumer_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give the options that name a consumer."""
    function = click.option(
        "--consumer", metavar="ID", help="A consumer as `get` and `top` show it."
    )(function)
    return click.option(
        "--key",
        "keys",
        multiple=True,
        metavar="VALUE",
        help="A part of the key as requests carry it; repeat for each part.",
    )(function)


@command.command(
    name="list", epilog="\b\nExamples:\n  sluice quota list\n  sluice quota list -o json"
)
@target_options
@namespace_option
@output_option()
def list_(target: Target, namespace: str | None, output: str) -> None:
    """List all quota policies."""
    with Client(target) as client:
        found = {"quotas": only_of(namespace, client.get("/quotas")["quotas"])}
    emit(found, output, lambda: show_quotas(found["quotas"]))


@command.command(epilog="\b\nExamples:\n  sluice quota show shop/model-api")
@target_options
@policy_argument
@output_option()
def show(policy: str, target: Target, output: str) -> None:
    """Show one policy with its limits and conditions."""
    with Client(target) as client:
        found = client.get(quota_path(policy))
    emit(found, output, lambda: describe(found))


@command.command(
    epilog='\b\nExamples:\n  sluice quota get shop/model-api --key "Bearer alice"\n'
    "  sluice quota get shop/model-api --limit per-key --consumer 3f9a0c2b11de00aa3f9a0c2b11de00aa"
)
@target_options
@policy_argument
@limit_option
@consumer_options
@output_option()
def get(
    policy: str,
    limit: str | None,
    keys: Sequence[str],
    consumer: str | None,
    target: Target,
    output: str,
) -> None:
    """Show what one consumer has used, window by window.

    HELD is what requests under way have reserved. For a consumer with an override its numbers are
    shown.
    """
    with Client(target) as client:
        found = client.post(f"{quota_path(policy)}/get", meant(limit, keys, consumer))
    emit(found, output, lambda: show_counters(found))


@command.command(
    epilog='\b\nExamples:\n  sluice quota reset shop/model-api --key "Bearer alice"\n'
    "  sluice quota reset shop/model-api --limit per-key --all --yes"
)
@target_options
@policy_argument
@limit_option
@consumer_options
@click.option("--all", "everybody", is_flag=True, help="All consumers.")
@click.option("--yes", is_flag=True, help="Do not ask before all consumers are reset.")
@output_option()
def reset(
    policy: str,
    limit: str | None,
    keys: Sequence[str],
    consumer: str | None,
    target: Target,
    output: str,
    *,
    everybody: bool,
    yes: bool,
) -> None:
    """Forget what a consumer has used, or (--all) what everybody has.

    Gateways that remember a refusal act on it within a second.
    """
    named = meant(limit, keys, consumer)
    if everybody and (keys or consumer):
        raise click.UsageError("name a consumer, or say --all, but not both")
    if everybody:
        what = f"limit {limit} of {policy}" if limit else policy
        confirm(f"Forget what all consumers of {what} have used?", yes=yes)
        named["all"] = True
    forgotten = 0
    path = f"{quota_path(policy)}/reset"
    with Client(target) as client:
        while True:
            done = client.post(path, named)
            forgotten += done["forgotten"]
            if done["next"] is None:
                break
            named["next"] = done["next"]
    done = {"quota": policy, "forgotten": forgotten}
    emit(done, output, lambda: click.echo(f"{policy}: {counted(forgotten)} forgotten"))


@command.command(
    epilog="\b\nExamples:\n  sluice quota adjust shop/model-api --key k1 --give-back 500\n"
    "  sluice quota adjust shop/model-api --limit per-key --key k1 --charge 20"
)
@target_options
@policy_argument
@limit_option
@consumer_options
@click.option(
    "--charge", type=click.IntRange(1, MAX_UNITS), metavar="UNITS", help="Count so many more."
)
@click.option(
    "--give-back", type=click.IntRange(1, MAX_UNITS), metavar="UNITS", help="Count so many fewer."
)
@output_option()
def adjust(
    policy: str,
    limit: str | None,
    keys: Sequence[str],
    consumer: str | None,
    charge: int | None,
    give_back: int | None,
    target: Target,
    output: str,
) -> None:
    """Charge a consumer units, or give some back.

    In each window of the limit; it never goes below zero, and takes back nothing that earlier
    windows have counted.
    """
    if (charge is None) == (give_back is None):
        raise click.UsageError("give either --charge or --give-back")
    named = meant(limit, keys, consumer)
    named["units"] = charge if charge is not None else -(give_back or 0)
    with Client(target) as client:
        found = client.post(f"{quota_path(policy)}/adjust", named)
    emit(found, output, lambda: show_counters(found))


@command.command(
    epilog="\b\nExamples:\n  sluice quota top shop/model-api\n"
    "  sluice quota top shop/model-api --limit per-key --window per-key.2 --count 50"
)
@target_options
@policy_argument
@limit_option
@click.option("--window", metavar="NAME", help="Of a limit with several; otherwise its first.")
@click.option(
    "--count",
    type=click.IntRange(1, MAX_TOP),
    default=10,
    show_default=True,
    help="How many consumers.",
)
@output_option()
def top(
    policy: str, limit: str | None, window: str | None, count: int, target: Target, output: str
) -> None:
    """List the consumers that have used most.

    Of one limit, in its present window.
    """
    wanted: dict[str, str | int] = {"count": count}
    wanted |= {"limit": limit} if limit else {}
    wanted |= {"window": window} if window else {}
    with Client(target) as client:
        found = client.get(f"{quota_path(policy)}/top", **wanted)
    emit(found, output, lambda: show_top(found))
    for place in found["places"]:
        if not place["complete"]:
            note(
                f"stopped early: {place['redis']} has more counters than can be looked through in "
                f"one call; these are the most used of {place['counters']}"
            )


def meant(limit: str | None, keys: Sequence[str], consumer: str | None) -> dict[str, Any]:
    """Give the body that says whose counters are meant."""
    if keys and consumer:
        raise click.UsageError("give either --key or --consumer")
    named: dict[str, Any] = {"limit": limit} if limit else {}
    if consumer:
        return {**named, "consumer": consumer}
    return {**named, "key": list(keys)} if keys else named


def describe(one: dict[str, Any]) -> None:
    """Print all about a policy."""
    proxies = one["proxies"]
    pairs(
        (
            ("Policy", qualified(one)),
            ("Proxies", f"{proxies['programmed']} of {proxies['total']}"),
            ("Gateways", ", ".join(one["gateways"])),
            ("Redis", ", ".join(one["redis"])),
            ("Note", quota_note(one)),
        )
    )
    heading("LIMITS")
    columns(
        ("WINDOW", "ALGORITHM", "AMOUNT", "COUNTS", "PER", "BURST", "KEY", "MODE", "OVERRIDES"),
        [row for limit in one["limits"] for row in limit_rows(limit)],
    )
    heading("CONDITIONS")
    columns(("TYPE", "STATUS", "REASON", "SINCE", "MESSAGE"), condition_rows(one["conditions"]))


def limit_rows(limit: dict[str, Any]) -> list[tuple[object, ...]]:
    """Give the lines of a limit, one for each window."""
    mode = limit["mode"]
    if mode == "Enforce" and limit["enforcePercent"] < 100:  # noqa: PLR2004 - all of them
        mode = f"{mode} {limit['enforcePercent']}%"
    return [
        (
            window["name"],
            limit["algorithm"],
            window["amount"],
            limit["counts"],
            window["per"],
            window["burst"],
            " + ".join(limit["key"]) or "everybody",
            mode,
            limit["overrides"] or None,
        )
        for window in limit["windows"]
    ]


def show_counters(found: dict[str, Any]) -> None:
    """Print what consumers have used; several Redis servers count on their own."""
    several = len({one["redis"] for one in found["counters"]}) > 1
    head = ("WINDOW", "ALGORITHM", "AMOUNT", "USED", "HELD", "REMAINING", "RESETS", "MODE")
    columns(
        (*head, *(("REDIS",) if several else ()), "OVERRIDE", "CONSUMER"),
        [
            (
                window["name"],
                one["algorithm"],
                "unlimited" if window["amount"] is None else window["amount"],
                window["used"],
                window["held"],
                window["remaining"],
                reset_words(window["resetsAt"]),
                "Enforce" if one["enforced"] else "Shadow",
                *((one["redis"],) if several else ()),
                one["override"],
                one["consumer"],
            )
            for one in found["counters"]
            for window in one["windows"]
        ],
    )


def show_top(found: dict[str, Any]) -> None:
    """Print the most used consumers."""
    many = len(found["places"]) > 1
    for place in found["places"]:
        if many:
            heading(f"REDIS {place['redis']}")
        columns(
            ("USED", "HELD", "AMOUNT", "REMAINING", "RESETS", "CONSUMER"),
            [
                (
                    one["used"],
                    one["held"],
                    one["amount"],
                    one["remaining"],
                    reset_words(one["resetsAt"]),
                    one["consumer"],
                )
                for one in place["consumers"]
            ],
        )


def reset_words(instant: str | None) -> str:
    """Give the time at which a window ends or a bucket is full, and how far away it is."""
    return f"{instant} ({since(instant)})" if instant else ""


def counted(number: int) -> str:
    """Give a number of counters in words."""
    return f"{number} counter" + ("" if number == 1 else "s")
