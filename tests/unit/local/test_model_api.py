from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from controlplane.local.model_api import complete
from tests.testkit.load import Answer, Ask, fire

if TYPE_CHECKING:
    from controlplane.local import Shop


async def chat(shop: Shop, asked: object) -> Answer:
    body = asked if isinstance(asked, bytes) else json.dumps(asked).encode()
    headers = (("x-api-key", "alice"),)
    ask = Ask(shop.port, "/v1/chat/completions", "POST", headers=headers, body=body)
    (answer,) = await fire([ask])
    assert answer.status == 200
    return answer


def usage(total: int) -> dict[str, int]:
    return {"prompt_tokens": 20, "completion_tokens": total - 20, "total_tokens": total}


@pytest.mark.parametrize(
    ("asked", "total"),
    [
        ({}, 42),
        ({"max_tokens": 80}, 100),
        ({"max_tokens": 0}, 20),
        ({"max_tokens": -5}, 20),
        ({"max_tokens": "many"}, 42),
        ({"max_tokens": True}, 42),
        ({"max_tokens": 10**30}, 20 + 10**9),
        ([], 42),
        (b"no JSON", 42),
        (b"[" * 100_000, 42),
        (b"\xff", 42),
    ],
)
async def test_it_tells_what_it_costs(shop: Shop, asked: object, total: int) -> None:
    answer = await chat(shop, asked)
    assert answer.header("content-type") == "application/json"
    assert json.loads(answer.body)["usage"] == usage(total)
    assert shop.orders == {"alice": 1}


async def test_it_streams_when_asked_to(shop: Shop) -> None:
    answer = await chat(shop, {"max_tokens": 80, "stream": True})
    assert answer.header("content-type") == "text/event-stream"
    *events, end = answer.text.split("\n\n")
    assert end == ""
    assert all(event.startswith("data: ") for event in events)
    *words, last, done = (event.removeprefix("data: ") for event in events)
    assert done == "[DONE]"
    assert json.loads(last)["usage"] == usage(100)
    assert len(words) == 16
    assert all("usage" not in json.loads(word) for word in words)
    assert shop.requests == 1


def test_events_are_parts_of_their_own() -> None:
    streamed = complete(b'{"stream": true, "max_tokens": 3}')
    assert streamed.streams
    assert len(streamed.parts) == 5
    assert not complete(b"").streams
