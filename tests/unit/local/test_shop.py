from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from controlplane.local import Shop
from tests.testkit.load import Ask, fire, get


async def _stats(shop: Shop) -> dict[str, Any]:
    return dict(json.loads((await get(shop.port, "/stats")).body))


async def test_it_shows_what_the_edge_told_it(shop: Shop) -> None:
    answer = await get(shop.port, "/buy?n=1", x_sluice_user="ab", x_sluice_permit="7", other="x")
    assert answer.header("content-type") == "application/json"
    assert json.loads(answer.body) == {
        "shop": "shop",
        "method": "GET",
        "path": "/buy",
        "sluice": {"x-sluice-user": "ab", "x-sluice-permit": "7"},
        "user": "ab",
        "orders": 1,
    }


async def test_it_counts_orders_by_user(shop: Shop) -> None:
    asks = [Ask(shop.port, headers=(("Authorization", f"user {n % 3}"),)) for n in range(30)]
    answers = await fire([*asks, Ask(shop.port)], concurrency=4)
    assert {a.status for a in answers} == {200}
    stats = await _stats(shop)
    assert stats["orders"] == {"user 0": 10, "user 1": 10, "user 2": 10, "": 1}
    assert (stats["requests"], stats["users"]) == (31, 4)


async def test_stats_and_health_are_no_orders(shop: Shop) -> None:
    await get(shop.port, "/healthz")
    await get(shop.port, "/stats")
    assert shop.requests == 0


async def test_users_are_bounded(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controlplane.local.shop._MAX_USERS", 2)
    await fire(Ask(shop.port, headers=(("authorization", str(n)),)) for n in range(5))
    assert shop.orders.total() == 5
    assert len(shop.orders) == 3
    assert shop.orders["(others)"] == 3


CHUNKED = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\n\r\n"
SIZED = b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello"
PLAIN = b"GET / HTTP/1.1\r\n\r\n"


@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_requests_come_in_any_pieces(shop: Shop, size: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", shop.port)
    sent = CHUNKED + SIZED + PLAIN + b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n"
    for start in range(0, len(sent), size):
        writer.write(sent[start : start + size])
        await writer.drain()
    answers = await reader.read()
    writer.close()
    await writer.wait_closed()
    assert answers.count(b"HTTP/1.1 200 OK") == 4
    assert shop.requests == 4


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\ncontent-length: x\r\n\r\n",
        b"GET / HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\n" + b"a" * 70_000,
    ],
)
async def test_what_is_no_http_is_answered_400_and_closed(shop: Shop, sent: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", shop.port)
    writer.write(sent)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert shop.requests == 0


async def test_stopping_closes_open_connections() -> None:
    shop = Shop()
    await shop.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", shop.port)
    writer.write(PLAIN)
    await reader.readline()
    await shop.stop()
    await shop.stop()
    assert b"" in {await reader.read(), await reader.read()}
    writer.close()
    await writer.wait_closed()
