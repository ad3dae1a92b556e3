"""Redis keys, user hashes and script replies, as they stand in golden.json.

The filters and the control plane meet in Redis only: what either writes there, the other must read.
So key names, the hash of a user, and the order and meaning of every field of a reply are pinned.
What differs from run to run is written as a word in angle brackets.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from controlplane.ledger import BookKeys, hash_user, scripts
from controlplane.ledger.books import text
from controlplane.ledger.client import RedisClient, Server
from controlplane.ledger.keyring import field
from controlplane.ledger.keys import KEYRING

if TYPE_CHECKING:
    from controlplane.local import RedisServer

GOLDEN: dict[str, Any] = json.loads(Path(__file__).with_name("golden.json").read_text())
DAY_MS = 24 * 3600 * 1000


def test_keys() -> None:
    keys = BookKeys(GOLDEN["books"])
    assert {
        "meta": keys.meta,
        "permits": keys.permits,
        "log": keys.log,
        "try": keys.attempt("USER"),
        "keyring": KEYRING,
        "signing key 7": field(7),
    } == GOLDEN["keys"]


@pytest.mark.parametrize("case", GOLDEN["users"], ids=lambda case: case["id"])
def test_users(case: dict[str, str]) -> None:
    assert hash_user(bytes.fromhex(GOLDEN["identity"]), case["id"]) == case["user"]


@pytest.mark.redis
async def test_replies(shared_redis_server: RedisServer) -> None:
    client = RedisClient(Server("127.0.0.1", shared_redis_server.port), {})
    keys = BookKeys("contract/replies/1")
    await client.command("DEL", *keys.all)
    known = {"<run>": text(await _run_id(client))}
    for number, call in enumerate(GOLDEN["calls"]):
        args = [known.get(arg, arg) if isinstance(arg, str) else arg for arg in call["args"]]
        reply = await client.run(scripts.load(call["script"]), keys.all, args)
        seen = [_readable(value) for value in reply]
        expected = call["reply"]
        assert len(seen) == len(expected), (number, call, seen)
        for value, wanted in zip(seen, expected, strict=True):
            if isinstance(wanted, str) and wanted.startswith("<"):
                _check(wanted, value, known)
                known[wanted] = value
            else:
                assert value == wanted, (number, call, seen)
    await client.command("DEL", *keys.all)
    await client.close()


def _check(word: str, value: Any, known: dict[str, Any]) -> None:
    """What is only known while it runs still has to be of its kind."""
    if word == "<run>":
        assert value == known[word]
    elif word == "<us>":
        assert value >= known.get(word, 0)
    elif word == "<left>":
        assert 0 < value <= DAY_MS
    elif word in known:
        assert value == known[word]
    else:
        assert isinstance(value, int)


def _readable(value: Any) -> Any:
    return value if isinstance(value, int) else text(value)


async def _run_id(client: RedisClient) -> bytes:
    info = await client.command("EVAL", "return redis.call('INFO', 'server')", 0)
    return bytes(info).partition(b"run_id:")[2][:40]
