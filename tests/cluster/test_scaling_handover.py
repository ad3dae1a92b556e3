"""Scaling by whole control planes: one is killed in the middle of a rush, the other goes on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import yaml

from controlplane.model.durations import format_instant
from tests.cluster.cluster import NAMESPACE, Objects, edge, sale
from tests.cluster.quick_replica import QuickReplica
from tests.cluster.scaling_plane import Scene, prepare
from tests.testkit.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from controlplane.local import RedisServer
    from tests.cluster.api_server import ApiServer

pytestmark = [pytest.mark.cluster, pytest.mark.redis, pytest.mark.slow]


async def test_the_second_puts_back_what_the_first_has_scaled(
    api_server: ApiServer, redis_server: RedisServer, tmp_path: Path
) -> None:
    await prepare(api_server)
    objects, scene = Objects(api_server), Scene(api_server, "shop")
    await objects.make(NAMESPACE)
    await objects.make_all(edge(redis_server.address))
    await scene.deployment()
    manifest = yaml.safe_load(sale())
    start = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=5)
    manifest["spec"] |= {
        "schedule": {"startTime": format_instant(start)},
        "scaling": {
            "leadTime": "10m",
            "targets": [{"kind": "Deployment", "name": "web", "replicas": 20}],
        },
    }
    await objects.make(manifest)
    async with QuickReplica(api_server, tmp_path / "first") as first:
        await scene.is_scaled("True/Scaled")
        await objects.until("FlashSale", "laptop", "Accepted", "True")
        async with QuickReplica(api_server, tmp_path / "second") as second:
            first.process.kill()
            await objects.delete("FlashSale", "laptop")
            assert await scene.replicas() == 20
            await eventually(lambda: second.leads, what="the second leads", deadline=60)
            await scene.is_gone()
            assert (await scene.replicas(), await scene.changes()) == (3, 2)
            assert "Traceback" not in second.log.read_text()
