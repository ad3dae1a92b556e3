"""`sluice certificates`: what proxies and control plane show each other, where no CA is at hand.

To run it again is to renew: what is still good stays as it is, so that it can run every day.
"""

from __future__ import annotations

import asyncio
import base64
import os
import re
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import click

from controlplane.cli.errors import CommandError
from controlplane.cli.trust import trust_domain
from controlplane.kube import KubeError, NotFoundError, ResourceType, Session
from controlplane.xds.authority import (
    AuthorityError,
    Pair,
    Wanted,
    is_good,
    issue,
    make_authority,
    serves,
)
from controlplane.xds.identity import TRUST_DOMAIN, gateway_uri

if TYPE_CHECKING:
    from controlplane.kube import Object

EPILOG: Final = """\
\b
Examples:
  sluice certificates --server-name sluice.internal --gateway shop/edge --output tls/
  sluice certificates --server-name sluice.sluice-system.svc --gateway shop/edge \\
      --secret-prefix sluice-xds --namespace sluice-system

Makes a CA, a certificate for the control plane and one for the proxies of the gateways: in a folder
as ca/, server/ and proxy/, or in a cluster as Secrets PREFIX-ca, PREFIX-server and PREFIX-proxy.
Each has tls.crt, tls.key and ca.crt. What is good for long enough stays; run it again to renew.
"""
SECRETS: Final = ResourceType("", "v1", "secrets", "Secret")
CA: Final = "ca"
SERVER: Final = "server"
PROXY: Final = "proxy"
_CERTIFICATE: Final = "tls.crt"
_KEY: Final = "tls.key"
_AUTHORITY: Final = "ca.crt"
_LABELS: Final = {
    "app.kubernetes.io/managed-by": "sluice-certificates",
    "app.kubernetes.io/part-of": "sluice",
}
_NAME: Final = r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?"
_GATEWAY: Final = re.compile(rf"({_NAME})/({_NAME})")
_DNS_NAME: Final = re.compile(rf"(\*\.)?{_NAME}")


def gateways(
    ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> tuple[str, ...]:
    """Check the names of gateways."""
    for value in values:
        if not _GATEWAY.fullmatch(value):
            raise click.BadParameter(f"{value!r} is not NAMESPACE/NAME", ctx, parameter)
    return values


def server_names(
    ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> tuple[str, ...]:
    """Check DNS names: they go into a file that openssl reads."""
    for value in values:
        if not _DNS_NAME.fullmatch(value):
            raise click.BadParameter(f"{value!r} is no DNS name", ctx, parameter)
    return values


@click.command(name="certificates", epilog=EPILOG)
@click.option(
    "--server-name",
    "names",
    multiple=True,
    required=True,
    metavar="NAME",
    callback=server_names,
    help="DNS name by which proxies reach the control plane; repeatable.",
)
@click.option(
    "--gateway",
    "gateway_names",
    multiple=True,
    required=True,
    metavar="NAMESPACE/NAME",
    callback=gateways,
    help="A gateway that the proxies may serve; repeatable.",
)
@click.option(
    "--trust-domain",
    "domain",
    default=TRUST_DOMAIN,
    show_default=True,
    callback=trust_domain,
    help="The trust domain, as the control plane was told.",
)
@click.option(
    "--days",
    type=click.IntRange(1, 825),
    default=90,
    show_default=True,
    help="How long they are good.",
)
@click.option(
    "--renew-days",
    type=click.IntRange(0, 824),
    default=30,
    show_default=True,
    help="Those that end within so many days are made anew.",
)
@click.option("--output", type=click.Path(path_type=Path, file_okay=False), help="A folder.")
@click.option("--secret-prefix", metavar="PREFIX", help="Secrets in a cluster, instead.")
@click.option("--namespace", help="Of the Secrets; that of the pod or the kubeconfig otherwise.")
@click.option(
    "--kubeconfig",
    type=click.Path(path_type=Path),
    show_default="the pod's ServiceAccount, or as kubectl finds it",
    help="Of the cluster.",
)
@click.option("--context", help="Of the kubeconfig.")
def command(
    names: tuple[str, ...],
    gateway_names: tuple[str, ...],
    domain: str,
    days: int,
    renew_days: int,
    **where: Any,
) -> None:
    """Make or renew certificates for TLS between proxies and control plane."""
    if renew_days >= days:
        raise click.UsageError("--renew-days must be less than --days, or each run makes new ones")
    order = Order(
        names=names,
        uris=tuple(gateway_uri(domain, *one.split("/")) for one in gateway_names),
        life=timedelta(days=days),
        left=timedelta(days=renew_days),
    )
    try:
        for line in asyncio.run(deliver(order, **where)):
            click.echo(line)
    except (AuthorityError, KubeError) as error:
        raise CommandError(str(error)) from error
    except OSError as error:
        raise CommandError(f"cannot write {error.filename}: {error.strerror}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be made."""

    names: tuple[str, ...]
    uris: tuple[str, ...]
    life: timedelta
    left: timedelta

    def wanted(self) -> dict[str, Wanted]:
        """Give the certificates besides the CA, by the name of their place."""
        return {
            SERVER: Wanted(
                subject="sluice control plane",
                usage="serverAuth",
                names=tuple(f"DNS:{name}" for name in self.names),
                life=self.life,
            ),
            PROXY: Wanted(
                subject="sluice proxy",
                usage="clientAuth",
                names=tuple(f"URI:{uri}" for uri in self.uris),
                life=self.life,
            ),
        }


class Place(Protocol):
    """Where they are kept."""

    async def read(self, name: str) -> dict[str, bytes]:
        """Give the files of one; empty when there is none."""

    async def write(self, name: str, files: dict[str, bytes]) -> str:
        """Put them there, and say where that is."""


async def deliver(
    order: Order,
    *,
    output: Path | None,
    secret_prefix: str | None,
    namespace: str | None,
    kubeconfig: Path | None,
    context: str | None,
) -> list[str]:
    """Bring a place up to date; gives a line for each thing that was made or kept."""
    if (output is None) == (secret_prefix is None):
        raise click.UsageError("give one of --output and --secret-prefix")
    if output is not None:
        return await fill(order, Folder(output))
    async with await Session.open(kubeconfig, context) as session:
        place = Secrets(session, namespace or session.namespace, f"{secret_prefix}")
        return await fill(order, place)


async def fill(order: Order, place: Place) -> list[str]:
    """Make what is missing or no longer good."""
    said = []
    authority = _pair(await place.read(CA))
    # A CA must outlive whatever it signs.
    if authority is None or not is_good(authority, order.life):
        authority = make_authority("sluice")
        said.append(f"made {await place.write(CA, _files(authority, authority))}")
    for name, wanted in order.wanted().items():
        held = await place.read(name)
        pair = _pair(held)
        if (
            pair is not None
            and held.get(_AUTHORITY) == authority.certificate
            and serves(pair, authority, wanted, order.left)
        ):
            said.append(f"kept {name}")
            continue
        files = _files(issue(authority, wanted), authority)
        said.append(f"made {await place.write(name, files)}")
    return said


class Folder:
    """A folder with a folder for each."""

    def __init__(self, root: Path) -> None:
        self._root = root

    async def read(self, name: str) -> dict[str, bytes]:
        """Read the files that are there."""
        folder = self._root / name
        paths = (folder / file for file in (_CERTIFICATE, _KEY, _AUTHORITY))
        return {path.name: path.read_bytes() for path in paths if path.is_file()}

    async def write(self, name: str, files: dict[str, bytes]) -> str:
        """Move each file into its place in one go; the certificate is last, as readers check it."""
        folder = self._root / name
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for file in (_AUTHORITY, _KEY, _CERTIFICATE):
            new = folder / f".{file}.new"
            with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as to:
                to.write(files[file])
            new.replace(folder / file)
        return str(folder)


class Secrets:
    """Secrets of one namespace."""

    def __init__(self, session: Session, namespace: str, prefix: str) -> None:
        self._session = session
        self._namespace = namespace
        self._prefix = prefix
        self._found: dict[str, Object] = {}

    async def read(self, name: str) -> dict[str, bytes]:
        """Read what is there."""
        try:
            secret = await self._session.get(SECRETS, f"{self._prefix}-{name}", self._namespace)
        except NotFoundError:
            return {}
        self._found[name] = secret
        return {key: base64.b64decode(value) for key, value in (secret.get("data") or {}).items()}

    async def write(self, name: str, files: dict[str, bytes]) -> str:
        """Make the Secret, or replace it if nobody else has changed it meanwhile."""
        data = {key: base64.b64encode(value).decode() for key, value in files.items()}
        found = self._found.get(name)
        if found is not None:
            await self._session.replace(SECRETS, {**found, "data": data})
        else:
            metadata = {"name": f"{self._prefix}-{name}", "namespace": self._namespace}
            secret: Object = {
                "apiVersion": SECRETS.api_version,
                "kind": SECRETS.kind,
                "metadata": {**metadata, "labels": _LABELS},
                "type": "kubernetes.io/tls",
                "data": data,
            }
            await self._session.create(SECRETS, secret)
        return f"Secret {self._namespace}/{self._prefix}-{name}"


def _pair(files: dict[str, bytes]) -> Pair | None:
    certificate, key = files.get(_CERTIFICATE), files.get(_KEY)
    return Pair(certificate, key) if certificate and key else None


def _files(pair: Pair, authority: Pair) -> dict[str, bytes]:
    return {_CERTIFICATE: pair.certificate, _KEY: pair.key, _AUTHORITY: authority.certificate}
