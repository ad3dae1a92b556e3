from __future__ import annotations

import hashlib
import json
from typing import Any

from controlplane.translate.parameters import denied_user, to_json
from tests.contract.envoy.golden import PARAMETERS, SALES, parameters, translated

FULL = PARAMETERS[SALES] / "full.yaml"


def test_a_denied_user_is_named_by_a_hash_of_books_and_id() -> None:
    whole = hashlib.sha256(b"shop/laptop/1\x00Bearer \xc3\xa4").hexdigest()
    assert denied_user("shop/laptop/1", "Bearer ä") == whole[:32]
    assert denied_user("shop/laptop/2", "Bearer ä") != whole[:32]


def test_the_text_is_compact_and_keeps_its_order() -> None:
    text = to_json({"b": [1, {"a": "ä"}], "a": None})
    assert text == '{"b":[1,{"a":"ä"}],"a":null}'


def test_raw_ids_of_denied_users_stand_nowhere() -> None:
    text = to_json(parameters(translated(FULL)))
    assert "bot-1" not in text


def test_every_case_tells_apart_what_the_filter_can_do() -> None:
    """The files are what Rust is tested against: together they must show every form."""
    sales: list[dict[str, Any]] = []
    documents = [json.loads(path.read_text()) for path in sorted(PARAMETERS[SALES].glob("*.json"))]
    for document in documents:
        sales.extend(document["sales"])
    assert len(documents) >= 6
    assert {document["redis"]["via"] for document in documents} == {"Direct", "Proxy"}
    assert {sale["draw"] for sale in sales} == {"PerUser", "PerRequest"}
    assert {sale["onRedisFailure"] for sale in sales} == {"Deny", "Allow"}
    assert {sale["durability"] for sale in sales} == {"Local", "Replicated"}
    assert {sale["suspended"] for sale in sales} == {True, False}
    assert {sale["endMs"] is None for sale in sales} == {True, False}
    assert {sale["pass"] is None for sale in sales} == {True, False}
    kinds = {name for sale in sales for name in sale["identity"]}
    assert kinds == {"header", "cookie", "clientAddress", "plain"}
    assert {len(document["sales"]) for document in documents} == {0, 1, 2}
