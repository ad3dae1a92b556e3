"""The quota commands against a control plane that runs, with real counters and no proxy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import structlog
import yaml

from controlplane.ledger.quota_keys import hash_parts
from tests.testkit.waiting import eventually
from tests.unit.app.control_plane import Running, control_plane, write_manifests

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from controlplane.local import RedisServer
    from tests.unit.cli.conftest import AsyncSluice

pytestmark = pytest.mark.redis

POLICY = "shop/model-api"
QUOTA = """\
apiVersion: sluice.dev/v1alpha1
kind: QuotaPolicy
metadata: {name: model-api, namespace: shop}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: shop}]
  limits:
  - name: per-key
    key: [{header: x-api-key}]
    windows: [{requests: 10, per: 8000h}, {requests: 1000, per: 8760h}]
    overrides: [{consumer: ["gold-*"], windows: [{requests: 100}, {requests: 5000}]}]
  - name: per-path
    key: [{header: x-api-key}, {path: {}}]
    algorithm: Calendar
    requests: 60
    unit: Month
"""


@pytest.fixture
async def running(
    tmp_path: Path, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Running]:
    manifests = write_manifests(tmp_path / "manifests", redis_server.address)
    (manifests / "sale.yaml").write_text(QUOTA)  # quotas alone: no keeper makes the key ring
    async with control_plane(manifests, tmp_path) as made:
        monkeypatch.setenv("SLUICE_SERVER", made.server)
        # The control plane's log would stand between what commands print.
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))

        async def told() -> bool:
            shown = await made.get("/api/v1/quotas")
            return bool(shown["quotas"] and made.app._ledger.tallies(POLICY))

        await eventually(told, what="the policy is in force, and told of")
        yield made


@pytest.mark.usefixtures("running")
async def test_policies_are_shown(ask: AsyncSluice) -> None:
    listed = await ask("quota", "list")
    assert listed.code == 0
    assert "shop/model-api  per-key 10/8000h 1000/8760h, per-path 60/Month (UTC)" in listed.out
    shown = await ask("quota", "show", POLICY)
    assert "header x-api-key + path" in shown.out
    assert "Accepted" in shown.out
    assert yaml.safe_load((await ask("quota", "show", POLICY, "-o", "yaml")).out)["redis"]
    status = await ask("status")
    assert "QuotaPolicy   shop/model-api  True" in status.out
    assert "QUOTAS\nNAME" in status.out


@pytest.mark.usefixtures("running")
async def test_a_consumer_is_charged_shown_and_forgotten(ask: AsyncSluice) -> None:
    mine = ("--key", "Bearer alice")
    charged = await ask("quota", "adjust", POLICY, *mine, "--charge", "7")
    assert charged.code == 0
    assert charged.out.splitlines()[1].split()[2:6] == ["10", "7", "0", "3"]
    found = (await ask("quota", "get", POLICY, *mine, "-o", "json")).json["counters"]
    assert [(window["used"], window["remaining"]) for window in found[0]["windows"]] == [
        (7, 3),
        (7, 993),
    ]
    consumer = found[0]["consumer"]
    back = ("--limit", "per-key", "--consumer", consumer, "--give-back", "2")
    assert (await ask("quota", "adjust", POLICY, *back)).code == 0
    await ask("quota", "adjust", POLICY, "--key", "gold-1", "--charge", "50")
    top = await ask("quota", "top", POLICY, "--limit", "per-key")
    assert (top.code, top.err) == (0, "")
    lines = [line.split() for line in top.out.splitlines()]
    assert [(line[0], line[-1]) for line in lines][1:] == [
        ("50", (await consumer_of(ask, "gold-1"))),
        ("5", consumer),
    ]
    gold = (await ask("quota", "get", POLICY, "--key", "gold-1")).out
    assert "overrides[0]" in gold
    assert gold.splitlines()[1].split()[2] == "100"
    forgotten = await ask("quota", "reset", POLICY, *mine)
    assert (forgotten.code, forgotten.out) == (0, "shop/model-api: 2 counters forgotten\n")
    rest = await ask("quota", "reset", POLICY, "--all", "--yes")
    assert rest.out == "shop/model-api: 2 counters forgotten\n"
    none = await ask("quota", "reset", POLICY, "--all", "-o", "json")
    assert none.json == {"quota": POLICY, "forgotten": 0}
    assert len((await ask("quota", "top", POLICY, "--limit", "per-key")).out.splitlines()) == 1


async def consumer_of(ask: AsyncSluice, value: str) -> str:
    found = (await ask("quota", "get", POLICY, "--key", value, "-o", "json")).json
    return str(found["counters"][0]["consumer"])


async def test_a_key_of_any_bytes(ask: AsyncSluice, running: Running) -> None:
    """As the command line hands over what is not UTF-8."""
    value = b"caf\xe9"
    raw = value.decode("utf-8", "surrogateescape")
    found = (await ask("quota", "get", POLICY, "--key", raw, "--key", "/v1", "-o", "json")).json
    ring = await running.app._ledger.tallies(POLICY)[0].keyring.ensure()
    assert [(one["limit"], one["consumer"]) for one in found["counters"]] == [
        ("per-path", hash_parts(ring.identity, [value, b"/v1"]).hex())
    ]


@pytest.mark.usefixtures("running")
async def test_what_cannot_be_meant(ask: AsyncSluice) -> None:
    for words, told in (
        (("get", "shop/frob", "--key", "k"), "there is no quota policy 'shop/frob'; known: shop"),
        (("get", POLICY), "no limit of shop/model-api has a key of 0 parts: per-key needs header"),
        (("reset", POLICY), "no limit of shop/model-api has a key of 0 parts"),
        (("get", POLICY, "--limit", "frob", "--key", "k"), "no limit 'frob'; known: per-key"),
        (("top", POLICY), "has several limits: say which"),
    ):
        result = await ask("quota", *words)
        assert result.code == 1
        assert told in result.err
