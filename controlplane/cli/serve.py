"""`sluice serve`: the control plane, until it is told to stop."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import structlog

from controlplane.app import App, Settings, StartError
from controlplane.cli import logs
from controlplane.cli.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Mapping

EPILOG = """\
\b
Examples:
  sluice serve manifests/
  sluice serve manifests/ --xds-host 0.0.0.0 --state-dir /var/lib/sluice
  sluice serve manifests/ --log-format json

It ends in order on SIGTERM and Ctrl-C; proxies keep what they have. The password of Redis is read
from the environment variable that the EdgeConfig names (SLUICE_REDIS_PASSWORD unless it says
otherwise).
"""


@click.command(name="serve", epilog=EPILOG)
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--xds-host", default="127.0.0.1", show_default=True, help="Address for proxies.")
@click.option(
    "--xds-port",
    type=click.IntRange(0, 65535),
    default=18000,
    show_default=True,
    help="Port for proxies.",
)
@click.option(
    "--web-host",
    default="127.0.0.1",
    show_default=True,
    help="Address of the API, which has no password: think before you leave loopback.",
)
@click.option(
    "--web-port",
    type=click.IntRange(0, 65535),
    default=18080,
    show_default=True,
    help="Port of the API, health and metrics.",
)
@click.option(
    "--web-name",
    "web_names",
    multiple=True,
    metavar="NAME",
    help="A further host name under which the API may be called; repeatable.",
)
@click.option(
    "--state-dir",
    type=click.Path(path_type=Path),
    default=Path(".sluice"),
    show_default=True,
    help="Folder of what outlives the process: copies of books, key ring, filters.",
)
@click.option(
    "--log-level",
    type=click.Choice(logs.LEVELS),
    default="info",
    show_default=True,
    help="The least that is logged.",
)
@click.option(
    "--log-format",
    type=click.Choice(logs.FORMATS),
    default="text",
    show_default=True,
    help="For people, or for programs.",
)
def command(path: Path, log_level: str, log_format: str, **options: Any) -> None:
    """Run the control plane on a folder of manifests.

    PATH is a folder (or one file) of YAML; changes are in force a moment after they are saved.
    """
    logs.configure(log_level, log_format)
    settings = Settings(manifests=path, **options)
    try:
        asyncio.run(serve(settings, os.environ))
    except StartError as error:
        raise CommandError(str(error)) from error
    except BaseExceptionGroup as group:
        structlog.get_logger(__name__).exception("Control plane failed")
        first = group.exceptions[0]
        raise CommandError(
            f"internal error ({type(first).__name__}: {first}): see the log"
        ) from None


async def serve(settings: Settings, environ: Mapping[str, str]) -> None:
    """Run until a signal comes."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await App(settings, environ).run(stop, ready=announce)


def announce(about: Mapping[str, Any]) -> None:
    """Say where everything is."""
    structlog.get_logger(__name__).info(
        "Control plane started",
        manifests=about["manifests"],
        xds=about["xds"],
        web=f"http://{about['web']}",
        state=about["stateDir"],
    )
