"""A real API server for each test that needs one, shared by those that do it no harm."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from controlplane.kube import Session
from tests.cluster.api_server import ApiServer
from tests.testkit.fixtures import LOGS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path


class StartApiServer(Protocol):
    """Starts one more API server; takes what ApiServer takes."""

    async def __call__(self, **options: Any) -> ApiServer: ...


class OpenSession(Protocol):
    """Opens a session; takes what ApiServer.kubeconfig takes, and a deadline."""

    async def __call__(
        self, server: ApiServer, user: str = ..., *, deadline: float = ..., **options: Any
    ) -> Session: ...


@pytest.fixture
async def start_api_server(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[StartApiServer]:
    """A function that starts API servers, which end with the test."""
    started: list[ApiServer] = []

    async def start(**options: Any) -> ApiServer:
        server = ApiServer(tmp_path / f"api-{len(started)}", **options)
        started.append(server)
        request.node.stash.setdefault(LOGS, []).extend(server.logs)
        await server.start()
        return server

    yield start
    for server in reversed(started):
        await server.close()


@pytest.fixture
async def api_server(start_api_server: StartApiServer) -> ApiServer:
    """An API server of the test's own, which it may hurt: kill, pause, compact."""
    return await start_api_server()


@pytest.fixture(scope="session")
def shared_api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """One API server for all tests that only talk to it."""
    server = ApiServer(tmp_path_factory.mktemp("api"))
    # Not tied to an event loop, so each test may use it in a loop of its own.
    try:
        asyncio.run(server.start())
        yield server
    finally:
        asyncio.run(server.close())


@pytest.fixture
async def namespace(shared_api_server: ApiServer) -> str:
    """A namespace of the test's own on the shared API server."""
    return await make_namespace(shared_api_server)


@pytest.fixture
async def open_session() -> AsyncIterator[OpenSession]:
    """A function that opens sessions, which are closed with the test."""
    opened: list[Session] = []

    async def open_one(
        server: ApiServer, user: str = "admin", *, deadline: float = 10.0, **options: Any
    ) -> Session:
        kubeconfig = server.kubeconfig(user, **options)
        session = await Session.open(kubeconfig, deadline=deadline)
        opened.append(session)
        return session

    yield open_one
    for session in opened:
        await session.close()


@pytest.fixture
async def session(shared_api_server: ApiServer, open_session: OpenSession) -> Session:
    """A session with the shared API server, as the admin."""
    return await open_session(shared_api_server)


async def make_namespace(server: ApiServer) -> str:
    """Makes a namespace with a name that no other test has."""
    name = f"test-{uuid.uuid4().hex[:10]}"
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    await server.call("POST", "/api/v1/namespaces", body)
    return name
