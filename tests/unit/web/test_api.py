"""The rest of the API, and what keeps strangers out of it."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest

from controlplane.web.requests import host_name, is_loopback
from tests.unit.web.modules import built, module

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.web.conftest import Desk

pytestmark = pytest.mark.redis


async def test_health(desk: Desk) -> None:
    assert (await desk.client.get("/healthz")).text == "ok\n"
    assert (await desk.client.get("/readyz")).status_code == 503
    desk.control.store.open()
    assert (await desk.client.get("/readyz")).text == "ready\n"


async def test_metrics(desk: Desk) -> None:
    text = (await desk.client.get("/metrics")).text
    assert 'sluice_sale_remaining{sale="shop/laptop"} 3.0' in text
    assert 'sluice_sale_state{sale="shop/laptop",state="Scheduled"} 1.0' in text
    assert "sluice_build_info{" in text
    assert "process_resident_memory_bytes" in text


async def test_status_has_everything(desk: Desk) -> None:
    found = await desk.get("/status")
    assert found["version"] == "test"
    assert {one["kind"] for one in found["objects"]} >= {"Gateway", "HTTPRoute", "FlashSale"}
    assert found["problems"] == []
    assert found["proxies"] == []
    assert (await desk.get("/gateways"))["gateways"][0]["name"] == "edge"
    assert (await desk.get("/proxies"))["proxies"] == []


async def test_keys_are_numbered_and_never_shown(desk: Desk) -> None:
    ring = await desk.ledger.accounts[0].keyring.ensure()
    address = desk.plan.redis.address
    first = await desk.get("/keys")
    assert first == {"rings": [{"redis": address, "signing": 1, "verifying": [1]}]}
    after = await desk.post("/keys/rotate")
    assert after == {"rings": [{"redis": address, "signing": 2, "verifying": [1, 2]}]}
    one = await desk.post("/keys/rotate", {"redis": address})
    assert one["rings"][0]["signing"] == 3
    assert "no sale or quota uses a Redis at 'x'" in await desk.error(
        "/keys/rotate", {"redis": "x"}, status=404
    )
    assert all(key.hex() not in str(after) for key in ring.keys.values())


async def test_filters_are_rolled_out_and_back(desk: Desk, tmp_path: Path) -> None:
    first = {one["filter"]: one for one in (await desk.get("/filters"))["filters"]}
    assert set(first) == {"flash-sale", "quota", "redis-bridge"}
    built(tmp_path / "built", salt="changed")
    done = await desk.post("/filters/reload")
    assert [one["filter"] for one in done["filters"]] == [
        "flash-sale",
        "quota",
        "redis-bridge",
    ]
    assert done["filters"][0]["sha256"] != first["flash-sale"]["sha256"]
    back = await desk.post("/filters/reload", {"to": first["flash-sale"]["sha256"][:12]})
    assert back["filters"][0]["sha256"] == first["flash-sale"]["sha256"]
    code = base64.b64encode(module(salt="mine")).decode()
    await desk.post("/filters/reload", {"filter": "redis-bridge", "code": code})
    assert desk.rolled_out == 3
    assert desk.filters.code.flash_sale.sha256 == first["flash-sale"]["sha256"]


@pytest.mark.parametrize(
    ("body", "status", "problem"),
    [
        ({"to": "ffff"}, 422, "names no single file"),
        ({"code": base64.b64encode(b"no").decode()}, 422, "is no filter"),
        ({"code": "%%%"}, 400, "code is not base64"),
        ({"code": "", "to": ""}, 400, "either to or code"),
        ({"filter": "frob"}, 422, "there is no filter 'frob'"),
        ({"path": "/etc/passwd"}, 400, "unknown field 'path'"),
        ({"filter": 3}, 400, "are texts"),
    ],
)
async def test_wrong_code_is_refused(
    desk: Desk, body: dict[str, Any], status: int, problem: str
) -> None:
    before = desk.filters.code
    assert problem in await desk.error("/filters/reload", body, status=status)
    assert desk.filters.code == before
    assert desk.rolled_out == 0


async def test_code_for_proxies(desk: Desk) -> None:
    code = desk.filters.code.flash_sale
    found = await desk.client.get(f"/filters/{code.sha256}.wasm")
    assert found.headers["content-type"] == "application/wasm"
    assert found.content == built_content(code.path)
    for other in ("0" * 64, "abc", "..%2f..%2fetc"):
        assert (await desk.client.get(f"/filters/{other}.wasm")).status_code == 404


def built_content(path: str) -> bytes:
    with open(path, "rb") as file:  # noqa: PTH123 - as a proxy would
        return file.read()


async def test_a_page_from_elsewhere_can_change_nothing(desk: Desk) -> None:
    path = "/api/v1/sales/shop/laptop/suspend"
    foreign = desk.client_as("evil.example")
    assert (await foreign.get("/api/v1/status")).status_code == 421
    assert (await foreign.post(path, json={})).status_code == 421
    without = desk.client_as("127.0.0.1:18080", **{"x-sluice-client": ""})
    assert (await without.post(path, json={})).status_code == 403
    form = await desk.client.post(path, content=b"a=b", headers={"content-type": "text/plain"})
    assert form.status_code == 415
    assert not (await desk.get("/sales/shop/laptop"))["suspendedByHand"]


@pytest.mark.parametrize("host", ["localhost:1", "[::1]:18080", "127.9.9.9", "Control.Example:80"])
async def test_names_that_are_ours(desk: Desk, host: str) -> None:
    assert (await desk.client_as(host).get("/api/v1/sales")).status_code == 200


async def test_what_needs_no_name(desk: Desk) -> None:
    """Probes, scrapers and proxies come by whatever name the network gives."""
    foreign = desk.client_as("sluice.sluice-system.svc:18080")
    for path in ("/healthz", "/metrics", f"/filters/{desk.filters.code.flash_sale.sha256}.wasm"):
        assert (await foreign.get(path)).status_code == 200


@pytest.mark.parametrize(
    ("content", "status", "problem"),
    [
        (b"{", 400, "the body is not JSON"),
        (b"[]", 400, "must be a JSON object"),
        (b"\xff", 400, "the body is not JSON"),
        (b" " * (1024 * 1024 + 1), 413, "larger than 1024 KiB"),
    ],
)
async def test_bad_bodies(desk: Desk, content: bytes, status: int, problem: str) -> None:
    answer = await desk.client.post(
        "/api/v1/sales/shop/laptop/limit",
        content=content,
        headers={"content-type": "application/json"},
    )
    assert answer.status_code == status
    assert problem in answer.json()["error"]["message"]


async def test_what_does_not_exist_is_json_too(desk: Desk) -> None:
    found = await desk.client.get("/api/v1/frob")
    assert found.status_code == 404
    assert found.json()["error"]["message"] == "there is no GET /api/v1/frob here"
    found = await desk.client.delete("/api/v1/sales/shop/laptop/limit")
    assert found.status_code == 405
    assert found.json()["error"]["reason"] == "NoSuchCall"
    assert (await desk.client.get("/frob")).status_code == 404


async def test_retry_of_an_unknown_gateway(desk: Desk) -> None:
    message = await desk.error("/gateways/shop/frob/retry", status=404)
    assert message == "there is no gateway 'shop/frob'; known: there are none"


@pytest.mark.parametrize(
    ("host", "name", "loopback"),
    [
        ("127.0.0.1:80", "127.0.0.1", True),
        ("127.0.0.1", "127.0.0.1", True),
        ("[::1]:80", "::1", True),
        ("[::1]", "::1", True),
        ("Example.com:80", "example.com", False),
        ("127.0.0.1.evil.com:80", "127.0.0.1.evil.com", False),
        ("", "", False),
    ],
)
def test_host_names(host: str, name: str, loopback: bool) -> None:  # noqa: FBT001
    assert host_name(host) == name
    assert is_loopback(name) is loopback
