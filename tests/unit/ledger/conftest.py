"""What the tests of the ledger share: a client of a real Redis, and books of their own."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from controlplane.ledger import Books
from controlplane.ledger.client import RedisClient, Server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from controlplane.local import RedisServer


@pytest.fixture
async def client(shared_redis_server: RedisServer) -> AsyncIterator[RedisClient]:
    made = RedisClient(Server("127.0.0.1", shared_redis_server.port), {})
    yield made
    await made.close()


@pytest.fixture
def books(client: RedisClient) -> Books:
    return Books(client, f"shop/laptop/{uuid.uuid4().hex}")
