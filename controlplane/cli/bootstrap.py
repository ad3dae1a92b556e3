"""`sluice bootstrap`: the only configuration that an Envoy needs from a file."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any, Final

import click

from controlplane.cli import offline
from controlplane.cli.errors import CommandError
from controlplane.model.edge_config import ProxySettings
from controlplane.translate import BootstrapOptions, bootstrap
from controlplane.translate.bootstrap import proxy_settings

EPILOG: Final = """\
\b
Examples:
  sluice bootstrap --gateway shop/edge > envoy.yaml && envoy -c envoy.yaml --concurrency 2
  sluice bootstrap --gateway shop/edge --manifests manifests/   limits as the EdgeConfig says
  sluice bootstrap --gateway shop/edge --node-id edge-b --admin-address 127.0.0.1:9902

Two proxies on one machine need different node ids and admin addresses. --workers must be what
Envoy's --concurrency says.
"""


def address(ctx: click.Context, parameter: click.Parameter, value: str) -> tuple[str, int]:
    """Read HOST:PORT."""
    host, _, port = value.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:  # noqa: PLR2004 - the range of ports
        raise click.BadParameter(f"{value!r} is not HOST:PORT", ctx, parameter)
    return host.strip("[]"), int(port)


@click.command(name="bootstrap", epilog=EPILOG)
@click.option("--gateway", required=True, metavar="NAMESPACE/NAME", help="The gateway it serves.")
@click.option(
    "--node-id",
    default=socket.gethostname,
    show_default="this machine's name",
    help="Its name, unique among the proxies of the gateway.",
)
@click.option(
    "--workers", type=click.IntRange(1, 256), help="Worker threads (Envoy --concurrency)."
)
@click.option(
    "--xds-address",
    default="127.0.0.1:18000",
    show_default=True,
    callback=address,
    help="Where the control plane serves configuration.",
)
@click.option(
    "--web-address",
    default="127.0.0.1:18080",
    show_default=True,
    callback=address,
    help="Where it serves filters, for EdgeConfigs with source Remote.",
)
@click.option(
    "--admin-address",
    default="127.0.0.1:9901",
    show_default=True,
    callback=address,
    help="Its own admin page.",
)
@click.option(
    "--manifests",
    type=click.Path(path_type=Path),
    help="Take workers and limits from the EdgeConfig in these manifests.",
)
def command(
    gateway: str,
    node_id: str,
    workers: int | None,
    xds_address: tuple[str, int],
    web_address: tuple[str, int],
    admin_address: tuple[str, int],
    manifests: Path | None,
) -> None:
    """Print the bootstrap of an Envoy."""
    given: dict[str, Any] = {
        "gateway": gateway,
        "node_id": node_id,
        "xds": xds_address,
        "web": web_address,
        "admin": admin_address,
    }
    if workers is not None:
        given["workers"] = workers
    options = BootstrapOptions.of(settings_of(gateway, manifests), **given)
    click.echo(bootstrap(options), nl=False)


def settings_of(gateway: str, manifests: Path | None) -> ProxySettings:
    """Find the proxy settings of a gateway; the defaults without manifests."""
    if manifests is None:
        return ProxySettings()
    found = proxy_settings(offline.read([manifests]).inventory, gateway)
    if found is None:
        raise CommandError(f"there is no gateway {gateway!r} of ours in {manifests}")
    return found
