"""The command `sluice`: finds the module of a command, runs it, and ends with a code.

Modules are loaded when their command is asked for, since some of them bring all of gRPC along,
and `sluice sale list` should not wait for that.
"""

from __future__ import annotations

import copy
import importlib
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

import click

from controlplane.cli.target import PLUGIN, is_plugin

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS: Final = {
    "serve": "Run the control plane on a folder of manifests.",
    "demo": "Run the whole stack on this machine and watch a sale, or a sample.",
    "validate": "Check manifests without running anything.",
    "render": "Print what the proxies of a gateway would be sent.",
    "bootstrap": "Print the bootstrap of an Envoy.",
    "certificates": "Make or renew certificates for TLS between proxies and control plane.",
    "status": "Show gateways, proxies, sales, quotas, and what is wrong.",
    "sale": "List, watch and steer sales.",
    "data": "List, add and forget the users let into a sale.",
    "quota": "List quotas, and see and change what consumers have used.",
    "filters": "List the filters' code, and roll it out or back.",
    "keys": "List and rotate the keys that sign passes.",
    "version": "Show the version.",
}
EPILOG: Final = """\
\b
Examples:
  sluice demo                          everything at once, on this machine
  sluice validate manifests/           before you apply
  sluice serve manifests/              the control plane
  sluice sale watch shop/laptop        how a sale goes

Exit codes: 0 all went well, 1 a problem, 2 wrong usage.
"""
PLUGIN_PROGRAM: Final = "kubectl-sluice"
"""What kubectl looks for on PATH when it is told `kubectl sluice`."""
PLUGIN_EPILOG: Final = """\
\b
Examples:
  kubectl sluice status                       in the cluster of kubectl's current context
  kubectl sluice sale watch laptop -n shop    how a sale goes
  kubectl sluice --help

It is found by the labels of the chart, and asked by port-forward to one of its pods: that takes get
and create of pods/portforward, and list of pods. Exit codes: 0 all went well, 1 a problem, 2 wrong
usage.
"""
_OUR_NAME: Final = re.compile(r"(?<![\w-])sluice (?=[a-z])")


class Commands(click.Group):
    """Knows its commands by name; loads each when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the commands in the order of the table."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load a command."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"controlplane.cli.{cmd_name}")
        command: click.Command = module.command
        return as_plugin(command) if is_plugin(ctx) else command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without loading them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples of whoever is called."""
        said = copy.copy(self)
        said.epilog = PLUGIN_EPILOG if is_plugin(ctx) else EPILOG
        click.Group.format_epilog(said, ctx, formatter)


def as_plugin(command: click.Command) -> click.Command:
    """Give a command whose examples call it as kubectl does."""
    said = copy.copy(command)
    said.epilog = _OUR_NAME.sub(f"{PLUGIN} ", command.epilog or "")
    if isinstance(command, click.Group) and isinstance(said, click.Group):
        said.commands = {name: as_plugin(one) for name, one in command.commands.items()}
    return said


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
def sluice() -> None:
    """Flash sales and quotas decided inside Envoy, run by manifests."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command; every failure is one line on stderr."""
    sys.exit(run(arguments, program=Path(sys.argv[0]).stem))


def run(arguments: Sequence[str] | None = None, *, program: str = "sluice") -> int:
    """Run a command and give its exit code; `program` is the name that it was called by."""
    try:
        code = sluice.main(
            args=None if arguments is None else list(arguments),
            prog_name=PLUGIN if program == PLUGIN_PROGRAM else "sluice",
            standalone_mode=False,
        )
    except click.UsageError as error:
        hint = f" (see `{error.ctx.command_path} --help`)" if error.ctx else ""
        return fail(f"{error.format_message()}{hint}", error.exit_code)
    except click.ClickException as error:
        return fail(error.format_message(), error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        return fail("interrupted", 130)
    except BrokenPipeError:
        # Whoever read our output has gone, e.g. `| head`. Python must not try to write the rest.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code if isinstance(code, int) else 0


def fail(message: str, code: int) -> int:
    """Print one line; a person can act on it, a script on the code."""
    click.echo(f"error: {' '.join(message.split())}", err=True)
    return code
