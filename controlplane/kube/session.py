"""One connection pool to one API server; every call has a deadline and speaks in plain dicts.

The client is used for what it does well: configuration, credentials, TLS, HTTP. Its typed calls
are left alone: they send JSON merge patches for whatever one asks, crash on pairs of time-outs,
and leave a stalled connection alone for five minutes.
"""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Literal, Self
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio.client import ApiClient
from kubernetes.aio.config import ConfigException

from controlplane.kube.access import Access, find_access
from controlplane.kube.errors import (
    ConfigurationError,
    KubeError,
    UnauthorizedError,
    UnavailableError,
    from_response,
    from_transport,
)
from controlplane.kube.lines import lines

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Mapping
    from pathlib import Path
    from types import TracebackType

    from controlplane.kube.resources import Object, ResourceType

DEADLINE: Final = 10.0
"""Seconds that a call may take unless it says otherwise."""
_LONGEST_ERROR: Final = 65_536
"""Bytes read of a body that tells of an error."""
_REFRESH_EVERY: Final = 5.0
"""Seconds between two readings of the credentials, however often the server refuses them."""

MERGE_PATCH: Final = "application/merge-patch+json"
JSON_PATCH: Final = "application/json-patch+json"
APPLY_PATCH: Final = "application/apply-patch+yaml"
METADATA: Final = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
METADATA_LIST: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
"""What to accept when only the metadata of objects is wanted: in a watch, and in a list."""
PatchType = Literal[
    "application/merge-patch+json", "application/json-patch+json", "application/apply-patch+yaml"
]


@dataclass(frozen=True, slots=True)
class Call:
    """One request. `what` is for people: "list services in shop"."""

    what: str
    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    content_type: str = "application/json"
    accept: str = "application/json"


class Session:
    """Talks to one API server. Opening one sends nothing: the server may well be away."""

    def __init__(
        self, access: Access, *, deadline: float = DEADLINE, user_agent: str = "sluice"
    ) -> None:
        self._access = access
        self._deadline = deadline
        self._user_agent = user_agent
        self._client = ApiClient(configuration=access.configuration)
        self._refreshing = asyncio.Lock()
        self._refreshed = -_REFRESH_EVERY

    @classmethod
    async def open(
        cls,
        kubeconfig: str | Path | None = None,
        context: str | None = None,
        *,
        deadline: float = DEADLINE,
        user_agent: str = "sluice",
    ) -> Self:
        """Open a session by a kubeconfig, or as the pod that this runs in.

        Raises:
            ConfigurationError: it cannot be told where the API server is.
        """
        access = await find_access(kubeconfig, context)
        return cls(access, deadline=deadline, user_agent=user_agent)

    @property
    def server(self) -> str:
        """The API server's address."""
        return str(self._access.configuration.host)

    @property
    def origin(self) -> str:
        """What told the address, for people."""
        return self._access.origin

    @property
    def namespace(self) -> str:
        """The namespace that is meant when none is named."""
        return self._access.namespace

    # ------------------------------------------------------------------------------- objects
    async def get(self, kind: ResourceType, name: str, namespace: str | None = None) -> Object:
        """Read one object."""
        call = Call(_what("read", kind, namespace, name), "GET", kind.path(namespace, name))
        return await self.request(call)

    async def page(
        self,
        kind: ResourceType,
        namespace: str | None = None,
        *,
        limit: int = 0,
        after: str = "",
        fields: str = "",
        labels: str = "",
        metadata_only: bool = False,
    ) -> Object:
        """Read one page of a list; `after` is the `continue` of the page before, limit 0 = all.

        `fields` is a field selector, such as "type=kubernetes.io/tls", `labels` a label selector.
        """
        query = {"limit": str(limit)} if limit else {}
        if fields:
            query["fieldSelector"] = fields
        if labels:
            query["labelSelector"] = labels
        if after:
            query["continue"] = after
        path = kind.path(namespace)
        call = Call(_what("list", kind, namespace), "GET", path, query)
        return await self.request(replace(call, accept=METADATA_LIST) if metadata_only else call)

    async def create(self, kind: ResourceType, obj: Object) -> Object:
        """Make an object."""
        namespace, name = _place(obj)
        what = _what("create", kind, namespace, name)
        return await self.request(Call(what, "POST", kind.path(namespace), body=obj))

    async def replace(self, kind: ResourceType, obj: Object, subresource: str = "") -> Object:
        """Overwrite an object; with its resourceVersion in it, only if it still has that one."""
        namespace, name = _place(obj)
        what = _what("update", kind, namespace, name, subresource)
        path = kind.path(namespace, name, subresource)
        return await self.request(Call(what, "PUT", path, body=obj))

    async def patch(
        self,
        kind: ResourceType,
        name: str,
        namespace: str | None = None,
        *,
        body: Any,
        content_type: PatchType = MERGE_PATCH,
        subresource: str = "",
        query: Mapping[str, str] | None = None,
    ) -> Object:
        """Change parts of an object; a JSON patch is a list of operations."""
        what = _what("patch", kind, namespace, name, subresource)
        path = kind.path(namespace, name, subresource)
        return await self.request(Call(what, "PATCH", path, query or {}, body, content_type))

    async def delete(
        self,
        kind: ResourceType,
        name: str,
        namespace: str | None = None,
        *,
        uid: str | None = None,
    ) -> None:
        """Delete an object, or begin to when it has finalizers; with `uid` only that very one."""
        body = {"preconditions": {"uid": uid}} if uid else None
        what = _what("delete", kind, namespace, name)
        await self.request(Call(what, "DELETE", kind.path(namespace, name), body=body))

    # ----------------------------------------------------------------------------- transport
    async def request(self, call: Call, *, deadline: float | None = None) -> Object:
        """Send a request and read the answer, all within the deadline.

        Raises:
            KubeError: it did not work; one of the kinds in `errors`.
        """
        try:
            async with (
                asyncio.timeout(deadline or self._deadline),
                self._response(call) as response,
            ):
                answer = json.loads(await response.read())
        except KubeError:
            raise
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise from_transport(call.what, self.server, error) from error
        except ValueError as error:
            raise UnavailableError(
                f"cannot {call.what}: {self.server} did not answer with JSON: is it an API server?"
            ) from error
        if not isinstance(answer, dict):
            raise UnavailableError(f"cannot {call.what}: {self.server} answered with no object")
        return answer

    @asynccontextmanager
    async def stream(self, call: Call, *, silence: float) -> AsyncGenerator[AsyncIterator[bytes]]:
        """Open a stream, which gives line by line until the server ends it.

        Raises:
            KubeError: it cannot be opened, breaks, or gives nothing for `silence` seconds.
        """
        try:
            async with asyncio.timeout(self._deadline) as opening, self._response(call) as response:
                opening.reschedule(None)
                async with aclosing(lines(response.content.readany, silence)) as found:
                    yield found
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise from_transport(call.what, self.server, error) from error

    async def upgrade(
        self, client: aiohttp.ClientSession, call: Call, protocol: str
    ) -> aiohttp.ClientWebSocketResponse:
        """Make a request become a WebSocket on a client of the caller's: see `websocket`.

        Raises:
            UnauthorizedError: also after the credentials were read again.
        """
        configuration = self._access.configuration
        for last in (False, True):
            try:
                return await client.ws_connect(
                    f"{self.server}{call.path}?{urlencode(call.query)}",
                    protocols=(protocol,),
                    headers=await self._authorization(),
                    ssl=self._client.rest_client.ssl_context,
                    server_hostname=configuration.tls_server_name or None,
                    proxy=configuration.proxy or None,
                    proxy_headers=configuration.proxy_headers or None,
                )
            except UnauthorizedError:
                if last:
                    raise
                await self._refresh()
        raise AssertionError  # the loop returns or raises

    @asynccontextmanager
    async def _response(self, call: Call) -> AsyncGenerator[aiohttp.ClientResponse]:
        """Send a request; a refused token is read again once, as it may have been replaced."""
        try:
            response = await self._send(call)
        except UnauthorizedError:
            await self._refresh()
            response = await self._send(call)
        try:
            yield response
        finally:
            # Not `release`: what is left unread would be read on for nobody.
            response.close()

    async def _send(self, call: Call) -> aiohttp.ClientResponse:
        query = f"?{urlencode(call.query)}" if call.query else ""
        answer = await self._client.rest_client.request(
            call.method,
            f"{self.server}{call.path}{query}",
            headers={
                **await self._authorization(),
                "Accept": call.accept,
                "Content-Type": call.content_type,
            },
            body=call.body,
            # The deadlines are ours. A number here would be one for the whole of a stream.
            _request_timeout=aiohttp.ClientTimeout(total=None),
        )
        response: aiohttp.ClientResponse = answer.response
        if response.ok:
            return response
        try:
            body = await _beginning(response, _LONGEST_ERROR)
        finally:
            response.close()
        raise from_response(call.what, response.status, body, response.headers)

    async def _authorization(self) -> dict[str, str]:
        headers = {"User-Agent": self._user_agent}
        try:
            settings = await self._access.configuration.auth_settings()
        except (ConfigException, OSError) as error:
            raise ConfigurationError(f"cannot read the token of {self.origin}: {error}") from error
        token = settings.get("BearerToken", {}).get("value")
        if token:
            headers["Authorization"] = token.strip()  # a token file may end in a newline
        return headers

    async def _refresh(self) -> None:
        async with self._refreshing:
            if time.monotonic() - self._refreshed >= _REFRESH_EVERY:
                await self._access.refresh()
                self._refreshed = time.monotonic()

    # ----------------------------------------------------------------------------------- end
    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()


async def _beginning(response: aiohttp.ClientResponse, most: int) -> bytes:
    """Read a body, but not all of one that is longer than any that a Status has."""
    body = b""
    while len(body) < most and (chunk := await response.content.read(most - len(body))):
        body += chunk
    return body


def _what(
    verb: str, kind: ResourceType, namespace: str | None, name: str = "", subresource: str = ""
) -> str:
    thing = f"{subresource} of {kind}" if subresource else str(kind)
    where = f" in {namespace}" if namespace else ""
    return f"{verb} {thing} {name}{where}" if name else f"{verb} {thing}{where}"


def _place(obj: Object) -> tuple[str | None, str]:
    metadata = obj["metadata"]
    return metadata.get("namespace"), metadata.get("name", "")
