"""Every way to Redis that an EdgeConfig can ask for, with the whole stack behind it."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from redis.asyncio import Redis

from controlplane.local.ports import LOOPBACK
from tests.envoy.stack import Stack
from tests.testkit.load import fire, tally

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from controlplane.local import RedisServer, Shop
    from tests.envoy.conftest import StartStack
    from tests.testkit.fixtures import StartRedis

pytestmark = [pytest.mark.envoy, pytest.mark.redis]

TLS = Path(__file__).parents[1] / "contract" / "envoy" / "tls"
NAME = "shop.example.com"
SLOTS = 16384


async def sells_exactly(stack: Stack, units: int) -> None:
    """Opens a sale and lets a crowd at it."""
    stack.write_sale(stock=units)
    await stack.open()
    answers = await fire(stack.asks(f"user-{n}" for n in range(units * 4)), concurrency=16)
    assert tally(answers) == {"200": units, "410": units * 3}
    assert len(await stack.permits()) == units


async def test_a_user_a_password_and_a_database(start_stack: StartStack) -> None:
    stack = await start_stack(
        redis={"password": "admin", "settings": {"user": "sluice on >s3cret ~sluice:* +@all"}},
        redis_spec={"username": "sluice", "passwordEnv": "BOOKS_PASSWORD", "database": 5},
        env={"BOOKS_PASSWORD": "s3cret"},
    )
    await sells_exactly(stack, 20)
    client = Redis(host=LOOPBACK, port=stack.redis.port, password="admin", db=5)
    async with client:
        assert await client.exists("sluice:{shop/laptop/1}:permits")
    dump = str(await stack.envoys["edge-a"].config_dump())
    assert "BOOKS_PASSWORD" in dump
    assert "s3cret" not in dump


@contextlib.asynccontextmanager
async def encrypted(server: RedisServer) -> AsyncIterator[int]:
    """A port that speaks TLS in front of Redis, which may have been built without."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(TLS / f"{NAME}.crt", TLS / f"{NAME}.key")
    tasks: set[asyncio.Task[None]] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        behind = await asyncio.open_connection(LOOPBACK, server.port)
        async with asyncio.TaskGroup() as group:
            group.create_task(pump(reader, behind[1]))
            group.create_task(pump(behind[0], writer))
        tasks.discard(task)

    listening = await asyncio.start_server(serve, LOOPBACK, 0, ssl=context)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_tls(tmp_path: Path, start_redis: StartRedis, shop: Shop) -> None:
    server = await start_redis()
    async with encrypted(server) as port:
        tls = {"caFile": str(TLS / f"{NAME}.crt"), "serverName": NAME}
        spec: dict[str, Any] = {"address": f"localhost:{port}", "tls": tls}
        stack = Stack(tmp_path / "stack", server, shop, redis_spec=spec)
        try:
            await stack.start()
            await sells_exactly(stack, 20)
        finally:
            await stack.close()


async def test_a_certificate_of_somebody_else_is_refused(
    tmp_path: Path, start_redis: StartRedis, shop: Shop
) -> None:
    server = await start_redis()
    async with encrypted(server) as port:
        tls = {"caFile": str(TLS / "wild.example.org.crt"), "serverName": NAME}
        spec: dict[str, Any] = {"address": f"localhost:{port}", "tls": tls}
        stack = Stack(tmp_path / "stack", server, shop, redis_spec=spec)
        try:
            await stack.start()
            stack.write_sale()
            await stack.answers("503")
            stats = await stack.envoys["edge-a"].stats(r"sluice-redis-upstream\.ssl\.fail")
            assert sum(stats.values()) > 0
            before = stack.shop.requests  # made until the sale was there
            assert tally(await fire([stack.ask("anybody")] * 20, concurrency=4)) == {"503": 20}
            assert stack.shop.requests == before
        finally:
            await stack.close()


async def test_a_redis_cluster_through_envoys_own_proxy(
    tmp_path: Path, start_redis: StartRedis, shop: Shop
) -> None:
    server = await start_redis(
        password="s3cret",
        settings={"cluster-enabled": "yes", "cluster-announce-ip": LOOPBACK},
    )
    async with Redis.from_url(server.url) as client:
        await client.execute_command("CLUSTER", "ADDSLOTS", *map(str, range(SLOTS)))
    stack = Stack(
        tmp_path / "stack",
        server,
        shop,
        redis_spec={"via": "Proxy"},
        env={"SLUICE_REDIS_PASSWORD": "s3cret"},
    )
    try:
        await stack.start()
        await sells_exactly(stack, 20)
        stats = await stack.envoys["edge-a"].stats(r"redis\.sluice-redis-pool\.command\.eval")
        assert sum(stats.values()) > 0
    finally:
        await stack.close()
