"""The command `sluice`: finds the module of a command, runs it, and ends with a code.

Modules are loaded when their command is asked for, since some of them bring all of gRPC along,
and `sluice sale list` should not wait for that.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, Final, NoReturn

import click

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


class Commands(click.Group):
    """Knows its commands by name; loads each when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the commands in the order of the table."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load a command."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"controlplane.cli.{cmd_name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without loading them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=Commands,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
def sluice() -> None:
    """Flash sales and quotas decided inside Envoy, run by manifests."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command; every failure is one line on stderr."""
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a command and give its exit code."""
    try:
        code = sluice.main(
            args=None if arguments is None else list(arguments),
            prog_name="sluice",
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
