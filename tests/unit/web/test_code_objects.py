"""Filter code as ConfigMaps: what is written can be read, and nothing else is taken for it."""

from __future__ import annotations

import base64
import gzip
import hashlib
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from controlplane.web import code_objects, wasm
from controlplane.web.code_objects import KEPT, MOST_BYTES, PACKED, SHA256, UNUSED_FOR, SharedCode
from controlplane.web.filter_store import FilterError
from tests.unit.web.modules import module

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
CODE = module(salt="code")
DIGEST = hashlib.sha256(CODE).hexdigest()


def written(code: bytes = CODE) -> dict[str, Any]:
    """As the API server gives it back."""
    obj = code_objects.write("flash-sale", code, "there", NOW)
    served = {"uid": "u-1", "creationTimestamp": "2026-05-04T12:00:01Z", "resourceVersion": "7"}
    return {**obj, "metadata": {**obj["metadata"], **served}}


def packed(content: bytes) -> dict[str, str]:
    return {PACKED: base64.b64encode(content).decode()}


def test_what_is_written_can_be_read() -> None:
    obj = written()
    assert obj["immutable"] is True
    assert obj["metadata"]["name"] == f"sluice-filter-flash-sale-{DIGEST[:12]}"
    assert code_objects.read(obj, "flash-sale", DIGEST) == CODE
    assert code_objects.describe(obj) == SharedCode(
        "flash-sale",
        DIGEST,
        len(CODE),
        NOW + timedelta(seconds=1),
        NOW + timedelta(seconds=1),
        "u-1",
    )
    # Equal code is an equal object, whoever writes it: the first one stays.
    assert code_objects.write("flash-sale", CODE, "there", NOW) == code_objects.write(
        "flash-sale", CODE, "there", NOW
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"binaryData": packed(gzip.compress(module(salt="other")))}, "does not hold the code"),
        ({"binaryData": packed(gzip.compress(CODE)[:-20])}, "does not hold the code"),
        ({"binaryData": packed(b"no gzip")}, "holds no code"),
        ({"binaryData": {PACKED: "%%%"}}, "holds no code"),
        ({"binaryData": {}}, "holds no code"),
        ({"binaryData": None}, "holds no code"),
    ],
)
def test_what_is_not_that_code_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(FilterError, match=said) as error:
        code_objects.read({**written(), **change}, "flash-sale", DIGEST)
    assert "delete it" in str(error.value)


def test_what_has_the_hash_and_is_no_filter_is_refused() -> None:
    text = b"\0asm\x01\0\0\0"
    obj = written()
    digest = hashlib.sha256(text).hexdigest()
    obj["metadata"] = {
        **obj["metadata"],
        "name": code_objects.name_of("flash-sale", digest),
        "annotations": {SHA256: digest},
    }
    obj["binaryData"] = packed(gzip.compress(text))
    with pytest.raises(FilterError, match="holds no filter: it does not export"):
        code_objects.read(obj, "flash-sale", digest)


def test_a_few_bytes_do_not_unpack_to_many() -> None:
    obj = {**written(), "binaryData": packed(gzip.compress(bytes(wasm.MAX_BYTES + 1)))}
    with pytest.raises(FilterError, match="does not hold the code"):
        code_objects.read(obj, "flash-sale", DIGEST)


def test_what_does_not_fit_is_refused() -> None:
    noise = random.Random(1).randbytes(MOST_BYTES)
    with pytest.raises(FilterError, match=r"code of quota is too large, 1\.0 MiB and packed 1\.0"):
        code_objects.write("quota", noise, "there", NOW)


@pytest.mark.parametrize(
    "metadata",
    [
        {"labels": None},
        {"labels": {code_objects.LABEL: "frob"}},
        {"annotations": None},
        {"annotations": {SHA256: DIGEST.upper()}},
        {"annotations": {SHA256: "0" * 64}},
        {"name": "mine"},
    ],
)
def test_what_is_labelled_by_others_is_none_of_ours(metadata: dict[str, Any]) -> None:
    obj = written()
    obj["metadata"] = {**obj["metadata"], **metadata}
    assert code_objects.describe(obj) is None
    with pytest.raises(FilterError, match="is not labelled as code of flash-sale"):
        code_objects.read(obj, "flash-sale", DIGEST)


@pytest.mark.parametrize("text", ["", "yesterday", "2026-05-04T12:00:00", "x" * 10_000])
def test_odd_times_are_long_ago(text: str) -> None:
    obj = written()
    obj["metadata"]["annotations"][code_objects.USED] = text
    found = code_objects.describe(obj)
    assert found is not None
    assert found.used == found.made


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (DIGEST, True),
        (DIGEST.upper(), False),
        (DIGEST[:-1], False),
        (DIGEST + "\n", False),
        ("g" * 64, False),
        ("٣" * 64, False),
    ],
)
def test_hashes(text: str, *, expected: bool) -> None:
    assert code_objects.is_digest(text) is expected


def test_a_choice_and_its_end() -> None:
    patch = code_objects.choice_patch({"quota": DIGEST}, NOW)
    obj = code_objects.choice_object(patch, "there")
    assert code_objects.choices(obj) == {
        "quota": code_objects.Choice(DIGEST, "2026-05-04T12:00:00Z")
    }
    gone = code_objects.choice_patch({"quota": None}, NOW)
    assert gone == {"data": {"quota": None, "quota.since": None}}
    assert code_objects.choices(code_objects.choice_object(gone, "there")) == {}
    assert code_objects.choices(None) == {}
    # Written by hand, with kubectl.
    assert code_objects.choices(
        {"data": {"quota": f" {DIGEST.upper()}\n", "quota.since": "now", "frob": "x"}}
    ) == {"quota": code_objects.Choice(DIGEST)}


def codes(count: int, *, days: float = 0.0, stem: str = "flash-sale") -> list[SharedCode]:
    """Codes, each last used an hour before the one before it."""
    used = NOW - timedelta(days=days)
    return [
        SharedCode(stem, f"{number:064x}", 1, used, used - timedelta(hours=number), f"u-{number}")
        for number in range(count)
    ]


def test_the_last_used_stay() -> None:
    found = codes(KEPT + 3)
    assert code_objects.expendable(found, set(), NOW, aged=True) == found[KEPT:]
    assert code_objects.expendable(found[:KEPT], set(), NOW, aged=True) == []
    # Each filter for itself.
    others = codes(KEPT, stem="quota")
    assert code_objects.expendable(found[:KEPT] + others, set(), NOW, aged=True) == []


def test_what_nobody_used_for_long_goes() -> None:
    recent, *old = codes(3, days=UNUSED_FOR / timedelta(days=1))
    recent = replace(recent, used=NOW)
    assert code_objects.expendable([recent, *old], set(), NOW, aged=True) == old
    # Right after a start it is not known yet what proxies run.
    assert code_objects.expendable([recent, *old], set(), NOW, aged=False) == []


def test_what_was_chosen_stays_however_old() -> None:
    found = codes(KEPT + 2, days=100)
    chosen = found[-1].sha256
    gone = code_objects.expendable(found, {chosen}, NOW, aged=True)
    assert len(gone) == len(found) - 1
    assert chosen not in {code.sha256 for code in gone}
