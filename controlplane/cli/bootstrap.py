"""`sluice bootstrap`: the only configuration that an Envoy needs from a file."""

from __future__ import annotations

import socket
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

import click

from controlplane.cli import offline
from controlplane.cli.errors import CommandError
from controlplane.model.edge_config import ProxySettings
from controlplane.translate import BootstrapOptions, ProxyTls, bootstrap, secret_files
from controlplane.translate.bootstrap import proxy_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

PROXY_FILE: Final = click.Path(path_type=PurePosixPath)
BOOTSTRAP_FILE: Final = "envoy.yaml"
WEB_PORT: Final = 18080
FILTERS_PORT: Final = 18081

EPILOG: Final = """\
\b
Examples:
  sluice bootstrap --gateway shop/edge > envoy.yaml && envoy -c envoy.yaml --concurrency 2
  sluice bootstrap --gateway shop/edge --manifests manifests/   limits as the EdgeConfig says
  sluice bootstrap --gateway shop/edge --node-id edge-b --admin-address 127.0.0.1:9902
  sluice bootstrap --gateway shop/edge --xds-address sluice.internal:18000 \\
      --tls-cert /tls/tls.crt --tls-key /tls/tls.key --tls-ca /tls/ca.crt --output /etc/envoy

With TLS, --output gets envoy.yaml and two files that let Envoy read its certificates again when
they change. The certificate must carry the URI spiffe://TRUST-DOMAIN/ns/NAMESPACE/gateway/NAME.

Two proxies on one machine need different node ids and admin addresses. --workers must be what
Envoy's --concurrency says.
"""


def address(
    ctx: click.Context, parameter: click.Parameter, value: str | None
) -> tuple[str, int] | None:
    """Read HOST:PORT."""
    if value is None:
        return None
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
    show_default=f"host of --xds-address, port {WEB_PORT}, or {FILTERS_PORT} with TLS",
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
@click.option("--tls-cert", type=PROXY_FILE, help="The proxy's certificate and chain: mutual TLS.")
@click.option("--tls-key", type=PROXY_FILE, help="The key of that certificate.")
@click.option("--tls-ca", type=PROXY_FILE, help="The CA of the control plane's certificate.")
@click.option(
    "--tls-server-name",
    metavar="NAME",
    show_default="host of --xds-address",
    help="DNS name or address that the control plane's certificate must be for.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help=f"Write {BOOTSTRAP_FILE} and what belongs to it into this folder.",
)
@click.option(
    "--proxy-folder",
    type=PROXY_FILE,
    show_default="that of --output",
    help="Where the proxy finds that folder, if elsewhere.",
)
def command(
    gateway: str,
    node_id: str,
    workers: int | None,
    xds_address: tuple[str, int],
    web_address: tuple[str, int] | None,
    admin_address: tuple[str, int],
    manifests: Path | None,
    output: Path | None,
    **security: Any,
) -> None:
    """Print the bootstrap of an Envoy."""
    tls = tls_of(xds_address[0], output, **security)
    given: dict[str, Any] = {
        "gateway": gateway,
        "node_id": node_id,
        "xds": xds_address,
        "web": web_address or (xds_address[0], FILTERS_PORT if tls else WEB_PORT),
        "admin": admin_address,
        "tls": tls,
    }
    if workers is not None:
        given["workers"] = workers
    options = BootstrapOptions.of(settings_of(gateway, manifests), **given)
    files = {BOOTSTRAP_FILE: bootstrap(options)} | (secret_files(tls) if tls else {})
    if output is None:
        click.echo(files[BOOTSTRAP_FILE], nl=False)
    else:
        write(output, files)


def tls_of(
    host: str,
    output: Path | None,
    tls_cert: PurePosixPath | None,
    tls_key: PurePosixPath | None,
    tls_ca: PurePosixPath | None,
    tls_server_name: str | None,
    proxy_folder: PurePosixPath | None,
) -> ProxyTls | None:
    """Give what mutual TLS needs: all of it or nothing."""
    if tls_cert is None or tls_key is None or tls_ca is None:
        if tls_cert or tls_key or tls_ca or tls_server_name:
            raise click.UsageError("--tls-cert, --tls-key and --tls-ca go together")
        return None
    if output is None:
        raise click.UsageError("with TLS there are three files: give a folder for them by --output")
    for path in (tls_cert, tls_key, tls_ca, proxy_folder):
        if path is not None and not path.is_absolute():
            raise click.UsageError(f"{path} must be an absolute path: Envoy watches its folder")
    return ProxyTls(
        certificate=tls_cert,
        key=tls_key,
        ca=tls_ca,
        secrets=proxy_folder or PurePosixPath(output.resolve()),
        server_name=tls_server_name or host,
    )


def write(folder: Path, files: Mapping[str, str]) -> None:
    """Write files into a folder, each at once, since a proxy may be watching it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            temporary = folder / f".{name}.new"
            temporary.write_text(content, encoding="utf-8")
            temporary.replace(folder / name)
    except OSError as error:
        raise CommandError(f"cannot write to {folder}: {error.strerror}") from error


def settings_of(gateway: str, manifests: Path | None) -> ProxySettings:
    """Find the proxy settings of a gateway; the defaults without manifests."""
    if manifests is None:
        return ProxySettings()
    found = proxy_settings(offline.read([manifests]).inventory, gateway)
    if found is None:
        raise CommandError(f"there is no gateway {gateway!r} of ours in {manifests}")
    return found
