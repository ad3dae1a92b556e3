"""The control plane as a whole, without proxies: its start, its folder, its end."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from controlplane.ledger.folder import state_folder
from controlplane.local import free_port
from controlplane.settings import StartError
from tests.testkit.waiting import eventually
from tests.unit.app.control_plane import SALE, control_plane, write_manifests

if TYPE_CHECKING:
    from pathlib import Path

    from controlplane.local import RedisServer
    from tests.testkit.fixtures import StartRedis

pytestmark = pytest.mark.redis


@pytest.fixture
def manifests(tmp_path: Path, redis_server: RedisServer) -> Path:
    return write_manifests(tmp_path / "manifests", redis_server.address)


async def test_manifests_become_books_and_status(manifests: Path, tmp_path: Path) -> None:
    async with control_plane(manifests, tmp_path) as running:
        sale = await running.sale(state="Open", admitted=0, limit=3, healing=False)
        conditions = {one["type"]: one["reason"] for one in sale["conditions"]}
        assert conditions["Programmed"] == "NoProxies"
        status = await running.get("/api/v1/status")
        assert status["ready"]
        assert status["problems"] == []
        async with httpx.AsyncClient(trust_env=False) as client:
            assert (await client.get(f"{running.server}/readyz")).text == "ready\n"
            assert "sluice_xds_streams" in (await client.get(f"{running.server}/metrics")).text


async def test_health_and_metrics_are_offered_without_the_api(
    manifests: Path, tmp_path: Path
) -> None:
    where = {"health_host": "127.0.0.1", "health_port": 0}
    async with control_plane(manifests, tmp_path, None, **where) as running:
        await running.sale(state="Open")
        server = f"http://{running.about['health']}"
        # Kubelets and scrapers call it by the address of the pod.
        headers = {"host": "10.1.2.3:18082"}
        async with httpx.AsyncClient(trust_env=False, headers=headers, base_url=server) as client:
            assert (await client.get("/healthz")).text == "ok\n"
            assert (await client.get("/readyz")).text == "ready\n"
            assert "sluice_xds_streams" in (await client.get("/metrics")).text
            for path in ("/api/v1/status", "/filters/0.wasm", "/"):
                assert (await client.get(path)).status_code == 404


async def test_a_changed_file_is_in_force_and_a_broken_one_loses_nothing(
    manifests: Path, tmp_path: Path
) -> None:
    async with control_plane(manifests, tmp_path) as running:
        await running.sale(limit=3)
        (manifests / "sale.yaml").write_text(SALE.format(stock=7, name="laptop"))
        await running.sale(limit=7)
        (manifests / "sale.yaml").write_text("kind: [")

        async def told() -> Any:
            return (await running.get("/api/v1/status"))["problems"]

        problems = await eventually(told, what="the problem is told")
        assert problems[0]["file"].endswith("sale.yaml")
        await running.sale(limit=7, state="Open")
        (manifests / "sale.yaml").write_text(SALE.format(stock=8, name="laptop"))
        await running.sale(limit=8)
        assert await told() == []


async def test_a_fault_of_ours_ends_nothing(
    manifests: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with control_plane(manifests, tmp_path) as running:
        await running.sale(limit=3)

        def broken(*_: object) -> None:
            raise KeyError("oops")

        with monkeypatch.context() as patch:
            patch.setattr("controlplane.app.translate", broken)
            (manifests / "sale.yaml").write_text(SALE.format(stock=7, name="laptop"))

            async def told() -> Any:
                return (await running.get("/api/v1/status"))["problems"]

            problems = await eventually(told, what="the fault is told")
            assert "internal error (KeyError)" in problems[0]["message"]
            await running.sale(limit=3, state="Open")
        (manifests / "sale.yaml").write_text(SALE.format(stock=8, name="laptop"))
        await running.sale(limit=8)


async def test_a_second_sale_needs_only_a_second_manifest(manifests: Path, tmp_path: Path) -> None:
    async with control_plane(manifests, tmp_path) as running:
        await running.sale(state="Open")
        other = SALE.format(stock=5, name="phone").replace("{name: shop}", "{name: other}")
        route = (manifests / "edge.yaml").read_text().split("---")[3]
        route = route.replace("metadata: {name: shop", "metadata: {name: other")
        (manifests / "phone.yaml").write_text(f"{route}---\n{other}")
        await running.sale("shop/phone", state="Open", limit=5, healing=False)
        (manifests / "phone.yaml").unlink()

        async def gone() -> bool:
            listed = (await running.get("/api/v1/sales"))["sales"]
            return [one["name"] for one in listed] == ["laptop"]

        await eventually(gone, what="the sale is gone")


async def test_an_edge_starts_without_redis(tmp_path: Path, start_redis: StartRedis) -> None:
    port = free_port()
    manifests = write_manifests(tmp_path / "manifests", f"127.0.0.1:{port}")
    async with control_plane(manifests, tmp_path) as running:

        async def told() -> str:
            sale = await running.get("/api/v1/sales/shop/laptop")
            return str(sale.get("redisError", ""))

        assert f"Redis at 127.0.0.1:{port} cannot be reached" in await eventually(told)
        await start_redis(port=port)
        await running.sale(redisError="", healing=False, incarnation=await positive(running))


async def positive(running: Any) -> int:
    """The incarnation, once there is one."""

    async def opened() -> int:
        return int((await running.get("/api/v1/sales/shop/laptop"))["incarnation"])

    return int(await eventually(opened, what="the books are open"))


async def test_a_wrong_password_is_told(tmp_path: Path, start_redis: StartRedis) -> None:
    redis = await start_redis(password="right-one")
    manifests = write_manifests(tmp_path / "manifests", redis.address)
    environ = {"SLUICE_REDIS_PASSWORD": "wrong-one"}
    async with control_plane(manifests, tmp_path, environ) as running:

        async def told() -> str:
            return str((await running.get("/api/v1/sales/shop/laptop")).get("redisError", ""))

        words = await eventually(told)
        assert "check the environment variable SLUICE_REDIS_PASSWORD" in words
        assert "wrong-one" not in str(await running.get("/api/v1/status"))
    environ = {"SLUICE_REDIS_PASSWORD": "right-one"}
    async with control_plane(manifests, tmp_path, environ) as running:
        await running.sale(state="Open", redisError="", healing=False)


async def test_books_outlive_the_control_plane(manifests: Path, tmp_path: Path) -> None:
    async with control_plane(manifests, tmp_path) as running:
        first = await running.sale(state="Open", healing=False)
    async with control_plane(manifests, tmp_path) as running:
        again = await running.sale(state="Open", incarnation=first["incarnation"])
        assert again["generation"] == first["generation"]


async def start(manifests: Path, tmp_path: Path, **options: Any) -> str:
    """The message of a start that fails; it is one line."""
    with pytest.raises(StartError) as told:
        async with control_plane(manifests, tmp_path, **options):
            raise AssertionError("it has started")
    assert "\n" not in str(told.value)
    return str(told.value)


async def test_starts_that_fail_tell_why(manifests: Path, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        told = await start(manifests, tmp_path, web_port=port)
        assert f"cannot serve the web API on 127.0.0.1:{port}" in told
        told = await start(manifests, tmp_path, xds_port=port)
        assert f"cannot serve xDS on 127.0.0.1:{port}" in told
    told = await start(tmp_path / "nowhere", tmp_path)
    assert "there is no file or folder" in told
    told = await start(manifests, tmp_path, built=tmp_path / "unbuilt")
    assert "flash-sale.wasm is missing: build it with `make filters`" in told
    (tmp_path / "file").touch()
    told = await start(manifests, tmp_path, state_dir=tmp_path / "file")
    assert "cannot use the state folder" in told
    with state_folder(tmp_path / "held"):
        told = await start(manifests, tmp_path, state_dir=tmp_path / "held")
        assert "is in use by another control plane" in told
    async with control_plane(manifests, tmp_path) as running:
        await running.sale(state="Open")


async def test_nothing_is_served_before_the_folder_was_read(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    async with control_plane(empty, tmp_path) as running:

        async def ready() -> bool:
            return bool((await running.get("/api/v1/status"))["ready"])

        await eventually(ready, what="an empty folder was read")
        assert (await running.get("/api/v1/sales")) == {"sales": []}
