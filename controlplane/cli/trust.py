"""The trust domain of certificates, as more than one command is told it."""

from __future__ import annotations

import click

from controlplane.xds.identity import is_trust_domain


def trust_domain(ctx: click.Context, parameter: click.Parameter, value: str) -> str:
    """Check a trust domain."""
    if not is_trust_domain(value):
        message = f"{value!r} is no trust domain: lower case letters, digits, '.', '-' and '_'"
        raise click.BadParameter(message, ctx, parameter)
    return value
