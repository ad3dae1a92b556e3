"""Counter keys, consumer ids, and what the script is told and replies, as in golden.json.

The filter charges counters that the control plane reads, both by the same script: what a counter is
called, who a consumer is, and the order and meaning of every word are pinned. What differs from run
to run is written as a word in angle brackets; parts of consumers and numbers as they are stored are
hexadecimal.
"""

from __future__ import annotations

import json
from pathlib import Path
from struct import unpack_from
from typing import TYPE_CHECKING, Any

import pytest

from controlplane.ledger import scripts
from controlplane.ledger.client import RedisClient, Server
from controlplane.ledger.quota_counters import (
    Batch,
    Meter,
    Settle,
    Settlement,
    Spec,
    Take,
)
from controlplane.ledger.quota_keys import (
    CounterKey,
    Kind,
    calendar_id,
    consumer_id,
    enforced,
    hash_parts,
    override_id,
    window_id,
)

if TYPE_CHECKING:
    from controlplane.local import RedisServer

GOLDEN: dict[str, Any] = json.loads(Path(__file__).with_name("golden.json").read_text())
IDENTITY = bytes.fromhex(GOLDEN["identity"])
YEARS_MS = 100 * 366 * 24 * 3600 * 1000


@pytest.mark.parametrize("case", GOLDEN["windows"], ids=lambda case: case["id"])
def test_windows(case: dict[str, Any]) -> None:
    if "unit" in case:
        assert calendar_id(case["unit"], case["timeZone"]) == case["id"]
    else:
        assert window_id(Kind(case["kind"]), case["perMs"]) == case["id"]


@pytest.mark.parametrize("case", GOLDEN["keys"], ids=lambda case: case["key"])
def test_keys(case: dict[str, str]) -> None:
    key = CounterKey(case["policy"], case["limit"], case["window"], case["consumer"])
    assert str(key) == case["key"]
    assert CounterKey.parse(case["key"]) == key


@pytest.mark.parametrize("case", GOLDEN["consumers"], ids=lambda case: case["name"])
def test_consumers(case: dict[str, Any]) -> None:
    parts = [bytes.fromhex(part) for part in case["parts"]]
    assert hash_parts(IDENTITY, parts).hex() == case["hash"]
    assert consumer_id(IDENTITY, parts, plain=False) == case["hashed"]
    assert consumer_id(IDENTITY, parts, plain=True) == case["plain"]
    assert override_id(GOLDEN["policy"], parts) == case["override"]
    inside = [percent for percent in range(101) if enforced(IDENTITY, parts, percent)]
    assert inside == list(range(case["insideFrom"], 101))


@pytest.mark.parametrize("case", GOLDEN["runs"], ids=lambda case: case["name"])
def test_words(case: dict[str, Any]) -> None:
    assert list(_batch(case, {}).keys) == case["keys"]
    assert list(_batch(case, {}).args) == [_known(word, {}) for word in case["args"]]


@pytest.mark.redis
async def test_replies(shared_redis_server: RedisServer) -> None:
    client = RedisClient(Server("127.0.0.1", shared_redis_server.port), {})
    await client.command("DEL", *{key for case in GOLDEN["runs"] for key in case["keys"]})
    known: dict[str, int] = {}
    for case in GOLDEN["runs"]:
        batch = _batch(case, known)
        reply = await client.run(scripts.load("quota"), batch.keys, batch.args)
        assert len(reply) == len(case["reply"]), (case["name"], reply)
        for value, wanted in zip(reply, case["reply"], strict=True):
            if isinstance(wanted, str):
                _check(wanted, value, known)
                known[wanted] = value
            else:
                assert value == wanted, (case["name"], reply)
    for key, wanted in GOLDEN["stored"].items():
        value = await client.command("GET", key)
        assert 0 < unpack_from("<d", value)[0] <= known["<now>"]
        found = f"<start> {value[8:16].hex()} {value[16:24].hex()}{value[24:].decode()}"
        assert found == wanted.replace("<slot 2>", str(known["<slot 2>"]))
    await client.command("DEL", *{key for case in GOLDEN["runs"] for key in case["keys"]})
    await client.close()


def _batch(case: dict[str, Any], known: dict[str, int]) -> Batch:
    """Build a run from what it is about; a word that is not known yet stands for 0."""
    specs = [
        Spec(
            Kind(spec["kind"]),
            spec["amount"],
            tuple(spec["borders"]) or spec["spanMs"],
            spec["burst"],
            spec["ttlMs"],
            spec["watch"],
        )
        for spec in case["specs"]
    ]
    items: list[Take | Settlement] = []
    for item in case["items"]:
        if "take" in item:
            rows = item["take"]
            items.append(
                Take(
                    tuple(
                        Meter(specs[r["spec"]], case["keys"][r["key"]], r["charge"], r["hold"])
                        for r in rows
                    )
                )
            )
        else:
            settles = (
                Settle(
                    specs[r["spec"]],
                    case["keys"][r["key"]],
                    int(_known(r["slot"], known)),
                    r["held"],
                    r["charge"],
                )
                for r in item["settle"]
            )
            items.append(Settlement(tuple(settles)))
    return Batch.of(*items)


def _known(word: Any, known: dict[str, int]) -> str:
    return str(known.get(word, 0)) if str(word).startswith("<") else str(word)


def _check(word: str, value: int, known: dict[str, int]) -> None:
    """What is only known while it runs still has to be of its kind."""
    if word == "<now>":
        assert value >= known.get(word, 1)
    elif word.startswith("<slot"):
        assert known["<now>"] // 1000 < value
    else:
        assert word == "<left>"
        assert 0 < value <= YEARS_MS
