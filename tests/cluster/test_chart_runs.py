"""What the chart starts: a control plane and a proxy that find each other, with its rights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from controlplane.local import free_port
from tests.cluster.chart.golden import NAMESPACE
from tests.cluster.cluster import by_type
from tests.cluster.release import Release
from tests.testkit.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from controlplane.local import RedisServer
    from tests.cluster.api_server import ApiServer

pytestmark = [pytest.mark.cluster, pytest.mark.envoy, pytest.mark.redis]


@pytest.fixture
def listener() -> int:
    """A free port for the Gateway."""
    return free_port()


@pytest.fixture
async def release(
    tmp_path: Path, api_server: ApiServer, redis_server: RedisServer, listener: int
) -> AsyncIterator[Release]:
    values = {
        "redis": {"address": redis_server.address},
        "gateway": {"listeners": [{"name": "http", "protocol": "HTTP", "port": listener}]},
    }
    release = Release(tmp_path, api_server, values)
    await release.install()
    yield release
    await release.close()


async def test_control_plane_and_proxy_find_each_other(release: Release, listener: int) -> None:
    release.start_edge()
    control_plane = release.start_control_plane()
    await eventually(control_plane.healthy, what="the control plane is ready", deadline=60)
    await eventually(release.ready, what="the proxy is ready", deadline=60)
    url = f"http://127.0.0.1:{listener}/"
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(url)
        assert answer.status_code == 404  # no route yet
        assert "connection" not in answer.headers

        # All else of the admin page is for nobody.
        assert await release.status("/stats/prometheus") == 200
        for path in ("/config_dump", "/", "/ready/", "/stats"):
            assert await release.status(path) == 404
        assert await release.status("/ready", "POST") == 404

        # The control plane may tell; were it refused anything, the log would say so.
        await release.objects.until("GatewayClass", "sluice", "Accepted", "True/Accepted")
        gateway = await release.objects.get("Gateway", "edge", NAMESPACE)
        assert by_type(gateway["status"])["Accepted"]["status"] == "True"
        assert "orbidden" not in control_plane.log

        # What a pod does before it ends.
        release.pre_stop()

        async def leaving() -> bool:
            return bool((await client.get(url)).headers.get("connection") == "close")

        await eventually(leaving, what="clients are asked to go elsewhere")


async def test_a_proxy_without_control_plane_is_not_ready(release: Release) -> None:
    release.start_edge()

    async def admin_up() -> bool:
        url = f"http://127.0.0.1:{release.admin_port}/ready"
        async with httpx.AsyncClient(trust_env=False, timeout=1.0) as client:
            try:
                return "INITIALIZING" in (await client.get(url)).text
            except httpx.HTTPError:
                return False

    await eventually(admin_up, what="the proxy waits for its configuration")
    assert await release.status("/ready") == 0
