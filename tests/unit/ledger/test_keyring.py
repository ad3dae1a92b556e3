"""The key ring: made once, put back when Redis loses it, at most four signing keys, never shown."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from controlplane.ledger.errors import CopyDamagedError
from controlplane.ledger.keyring import Keyring, file_name, hash_user
from controlplane.ledger.keys import KEYRING

if TYPE_CHECKING:
    from pathlib import Path

    from redis.asyncio import Redis

    from controlplane.ledger.client import RedisClient

pytestmark = pytest.mark.redis


@pytest.fixture
def path(tmp_path: Path, shared_redis: Redis) -> Path:
    """The ring's copy; the server is empty."""
    assert shared_redis is not None
    return tmp_path / "state" / "keyring.json"


async def test_made_once_and_kept_on_disk(client: RedisClient, path: Path) -> None:
    ring = await Keyring(client, path).ensure()
    again = await Keyring(client, path).ensure()
    assert ring == again
    assert (len(ring.identity), ring.version, ring.numbers) == (32, 1, (1,))
    assert path.stat().st_mode & 0o777 == 0o600
    assert json.loads(path.read_text())["identity"] == ring.identity.hex()


async def test_two_control_planes_agree_on_one_ring(client: RedisClient, path: Path) -> None:
    one = await Keyring(client, path).ensure()
    two = await Keyring(client, path.with_name("other.json")).ensure()
    assert one == two


async def test_put_back_when_redis_lost_it(client: RedisClient, path: Path) -> None:
    keyring = Keyring(client, path)
    await keyring.rotate()
    ring = await keyring.ensure()
    await client.command("FLUSHALL")
    assert await keyring.ensure(again=True) == ring
    assert await client.command("HGET", KEYRING, "identity") == ring.identity.hex().encode()
    assert await client.command("HGET", KEYRING, "version") == b"2"
    await client.command("FLUSHALL")
    assert await Keyring(client, path).ensure() == ring


async def test_an_old_replica_gets_the_newest_keys_back(client: RedisClient, path: Path) -> None:
    keyring = Keyring(client, path)
    await keyring.ensure()
    old = await client.command("DUMP", KEYRING)
    ring = await keyring.rotate()
    await client.command("RESTORE", KEYRING, 0, old, "REPLACE")
    assert await keyring.ensure(again=True) == ring
    assert await client.command("HGET", KEYRING, "version") == b"2"


async def test_four_keys_at_most(client: RedisClient, path: Path) -> None:
    keyring = Keyring(client, path)
    for _ in range(6):
        await keyring.rotate()
    ring = await keyring.ensure(again=True)
    assert (ring.version, ring.numbers) == (7, (4, 5, 6, 7))
    fields = await client.command("HKEYS", KEYRING)
    assert sorted(fields) == [b"identity", b"key:4", b"key:5", b"key:6", b"key:7", b"version"]
    assert (await Keyring(client, path).ensure()).numbers == (4, 5, 6, 7)


async def test_another_ring_in_redis_counts_and_is_told(client: RedisClient, path: Path) -> None:
    await Keyring(client, path).ensure()
    await client.command("FLUSHALL")
    other = await Keyring(client, path.with_name("other.json")).ensure()
    warnings: list[str] = []
    assert await Keyring(client, path, warn=warnings.append).ensure() == other
    assert "the one in Redis counts" in warnings[0]


async def test_a_broken_copy_is_an_error_and_not_a_new_ring(
    client: RedisClient, path: Path
) -> None:
    await Keyring(client, path).ensure()
    path.write_text("{")
    with pytest.raises(CopyDamagedError, match="cannot be read"):
        await Keyring(client, path).ensure()


async def test_keys_never_show(client: RedisClient, path: Path) -> None:
    ring = await Keyring(client, path).ensure()
    assert ring.identity.hex() not in f"{ring!r} {ring}"
    assert str(ring.identity) not in f"{ring!r} {ring}"


def test_users_are_hashed_as_the_filters_do() -> None:
    assert hash_user(bytes(range(32)), "Bearer alice") == "6ed186782858de0ddc79219f6b0fd8f9"


def test_each_server_has_a_copy_of_its_own() -> None:
    assert file_name("127.0.0.1:6379") != file_name("127.0.0.1:6380")
