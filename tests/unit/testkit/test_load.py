from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from controlplane.local import Shop, free_port
from tests.testkit.load import Ask, Load, fire, get, tally
from tests.testkit.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@asynccontextmanager
async def _server(*replies: bytes, close: bool = True) -> AsyncIterator[int]:
    """A server that answers each connection's n-th request with the n-th bytes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for reply in replies:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(reply)
            await writer.drain()
        if not close:
            await reader.read()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


async def test_every_ask_is_answered_once(shop: Shop) -> None:
    asks = [Ask(shop.port, headers=(("authorization", str(n)),)) for n in range(20_000)]
    answers = await fire(asks, concurrency=200)
    assert tally(answers) == Counter({"200": 20_000})
    assert {a.ask for a in answers} == set(asks)
    assert set(shop.orders.values()) == {1}
    assert len(shop.orders) == 20_000


async def test_lanes_keep_their_connections(shop: Shop) -> None:
    async with Shop() as other:
        ports = itertools.cycle([shop.port, other.port])
        await fire((Ask(next(ports)) for _ in range(100)), concurrency=5)
        assert len(shop._connections) <= 5
        assert (shop.requests, other.requests) == (50, 50)


async def test_method_body_and_headers_are_sent(shop: Shop) -> None:
    ask = Ask(shop.port, "/x", "POST", (("x-sluice-a", "1"),), b"body")
    first, second = await fire([ask, ask], concurrency=1)
    assert '"method": "POST"' in first.text
    assert '"x-sluice-a": "1"' in second.text
    assert first.latency > 0


async def test_an_answer_may_be_chunked_or_end_with_its_connection() -> None:
    chunked = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n"
    )
    no_length = b"HTTP/1.1 201 OK\r\n\r\nabc"
    async with _server(chunked, no_length) as port:
        first, second = await fire([Ask(port), Ask(port)], concurrency=1)
    assert (first.status, first.body) == (200, b"abcd")
    assert (second.status, second.body) == (201, b"abc")


async def test_answers_without_a_body() -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n"
    async with _server(head, b"HTTP/1.1 204 No\r\n\r\n", b"HTTP/1.1 304 No\r\n\r\n") as port:
        answers = await fire([Ask(port, method="HEAD"), Ask(port), Ask(port)], concurrency=1)
    assert [(a.status, a.body) for a in answers] == [(200, b""), (204, b""), (304, b"")]


async def test_connection_close_is_obeyed() -> None:
    closing = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    async with _server(closing, close=False) as port:
        assert tally(await fire([Ask(port)] * 3, concurrency=1)) == Counter({"200": 3})


async def test_headers_come_in_order_with_all_of_one_name() -> None:
    reply = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\ncontent-length: 0\r\n\r\n"
    async with _server(reply) as port:
        answer = await get(port)
    assert answer.header("set-cookie") == "a=1"
    assert [v for k, v in answer.headers() if k == "set-cookie"] == ["a=1", "b=2"]
    assert answer.header("nothing") is None


async def test_each_failure_is_recorded_as_what_it_was() -> None:
    assert tally([await get(free_port())]) == {"refused": 1}
    async with _server(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab") as port:
        assert tally([await get(port)]) == {"closed": 1}
    async with _server(b"", close=False) as port:
        assert tally([await get(port, deadline=0.1)]) == {"timeout": 1}
    async with _server(b"HTTP/1.1 abc\r\n\r\n", close=False) as port:
        assert tally([await get(port)]) == {"closed": 1}


async def test_a_lane_goes_on_after_a_failure() -> None:
    async with _server(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n") as port:
        answers = await fire([Ask(port)] * 6, concurrency=1)
    assert len(answers) == 6
    assert tally(answers)["200"] >= 3


async def test_a_load_beside_the_test_ends_with_its_block(shop: Shop) -> None:
    async with Load(itertools.repeat(Ask(shop.port)), concurrency=3) as load:
        await eventually(lambda: len(load.answers) > 100)
    assert tally(load.answers) == Counter({"200": len(load.answers)})
    assert shop.requests == len(load.answers)


async def test_an_error_in_the_block_is_not_wrapped(shop: Shop) -> None:
    with pytest.raises(KeyError):
        async with Load(itertools.repeat(Ask(shop.port)), concurrency=1):
            raise KeyError


async def test_a_rate_is_kept(shop: Shop) -> None:
    begin = time.monotonic()
    load = Load([Ask(shop.port)] * 40, concurrency=10, rate=200)
    await load.run()
    assert load._next_slot >= begin + 40 / 200


async def test_requests_come_from_the_address_that_was_asked_for() -> None:
    seen: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(writer.get_extra_info("peername")[0])
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 204 No\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        await fire([Ask(port, source="127.0.0.7")], concurrency=1)
    assert seen == ["127.0.0.7"]
