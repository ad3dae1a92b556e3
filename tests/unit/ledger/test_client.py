"""What an operator reads when Redis is away, wrong, or refuses: the thing, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from controlplane.ledger import RedisRefusedError, RedisUnreachableError
from controlplane.ledger.client import RedisClient, Server
from controlplane.local import free_port
from controlplane.model.edge_config import RedisSettings, RedisTls

if TYPE_CHECKING:
    from controlplane.local import RedisServer, Shop
    from tests.testkit.fixtures import StartRedis

pytestmark = pytest.mark.redis


async def ask(server: Server, environ: dict[str, str] | None = None, **options: float) -> str:
    client = RedisClient(server, environ or {}, **options)
    try:
        return str(await client.command("PING"))
    finally:
        await client.close()


async def test_nobody_listens() -> None:
    port = free_port()
    told = rf"^Redis at 127.0.0.1:{port} cannot be reached \(Connection refused\)$"
    with pytest.raises(RedisUnreachableError, match=told):
        await ask(Server("127.0.0.1", port))


async def test_a_name_that_does_not_resolve() -> None:
    with pytest.raises(RedisUnreachableError, match=r"Redis at no\.such\.invalid:6379"):
        await ask(Server("no.such.invalid", 6379), deadline=5)


async def test_a_paused_server_costs_one_deadline(redis_server: RedisServer) -> None:
    redis_server.pause()
    try:
        with pytest.raises(RedisUnreachableError, match="does not answer"):
            await ask(Server("127.0.0.1", redis_server.port), deadline=0.1)
    finally:
        redis_server.resume()


async def test_a_wrong_password_is_never_shown(start_redis: StartRedis) -> None:
    redis = await start_redis(password="right-one")
    server = Server("127.0.0.1", redis.port, password_env="SALE_PASSWORD")
    with pytest.raises(RedisRefusedError, match="check the environment variable SALE_PASS") as told:
        await ask(server, {"SALE_PASSWORD": "wrong-one"})
    assert "wrong-one" not in str(told.value)
    assert await ask(server, {"SALE_PASSWORD": "right-one"}) == "True"


async def test_a_password_that_is_not_set(start_redis: StartRedis) -> None:
    redis = await start_redis(password="right-one")
    server = Server("127.0.0.1", redis.port, password_env="SALE_PASSWORD")
    with pytest.raises(RedisRefusedError, match="set the environment variable SALE_PASSWORD"):
        await ask(server)


async def test_a_server_that_is_no_redis(shop: Shop) -> None:
    told = (RedisRefusedError, RedisUnreachableError)
    with pytest.raises(told, match=f"Redis at {shop.address}"):
        await ask(Server("127.0.0.1", shop.port), deadline=0.5)


async def test_an_error_reply_is_one_line(client: RedisClient) -> None:
    await client.command("SET", "word", "x")
    with pytest.raises(RedisRefusedError) as told:
        await client.command("HGETALL", "word")
    assert "WRONGTYPE" in str(told.value)
    assert "\n" not in str(told.value)


async def test_connections_are_counted(redis_server: RedisServer) -> None:
    client = RedisClient(Server("127.0.0.1", redis_server.port), {})
    await client.command("PING")
    await client.command("PING")
    assert client.connects == 1
    await redis_server.restart()
    await client.command("PING")
    assert client.connects == 2
    await client.close()


def test_settings_as_users_write_them() -> None:
    plain = Server.of(RedisSettings(address="[::1]:7000", database=3, password_env="P"))
    assert (plain.host, plain.port, plain.tls, str(plain)) == ("::1", 7000, False, "[::1]:7000/3")
    secure = Server.of(
        RedisSettings(address="redis.example:6380", tls=RedisTls(server_name="redis.internal"))
    )
    assert (secure.tls, secure.server_name, secure.verify) == (True, "redis.internal", True)
    assert not Server.of(RedisSettings(tls=RedisTls(insecure_skip_verify=True))).verify
