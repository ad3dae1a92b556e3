"""HTTP over a port-forward: what lets one Client ask a pod as it asks an address."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import httpcore
import httpx

from controlplane.kube import KubeError
from controlplane.kube.port_forward import LARGEST

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from controlplane.cli.cluster import Cluster
    from controlplane.kube import PortForward

_GLANCE: Final = 0.002
"""Seconds to look whether an idle connection has ended."""


class PodStream(httpcore.NetworkStream):
    """A connection to a pod, as httpcore wants one."""

    def __init__(self, cluster: Cluster, forward: PortForward) -> None:
        self._cluster = cluster
        self._forward = forward
        self._rest = b""

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Give some bytes; none at the end."""
        try:
            found = self._rest or self._cluster.run(self._forward.receive(), timeout)
        except TimeoutError as error:
            raise httpcore.ReadTimeout from error
        except KubeError as error:
            raise httpcore.ReadError(str(error)) from error
        self._rest = found[max_bytes:]
        return found[:max_bytes]

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send bytes; the time-out is for each part of them, as a way may be slow."""
        try:
            for start in range(0, len(buffer), LARGEST):
                part = bytes(buffer[start : start + LARGEST])
                self._cluster.run(self._forward.send(part), timeout)
        except TimeoutError as error:
            raise httpcore.WriteTimeout from error
        except KubeError as error:
            raise httpcore.WriteError(str(error)) from error

    def close(self) -> None:
        """End the connection."""
        self._cluster.run(self._forward.close())

    def get_extra_info(self, info: str) -> Any:
        """Tell whether an idle connection may not be used again: there is something to read."""
        if info != "is_readable":
            return None
        try:
            self._rest = self._cluster.run(self._forward.receive(), _GLANCE)
        except TimeoutError:
            return False
        except KubeError:
            pass
        return True


class PodBackend(httpcore.NetworkBackend):
    """Connects to whichever pod is chosen, whatever the address in the URL."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def connect_tcp(self, *_: Any, **__: Any) -> PodStream:
        """Open a connection, in the session's own time."""
        return PodStream(self._cluster, self._cluster.connect())


class PodTransport(httpx.BaseTransport):
    """What httpx sends requests by."""

    def __init__(self, cluster: Cluster) -> None:
        backend = PodBackend(cluster)
        self._pool = httpcore.ConnectionPool(network_backend=backend, max_connections=1)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request, and give the answer with its body still to be read."""
        url = request.url
        with _named_by_httpx():
            answer = self._pool.handle_request(
                httpcore.Request(
                    method=request.method,
                    url=httpcore.URL(
                        scheme=url.raw_scheme,
                        host=url.raw_host,
                        port=url.port,
                        target=url.raw_path,
                    ),
                    headers=request.headers.raw,
                    content=request.stream,
                    extensions=request.extensions,
                )
            )
        return httpx.Response(
            answer.status,
            headers=answer.headers,
            stream=_Body(answer),
            extensions=answer.extensions,
        )

    def close(self) -> None:
        """End the connection."""
        self._pool.close()


class _Body(httpx.SyncByteStream):
    def __init__(self, answer: httpcore.Response) -> None:
        self._answer = answer

    def __iter__(self) -> Iterator[bytes]:
        with _named_by_httpx():
            stream: Iterable[bytes] = self._answer.iter_stream()
            yield from stream

    def close(self) -> None:
        self._answer.close()


@contextmanager
def _named_by_httpx() -> Iterator[None]:
    try:
        yield
    except httpcore.TimeoutException as error:
        raise httpx.ReadTimeout(str(error)) from error
    except (httpcore.NetworkError, httpcore.ProtocolError) as error:
        raise httpx.ReadError(str(error)) from error
