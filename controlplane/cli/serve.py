"""`sluice serve`: the control plane, until it is told to stop."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import structlog

from controlplane.app import App
from controlplane.cli import logs
from controlplane.cli.errors import CommandError
from controlplane.cli.trust import trust_domain
from controlplane.settings import Cluster, Settings, StartError
from controlplane.xds.credentials import TlsFiles
from controlplane.xds.identity import TRUST_DOMAIN

if TYPE_CHECKING:
    from collections.abc import Mapping

EPILOG = """\
\b
Examples:
  sluice serve manifests/
  sluice serve manifests/ --state-dir /var/lib/sluice --log-format json
  sluice serve --kubernetes --namespace shop
  sluice serve manifests/ --xds-host 0.0.0.0 --xds-tls-cert tls.crt --xds-tls-key tls.key \\
      --xds-tls-client-ca ca.crt

With TLS, a proxy gets only the gateways that its certificate names, by the URI
spiffe://TRUST-DOMAIN/ns/NAMESPACE/gateway/NAME. The files are read again when they change. Proxies
get filter code on a port of its own, so that they need not reach the API.

It ends in order on SIGTERM and Ctrl-C; proxies keep what they have. The password of Redis is read
from the environment variable that the EdgeConfig names (SLUICE_REDIS_PASSWORD unless it says
otherwise).
"""


FILE = click.Path(path_type=Path)


@click.command(name="serve", epilog=EPILOG)
@click.argument("path", type=FILE, required=False)
@click.option(
    "--kubernetes",
    is_flag=True,
    help="Take objects from a Kubernetes API server, and write their status there.",
)
@click.option(
    "--kubeconfig",
    type=FILE,
    help="How to reach it; without one KUBECONFIG, the pod's ServiceAccount or ~/.kube/config.",
)
@click.option("--context", help="Context of the kubeconfig, instead of its current one.")
@click.option(
    "--namespace",
    "namespaces",
    multiple=True,
    metavar="NAME",
    help="Look for objects in this namespace only; repeatable. Without it, in all.",
)
@click.option(
    "--no-secrets",
    "secrets",
    flag_value=False,
    default=True,
    help="Do not read Secrets, nor need a right to; HTTPS listeners lack their certificates then.",
)
@click.option("--xds-host", default="127.0.0.1", show_default=True, help="Address for proxies.")
@click.option(
    "--xds-port",
    type=click.IntRange(0, 65535),
    default=18000,
    show_default=True,
    help="Port for proxies.",
)
@click.option(
    "--xds-tls-cert", type=FILE, help="The server's certificate and its chain, PEM: mutual TLS."
)
@click.option("--xds-tls-key", type=FILE, help="The key of that certificate, PEM.")
@click.option("--xds-tls-client-ca", type=FILE, help="The CA of the proxies' certificates, PEM.")
@click.option(
    "--xds-trust-domain",
    default=TRUST_DOMAIN,
    show_default=True,
    callback=trust_domain,
    help="The trust domain of the proxies' certificates.",
)
@click.option(
    "--xds-plaintext",
    is_flag=True,
    help="Serve proxies without TLS off loopback too: anybody who can connect gets all secrets.",
)
@click.option(
    "--filters-port",
    type=click.IntRange(0, 65535),
    default=18081,
    show_default=True,
    help="Port for filter code over TLS, at the address for proxies.",
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
    "--health-host",
    help="Address of health and metrics alone, for kubelets and scrapers elsewhere.",
)
@click.option(
    "--health-port",
    type=click.IntRange(0, 65535),
    default=18082,
    show_default=True,
    help="Port of that; nothing listens there without --health-host.",
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
def command(
    path: Path | None,
    log_level: str,
    log_format: str,
    xds_tls_cert: Path | None,
    xds_tls_key: Path | None,
    xds_tls_client_ca: Path | None,
    **options: Any,
) -> None:
    """Run the control plane on a folder of manifests, or on a Kubernetes cluster.

    PATH is a folder (or one file) of YAML; changes are in force a moment after they are saved.
    With --kubernetes there is none: objects are those of an API server. Of several control planes
    on one cluster each serves proxies, and one, which holds a Lease, writes status.
    """
    cluster = cluster_of(path, options)
    tls = tls_files(xds_tls_cert, xds_tls_key, xds_tls_client_ca)
    if tls is not None and options["xds_plaintext"]:
        raise click.UsageError("--xds-plaintext contradicts --xds-tls-cert: leave one away")
    logs.configure(log_level, log_format)
    settings = Settings(manifests=path, cluster=cluster, xds_tls=tls, **options)
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


def cluster_of(path: Path | None, options: dict[str, Any]) -> Cluster | None:
    """Take the options of a cluster out of all options; None when objects are in a folder."""
    wanted = options.pop("kubernetes")
    given = {name: options.pop(name) for name in ("kubeconfig", "context", "namespaces")}
    secrets = options.pop("secrets")
    if wanted and path is not None:
        raise click.UsageError("objects come from PATH or from --kubernetes: name one of both")
    if not wanted and path is None:
        raise click.UsageError("where are the objects? Name a PATH, or say --kubernetes")
    if not wanted and (any(given.values()) or not secrets):
        raise click.UsageError(
            "--kubeconfig, --context, --namespace and --no-secrets go with --kubernetes"
        )
    return Cluster(**given, secrets=secrets) if wanted else None


def tls_files(
    certificate: Path | None, key: Path | None, client_ca: Path | None
) -> TlsFiles | None:
    """Give the files of mutual TLS: all of them or none."""
    if certificate is not None and key is not None and client_ca is not None:
        return TlsFiles(certificate, key, client_ca)
    if certificate is None and key is None and client_ca is None:
        return None
    # A server that proves who it is, and hands the secrets to anybody, is not offered.
    raise click.UsageError("--xds-tls-cert, --xds-tls-key and --xds-tls-client-ca go together")


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
        objects=about["manifests"],
        xds=about["xds"],
        security=about["xdsSecurity"],
        web=f"http://{about['web']}",
        state=about["stateDir"],
    )
