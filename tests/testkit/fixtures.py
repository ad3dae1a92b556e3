"""Fixtures with real servers. Each test gets its own unless the name says `shared`.

What they started they end, by process id, also when the test failed; a failed test's report shows
the end of every server's log.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from redis.asyncio import Redis

from controlplane.local import EnvoyProcess, RedisServer, Shop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator, Iterator
    from pathlib import Path

# The log files of the servers that a test started; add to it in `request.node.stash`.
LOGS = pytest.StashKey[list["Path"]]()
_LOG_LINES = 60


class StartRedis(Protocol):
    """Starts one more Redis; takes what RedisServer takes."""

    async def __call__(self, **options: Any) -> RedisServer: ...


class StartEnvoy(Protocol):
    """Starts one more Envoy and waits until it is ready; takes what EnvoyProcess takes."""

    async def __call__(self, bootstrap: Any, **options: Any) -> EnvoyProcess: ...


@pytest.fixture
async def start_redis(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[StartRedis]:
    """A function that starts Redis servers, which end with the test."""
    started: list[RedisServer] = []

    async def start(**options: Any) -> RedisServer:
        folder = tmp_path / f"redis-{len(started)}"
        server = RedisServer(**{"directory": folder, **options})
        started.append(server)
        _show_on_failure(request, server.log)
        await server.start()
        return server

    yield start
    for server in reversed(started):
        await server.close()


@pytest.fixture
async def start_envoy(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[StartEnvoy]:
    """A function that starts Envoys, which end with the test."""
    started: list[EnvoyProcess] = []

    async def start(bootstrap: Any, **options: Any) -> EnvoyProcess:
        defaults = {"directory": tmp_path, "name": f"envoy-{len(started)}"}
        envoy = EnvoyProcess(bootstrap, **{**defaults, **options})
        started.append(envoy)
        _show_on_failure(request, envoy.log)
        await envoy.start()
        return envoy

    yield start
    for envoy in reversed(started):
        await envoy.close()


@pytest.fixture
async def redis_server(start_redis: StartRedis) -> RedisServer:
    """A Redis of the test's own, which it may hurt: kill, pause, wipe."""
    return await start_redis()


@pytest.fixture(scope="session")
def shared_redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One Redis for all tests that only send commands."""
    server = RedisServer(directory=tmp_path_factory.mktemp("redis"))
    # Not tied to an event loop, so each test may use it in a loop of its own.
    asyncio.run(server.start())
    yield server
    asyncio.run(server.close())


@pytest.fixture
async def shared_redis(shared_redis_server: RedisServer) -> AsyncIterator[Redis]:
    """A client of an empty Redis."""
    client = Redis.from_url(shared_redis_server.url)
    await client.flushall()
    yield client
    await client.aclose()


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    """A toy shop in the test's own event loop."""
    async with Shop() as running:
        yield running


def _show_on_failure(request: pytest.FixtureRequest, log: Path) -> None:
    request.node.stash.setdefault(LOGS, []).append(log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Adds the end of the servers' logs to the report of a test that failed."""
    report = yield
    if report.failed:
        for log in item.stash.get(LOGS, []):
            if log.exists():
                lines = log.read_text(errors="replace").splitlines()[-_LOG_LINES:]
                report.sections.append((f"end of {log.name}", "\n".join(lines)))
    return report
