"""What replicas tell each other, as it stands in golden.json.

During an upgrade replicas of two versions read each other's reports. A change of the golden file
must be one that the readers of the version before understand, or raise the version.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from controlplane.status import replica_report
from controlplane.status.replica_report import (
    MAX_WORDS,
    ReplicaReport,
    ReportedGateway,
    ReportedProxy,
    ReportError,
    decode,
    encode,
)

GOLDEN: dict[str, Any] = json.loads(Path(__file__).with_name("golden.json").read_text())
SALE, ROUTE = "FlashSale shop/laptop", "HTTPRoute shop/shop"
REPORT = ReplicaReport(
    "sluice-7d9c5_0f8fad5b-d9cb-469f-a165-70867728950e",
    "2027-01-10T12:00:00Z",
    17,
    {
        "shop/edge": ReportedGateway(
            {
                SALE: ("5b1f6e02-6d1c-4c57-9a1c-0d5b3f4f7a11", 3),
                ROUTE: ("0c9a5d4e-1c9b-4f0e-8f43-7d1f6a4c2b22", 1),
            },
            (
                ReportedProxy("edge-1", 1800000000.125, 2),
                ReportedProxy("edge-2", 1800000001.5, 2, frozenset({SALE, ROUTE})),
                ReportedProxy(
                    "edge-3",
                    1800000002.0,
                    0,
                    frozenset({SALE, ROUTE}),
                    ((frozenset({SALE}), "unknown field 'blockRatio'"),),
                ),
            ),
        ),
        "shop/other": ReportedGateway({}, (ReportedProxy("edge-1", 1800000003.0, fresh=True),)),
    },
)


def plain(data: bytes) -> Any:
    return json.loads(gzip.decompress(data))


def packed(document: Any) -> bytes:
    return gzip.compress(json.dumps(document).encode())


def test_what_is_written() -> None:
    data, left_out = encode(REPORT)
    assert plain(data) == GOLDEN
    assert left_out == ""
    assert encode(REPORT) == (data, left_out)


def test_what_is_read() -> None:
    assert decode(packed(GOLDEN)) == REPORT


def test_fields_of_a_later_version_are_passed_over() -> None:
    later = json.loads(json.dumps(GOLDEN))
    later["mood"] = "good"
    later["gateways"]["shop/edge"]["mood"] = later["gateways"]["shop/edge"]["proxies"][0][
        "mood"
    ] = {}
    assert decode(packed(later)) == REPORT


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "cut off"),
        (b"hello", "not compressed by gzip"),
        (encode(REPORT)[0][:-20], "cut off"),
        (gzip.compress(b"hello"), "not a report"),
        (gzip.compress(b"[" * 100_000), "not a report"),
        (packed([]), "not a report"),
        (packed({**GOLDEN, "version": 2}), "it is of version 2, and 1 is known here"),
        (packed({**GOLDEN, "beat": "17"}), "not a report"),
        (packed({**GOLDEN, "gateways": {"a": {"objects": {}, "proxies": []}}}), "not a report"),
        (b"\0" * 1024 * 1024, "are the most"),
    ],
)
def test_what_cannot_be_read_says_why(data: bytes, words: str) -> None:
    with pytest.raises(ReportError, match=words):
        decode(data)


@pytest.mark.parametrize("place", [-1, 2, "0", True, None])
def test_a_list_that_is_not_there_is_an_error(place: object) -> None:
    wrong = json.loads(json.dumps(GOLDEN))
    wrong["gateways"]["shop/edge"]["proxies"][2]["refused"] = [[place, "no"]]
    with pytest.raises(ReportError, match="not a report"):
        decode(packed(wrong))


@pytest.mark.parametrize("since", [-1, 1e300, float("nan"), "0", True, None])
def test_a_time_that_never_was_is_an_error(since: object) -> None:
    wrong = json.loads(json.dumps(GOLDEN))
    wrong["gateways"]["shop/edge"]["proxies"][0]["since"] = since
    with pytest.raises(ReportError, match="not a report"):
        decode(packed(wrong))


@pytest.mark.parametrize(("proxy", "pending"), [(0, False), (1, True), (2, True)])
def test_a_report_is_pending_while_a_proxy_lacks_what_it_has_not_refused(
    proxy: int,
    pending: bool,  # noqa: FBT001
) -> None:
    edge = REPORT.gateways["shop/edge"]
    alone = ReplicaReport("b", gateways={"a": ReportedGateway({}, edge.proxies[proxy : proxy + 1])})
    assert alone.pending is pending
    refusing = ReportedProxy("x", 0.0, 1, frozenset({SALE}), ((frozenset({SALE}), "no"),))
    assert not ReplicaReport("b", gateways={"a": ReportedGateway({}, (refusing,))}).pending


def test_a_bomb_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replica_report, "MAX_PLAIN_BYTES", 1000)
    with pytest.raises(ReportError, match="more than 1000 bytes"):
        decode(gzip.compress(b" " * 100_000))


def large(refused: str, objects: int) -> ReplicaReport:
    refs = {f"FlashSale shop/{n * 7919 % 100_003}": ("u", n) for n in range(objects)}
    proxies = tuple(
        ReportedProxy(f"edge-{n}", float(n), 1, frozenset(refs), ((frozenset(refs), refused),))
        for n in range(3)
    )
    return ReplicaReport("b", gateways={"shop/edge": ReportedGateway(refs, proxies)})


def test_what_is_too_large_leaves_out_the_least_first(monkeypatch: pytest.MonkeyPatch) -> None:
    words = "".join(chr(0x4E00 + n * n % 2000) for n in range(MAX_WORDS))
    report = large(words, 20)
    whole = len(encode(report)[0])
    monkeypatch.setattr(replica_report, "MAX_BYTES", whole - 1)
    data, left_out = encode(report)
    assert left_out == "what proxies said when they refused something"
    read = decode(data).gateways["shop/edge"]
    assert all(one.behind and not one.refused for one in read.proxies)

    monkeypatch.setattr(replica_report, "MAX_BYTES", len(data) - 1)
    data, left_out = encode(report)
    assert left_out == "which objects are in force"
    read = decode(data).gateways["shop/edge"]
    assert (read.objects, len(read.proxies)) == ({}, 3)

    monkeypatch.setattr(replica_report, "MAX_BYTES", len(data) - 1)
    with pytest.raises(ReportError, match="are the most"):
        encode(report)


def test_many_proxies_that_lack_the_same_fit() -> None:
    refs = {f"FlashSale shop/sale-{n}": ("0c9a5d4e-1c9b-4f0e-8f43-7d1f6a4c2b22", n)
            for n in range(1000)}  # fmt: skip
    behind = frozenset(refs)
    proxies = tuple(ReportedProxy(f"edge-{n}", float(n), 4, behind) for n in range(1000))
    report = ReplicaReport("b", gateways={"shop/edge": ReportedGateway(refs, proxies)})
    data, left_out = encode(report)
    assert (left_out, len(data) < 64 * 1024) == ("", True)
    assert decode(data) == report
