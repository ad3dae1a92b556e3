"""The plans of sales and quotas, as the translation hands them to the ledger."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from controlplane.model.edge_config import RedisSettings
from controlplane.model.meta import ObjectRef
from controlplane.translate import QuotaPlan, SalePlan

if TYPE_CHECKING:
    from controlplane.local import RedisServer
    from controlplane.model import QuotaPolicy

GATEWAY = "shop/edge"
DAY_MS = 24 * 3600 * 1000


def sale_plan(
    redis: RedisServer,
    *,
    name: str = "laptop",
    limit: int = 3,
    start_ms: int = 1,
    end_ms: int | None = None,
    retention: int = DAY_MS,
    plain: bool = False,
) -> SalePlan:
    return SalePlan(
        ref=ObjectRef("FlashSale", "shop", name),
        tag=f"shop/{name}/1",
        limit=limit,
        start_ms=start_ms,
        end_ms=end_ms,
        identity_plain=plain,
        retention_ms=retention,
        gateways=(GATEWAY,),
        redis=RedisSettings(address=redis.address),
        durability="Local",
    )


def quota_plan(redis: RedisServer, policy: QuotaPolicy) -> QuotaPlan:
    return QuotaPlan(policy, (GATEWAY,), RedisSettings(address=redis.address), date(2027, 1, 10))
