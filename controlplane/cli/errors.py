"""How commands fail: one line for a person, a code for a script."""

from __future__ import annotations

import click


class CommandError(click.ClickException):
    """A command cannot do what it was asked to; exit code 1."""

    exit_code = 1
