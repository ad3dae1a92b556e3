"""Tables, word by word: people read them, and scripts cut columns out of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from controlplane.cli import filters, keys, quota, sale, status
from controlplane.cli.output import columns, pairs, since, to_yaml

REFUSED = "1 of 2 proxies; edge-b refuses it: no"
SALE: dict[str, Any] = {
    "kind": "FlashSale",
    "namespace": "shop",
    "name": "laptop",
    "observedGeneration": 1,
    "conditions": [
        {
            "type": "Accepted",
            "status": "True",
            "reason": "Accepted",
            "message": "",
            "observedGeneration": 1,
            "lastTransitionTime": "2020-01-01T00:00:00Z",
        },
        {
            "type": "Programmed",
            "status": "False",
            "reason": "Rejected",
            "message": REFUSED,
            "observedGeneration": 1,
            "lastTransitionTime": "2020-01-01T00:00:00Z",
        },
    ],
    "proxies": {"programmed": 1, "total": 2},
    "state": "Open",
    "admitted": 40,
    "remaining": 60,
    "limit": 100,
    "limitByHand": None,
    "suspendedByHand": False,
    "healing": False,
    "closed": "",
    "lostProxies": [],
    "redisError": "",
    "books": "shop/laptop/1",
    "generation": 2,
    "incarnation": 7,
    "startTime": None,
    "endTime": None,
    "gateways": ["shop/edge"],
    "redis": "127.0.0.1:6379",
}
WINDOW = {"name": "per-key", "id": "s60000", "amount": 10, "per": "1m", "burst": None}
QUOTA: dict[str, Any] = {
    "kind": "QuotaPolicy",
    "namespace": "shop",
    "name": "model-api",
    "observedGeneration": 1,
    "conditions": SALE["conditions"],
    "proxies": {"programmed": 1, "total": 2},
    "limits": [
        {
            "name": "per-key",
            "algorithm": "SlidingWindow",
            "counts": "requests",
            "windows": [WINDOW, {**WINDOW, "name": "per-key.2", "amount": 500, "per": "24h"}],
            "key": ["header x-api-key", "path"],
            "plain": False,
            "mode": "Enforce",
            "enforcePercent": 25,
            "onRedisFailure": "Allow",
            "overrides": 2,
        },
        {
            "name": "everybody",
            "algorithm": "TokenBucket",
            "counts": "tokens",
            "windows": [{**WINDOW, "name": "everybody", "id": "b60000", "burst": 30}],
            "key": [],
            "plain": False,
            "mode": "Shadow",
            "enforcePercent": 100,
            "onRedisFailure": "Deny",
            "overrides": 0,
        },
    ],
    "gateways": ["shop/edge"],
    "redis": ["127.0.0.1:6379"],
    "redisError": "",
}
TYPE = {"wanted": "2", "sent": "2", "acked": "1", "inSync": True, "nack": None}
NACK = {"version": "2", "message": "no", "resources": ["sluice.flash-sale"]}
PROXY: dict[str, Any] = {
    "node": "edge-b",
    "gateway": "shop/edge",
    "connectedAt": None,
    "workers": 2,
    "agent": "envoy 1.40.0",
    "address": "ipv4:127.0.0.1:1",
    "waiting": "",
    "inSync": False,
    "code": {"flash-sale": "f" * 64},
    "types": {
        "CDS": TYPE,
        "ECDS": {**TYPE, "inSync": False, "nack": NACK},
        "LDS": {**TYPE, "inSync": False},
    },
}


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Any:
    def lines() -> list[str]:
        return [line.rstrip() for line in capsys.readouterr().out.splitlines()]

    return lines


def words(line: str) -> str:
    """A line without its columns."""
    return " ".join(line.split())


def test_sales(printed: Any) -> None:
    status.show_sales([SALE, {**SALE, "name": "tv", "limitByHand": 9, "redisError": "away"}])
    assert printed() == [
        "NAME         STATE  ADMITTED  REMAINING  LIMIT          STARTS  ENDS      PROXIES  NOTE",
        "shop/laptop  Open   40        60         100            -       sold out  1/2      -",
        "shop/tv      Open   40        60         100 (by hand)  -       sold out  1/2      away",
    ]


def test_status(printed: Any) -> None:
    problem = {
        "severity": "error",
        "reason": "Invalid",
        "object": "FlashSale shop/tv",
        "field": "spec.stock",
        "file": "sale.yaml",
        "line": 3,
        "message": "must be a number",
    }
    status.show({"ready": True, "objects": [SALE], "proxies": [PROXY], "problems": [problem]})
    assert printed() == [
        "",
        "OBJECTS",
        "KIND       NAME         ACCEPTED  PROGRAMMED  READY  PROXIES  MESSAGE",
        f"FlashSale  shop/laptop  True      False       -      1/2      {REFUSED}",
        "",
        "PROXIES",
        "NODE    GATEWAY    WORKERS  CDS     EDS  SDS  ECDS  LDS    RDS  CONNECTED  AGENT",
        "edge-b  shop/edge  2        SYNCED  -    -    NACK  STALE  -    -          envoy 1.40.0",
        "",
        "SALES",
        "NAME         STATE  ADMITTED  REMAINING  LIMIT  STARTS  ENDS      PROXIES  NOTE",
        "shop/laptop  Open   40        60         100    -       sold out  1/2      -",
        "",
        "PROBLEMS",
        "edge-b: refuses ECDS sluice.flash-sale: no",
        "sale.yaml:3: FlashSale shop/tv: spec.stock: must be a number",
    ]


def test_proxies_of_other_replicas() -> None:
    there = {**PROXY, "replica": "sluice-7d9c5_0f8f", "agent": "", "types": {}, "inSync": True}
    assert status.proxy_row(there)[-1] == "at sluice-7d9c5"
    assert status.proxy_row({**there, "inSync": False})[-1] == "at sluice-7d9c5, not up to date"
    assert set(status.proxy_row(there)[3:9]) == {"-"}


def test_versions_in_force() -> None:
    row = status.proxy_row(PROXY, versions=True)
    assert row[3:9] == ("1", "-", "-", "1*", "1*", "-")


def test_one_sale(printed: Any) -> None:
    sale.describe(SALE)
    lines = printed()
    assert lines[:5] == [
        "Sale       shop/laptop",
        "State      Open",
        "Admitted   40",
        "Remaining  60",
        "Limit      100",
    ]
    assert lines[-3] == "TYPE        STATUS  REASON    SINCE      MESSAGE"


def test_a_watched_sale() -> None:
    assert sale.watch_line(SALE) == (
        "shop/laptop  Open       let in 40/100  remaining 60  proxies 1/2"
    )
    closed = {**SALE, "closed": "BooksLost"}
    assert sale.watch_line(closed).endswith("proxies 1/2  closed: BooksLost")


def test_quotas(printed: Any) -> None:
    status.show_quotas([QUOTA, {**QUOTA, "conditions": [], "gateways": [], "name": "x"}])
    limits = "per-key 10/1m 500/24h, (everybody 10/1m)"
    head, first, second = printed()
    assert words(head) == "NAME LIMITS GATEWAYS ACCEPTED PROGRAMMED PROXIES NOTE"
    assert first == (
        f"shop/model-api  {limits}  shop/edge  True      False       1/2      {REFUSED}"
    )
    assert second == f"shop/x          {limits}  -          -         -           1/2      -"
    status.show({"ready": True, "objects": [QUOTA], "proxies": [], "problems": []})
    assert "QUOTAS" in printed()


def test_one_policy(printed: Any) -> None:
    quota.describe(QUOTA)
    lines = printed()
    assert lines[:2] == ["Policy    shop/model-api", "Proxies   1 of 2"]
    assert [words(line) for line in lines[6:11]] == [
        "LIMITS",
        "WINDOW ALGORITHM AMOUNT COUNTS PER BURST KEY MODE OVERRIDES",
        "per-key SlidingWindow 10 requests 1m - header x-api-key + path Enforce 25% 2",
        "per-key.2 SlidingWindow 500 requests 24h - header x-api-key + path Enforce 25% 2",
        "everybody TokenBucket 10 tokens 1m 30 everybody Shadow -",
    ]
    assert lines[-3].startswith("TYPE        STATUS  REASON")


def test_what_consumers_have_used(printed: Any) -> None:
    resets = {"resetsAt": "2020-01-01T00:00:00Z"}
    window = {**WINDOW, "used": 3, "held": 2, "remaining": 5, **resets}
    none = {**WINDOW, "amount": None, "used": None, "held": None, "remaining": None}
    one = {
        "algorithm": "SlidingWindow",
        "redis": "127.0.0.1:1",
        "consumer": "c0ffee",
        "override": None,
        "enforced": True,
        "windows": [window],
    }
    other = {**one, "windows": [{**none, "resetsAt": None}], "override": "overrides[1]"}
    quota.show_counters({"counters": [one, {**other, "enforced": False}]})
    head, first, second = printed()
    assert words(head) == (
        "WINDOW ALGORITHM AMOUNT USED HELD REMAINING RESETS MODE OVERRIDE CONSUMER"
    )
    told = since(resets["resetsAt"])
    assert words(first) == (
        f"per-key SlidingWindow 10 3 2 5 2020-01-01T00:00:00Z ({told}) Enforce - c0ffee"
    )
    assert words(second) == "per-key SlidingWindow unlimited - - - - Shadow overrides[1] c0ffee"
    quota.show_counters({"counters": [one, {**one, "redis": "127.0.0.1:2"}]})
    assert [line.split()[-3] for line in printed()] == ["REDIS", "127.0.0.1:1", "127.0.0.1:2"]


def test_keys_and_filters(printed: Any) -> None:
    keys.show({"rings": [{"redis": "127.0.0.1:6379", "signing": 3, "verifying": [1, 2, 3]}]})
    assert printed() == [
        "REDIS           SIGNING  VERIFYING",
        "127.0.0.1:6379  3        1, 2, 3",
    ]
    code = {
        "filter": "flash-sale",
        "sha256": "f" * 64,
        "size": 4096,
        "storedAt": datetime.now(UTC).timestamp(),
        "current": True,
    }
    filters.show({"filters": [code], "proxies": [PROXY]})
    assert printed() == [
        "FILTER      CODE          SIZE   STORED  IN FORCE",
        "flash-sale  ffffffffffff  4 KiB  0s ago  yes",
        "",
        "PROXIES",
        "NODE    GATEWAY    FLASH-SALE    QUOTA  REDIS-BRIDGE  IN SYNC",
        "edge-b  shop/edge  ffffffffffff  ?      ?             no",
    ]


def test_filters_of_a_cluster(printed: Any) -> None:
    now = datetime.now(UTC)
    own = {
        "filter": "quota",
        "sha256": "a" * 64,
        "size": 4096,
        "storedAt": now.timestamp() - 7200,
        "current": False,
        "shared": True,
        "usedAt": now.timestamp() - 3600,
        "image": True,
        "chosen": False,
    }
    sent = {**own, "sha256": "b" * 64, "current": True, "image": False, "chosen": True}
    lost = {**own, "sha256": "c" * 64, "shared": False, "usedAt": None, "image": False}
    chosen = {
        "filter": "quota",
        "sha256": "b" * 64,
        "image": "a" * 64,
        "chosen": "b" * 64,
        "chosenAt": now.isoformat(),
        "problem": "",
    }
    filters.show(
        {
            "filters": [sent, own, lost],
            "inForce": [{**chosen, "problem": "away"}],
            "proxies": [],
        }
    )
    assert printed()[:5] == [
        "FILTER  CODE          SIZE   STORED  IN FORCE  SHARED  LAST USED  NOTE",
        "quota   bbbbbbbbbbbb  4 KiB  2h ago  yes       yes     60m ago    by hand",
        "quota   aaaaaaaaaaaa  4 KiB  2h ago  -         yes     60m ago    of the image",
        "quota   cccccccccccc  4 KiB  2h ago  -         -       -          -",
        "quota: away",
    ]
    assert status.choice_line(chosen) == (
        "quota: code bbbbbbbbbbbb was chosen by hand 0s ago; this image has aaaaaaaaaaaa"
    )
    assert status.choice_line({**chosen, "image": "b" * 64, "chosenAt": ""}) == (
        "quota: code bbbbbbbbbbbb was chosen by hand"
    )
    assert status.choice_line({**chosen, "sha256": "a" * 64}) == (
        "quota: code bbbbbbbbbbbb was chosen by hand 0s ago, and aaaaaaaaaaaa is in force"
    )
    assert status.choice_line({"filter": "quota", "sha256": "a" * 64}) == ""


def test_what_counts_as_a_fault() -> None:
    good = {**SALE, "conditions": SALE["conditions"][:1]}
    found: dict[str, Any] = {"ready": True, "objects": [good], "proxies": [], "problems": []}
    assert not status.faults(found)
    assert status.faults({**found, "objects": [SALE]})
    assert status.faults({**found, "proxies": [PROXY]})
    assert status.faults({**found, "ready": False})
    assert status.faults({**found, "problems": [{"severity": "error"}]})
    assert not status.faults({**found, "problems": [{"severity": "warning"}]})


@pytest.mark.parametrize(
    ("ahead", "told"),
    [
        (timedelta(0), "0s ago"),
        (timedelta(seconds=-90), "90s ago"),
        (timedelta(minutes=-3), "3m ago"),
        (timedelta(hours=5), "in 5h"),
        (timedelta(days=9), "in 9d"),
    ],
)
def test_how_long_ago(ahead: timedelta, told: str) -> None:
    now = datetime(2027, 1, 1, tzinfo=UTC)
    assert since((now + ahead).isoformat(), now) == told
    assert since(None) == ""


def test_plain_columns_and_no_colours_into_a_pipe(printed: Any) -> None:
    columns(("A", "B"), [("x\ny", None), ("longer", "z")])
    pairs((("name", "True"),))
    assert printed() == ["A       B", "x y     -", "longer  z", "name  True"]


def test_yaml_keeps_order() -> None:
    assert to_yaml({"b": 1, "a": [True, "yes"]}) == "b: 1\na:\n- true\n- 'yes'\n"
