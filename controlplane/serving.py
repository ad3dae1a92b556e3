"""Everything that the control plane listens on: configuration, filter code, and the API.

Proxies may be elsewhere, and then come by mutual TLS for both configuration and code. The API has
no password and can do anything to a sale, so proxies need not, and should not, reach it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from controlplane.settings import StartError
from controlplane.web.downloads import make_downloads
from controlplane.web.server import WebServer
from controlplane.xds.credentials import CredentialsError, ServerCredentials
from controlplane.xds.server import ListenError, PlaintextError, Server

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from starlette.applications import Starlette

    from controlplane.settings import Settings
    from controlplane.web.filters import Filters
    from controlplane.xds.store import Store


class Serving:
    """The servers of one control plane, from start to end."""

    def __init__(self, settings: Settings, store: Store, registry: CollectorRegistry) -> None:
        self._settings = settings
        self._store = store
        self._registry = registry
        self._credentials: ServerCredentials | None = None
        self._discovery: Server | None = None
        self._web = WebServer(settings.web_host, settings.web_port)
        self._downloads: WebServer | None = None
        self._health: WebServer | None = None
        if settings.health_host is not None:
            self._health = WebServer(settings.health_host, settings.health_port)

    async def listen(self) -> dict[str, Any]:
        """Take all ports, and give the addresses.

        Raises:
            StartError: one of them cannot be had, or must not be served like this.
        """
        settings = self._settings
        if settings.xds_tls is not None:
            try:
                self._credentials = ServerCredentials(settings.xds_tls)
            except CredentialsError as error:
                raise StartError(f"no TLS for xDS: {error}") from error
            self._downloads = WebServer(
                settings.xds_host, settings.filters_port, self._credentials.for_asyncio()
            )
        web_port = _bind(self._web, "the web API", "--web-port")
        addresses = {"web": f"{settings.web_host}:{web_port}"}
        if self._downloads is not None:
            filters_port = _bind(self._downloads, "filters", "--filters-port")
            addresses["filters"] = f"{settings.xds_host}:{filters_port}"
        if self._health is not None:
            health_port = _bind(self._health, "health and metrics", "--health-port")
            addresses["health"] = f"{self._health.host}:{health_port}"
        xds_port = await self._start_discovery()
        security = "plaintext" if self._credentials is None else "mutual TLS"
        return {
            **addresses,
            "xds": f"{settings.xds_host}:{xds_port}",
            "xdsSecurity": security,
        }

    async def _start_discovery(self) -> int:
        settings = self._settings
        server = Server(
            self._store,
            registry=self._registry,
            credentials=self._credentials,
            trust_domain=settings.xds_trust_domain,
        )
        try:
            port = await server.start(
                settings.xds_host, settings.xds_port, plaintext=settings.xds_plaintext
            )
        except ListenError as error:
            raise StartError(f"{error} with --xds-host or --xds-port") from error
        except PlaintextError as error:
            raise StartError(
                f"xDS on {error} would be open to everybody who can connect: give --xds-tls-cert, "
                "--xds-tls-key and --xds-tls-client-ca, or --xds-plaintext if the network is "
                "trusted"
            ) from error
        self._discovery = server
        return port

    async def run(self, app: Starlette, health: Starlette, filters: Filters) -> None:
        """Answer over HTTP until `stop_web`; the discovery server runs by itself."""
        async with asyncio.TaskGroup() as group:
            servers = [group.create_task(self._web.serve(app), name="web API")]
            if self._health is not None:
                servers.append(group.create_task(self._health.serve(health), name="health"))
            watch = None
            if self._downloads is not None and self._credentials is not None:
                downloads = self._downloads.serve(make_downloads(filters))
                servers.append(group.create_task(downloads, name="filter downloads"))
                watch = group.create_task(self._credentials.watch(), name="TLS files")
            await asyncio.wait(servers, return_when=asyncio.FIRST_COMPLETED)
            self.stop_web()
            await asyncio.wait(servers)
            if watch is not None:
                watch.cancel()

    async def stop_discovery(self) -> None:
        """Tell proxies to go elsewhere; they keep what they have."""
        if self._discovery is not None:
            await self._discovery.stop(self._settings.grace)

    def stop_web(self) -> None:
        """End `run` in order."""
        for server in self._web_servers():
            server.stop()

    def close(self) -> None:
        """Let go of the ports of HTTP."""
        for server in self._web_servers():
            server.close()

    def _web_servers(self) -> list[WebServer]:
        return [one for one in (self._web, self._downloads, self._health) if one is not None]


def _bind(server: WebServer, what: str, option: str) -> int:
    try:
        return server.bind()
    except OSError as error:
        raise StartError(
            f"cannot serve {what} on {server.host}:{server.port}: {error.strerror}; end the "
            f"process that listens there, or choose another port with {option}"
        ) from error
