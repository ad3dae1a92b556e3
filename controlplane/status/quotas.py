"""The state of a quota policy: what it limits, where, and whether Redis can be asked.

How much each consumer has used is not part of it: there may be millions of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from controlplane.ledger.client import Server
from controlplane.model import Condition
from controlplane.status.objects import LimitStatus, QuotaStatus, WindowStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from controlplane.model import Limit, QuotaPolicy
    from controlplane.translate import QuotaPlan


def quota_status(
    policy: QuotaPolicy, plans: Iterable[QuotaPlan], troubles: Mapping[str, str]
) -> QuotaStatus:
    """Put together what is known of a policy."""
    mine = [plan for plan in plans if plan.ref == policy.ref]
    servers = [str(Server.of(plan.redis)) for plan in mine]
    return QuotaStatus(
        limits=tuple(map(limit_status, policy.limits)),
        gateways=tuple(gateway for plan in mine for gateway in plan.gateways),
        redis=tuple(servers),
        error="; ".join(troubles[server] for server in servers if server in troubles),
    )


def limit_status(limit: Limit) -> LimitStatus:
    """Describe a limit."""
    return LimitStatus(
        name=limit.name,
        algorithm=limit.algorithm,
        counts=limit.counts,
        windows=windows(limit),
        key=tuple(part.title for part in limit.key),
        plain=limit.plain,
        mode=limit.mode,
        enforce_percent=limit.enforce_percent,
        on_redis_failure=limit.on_redis_failure,
        overrides=len(limit.overrides),
    )


def windows(limit: Limit) -> tuple[WindowStatus, ...]:
    """Describe the windows of a limit; the second is named `<limit>.2`, and so on."""
    return tuple(
        WindowStatus(
            name=limit.name if number == 1 else f"{limit.name}.{number}",
            id=one.id,
            amount=one.amount,
            per=one.title,
            burst=one.burst if one.kind == "b" else None,
        )
        for number, one in enumerate(limit.resolved, start=1)
    )


def ready(status: QuotaStatus, programmed: Condition, generation: int) -> Condition:
    """Say whether the limits can be shared by all gateways, as far as it depends on us."""
    if programmed.status != "True":
        return Condition("Ready", "False", "NotProgrammed", programmed.message, generation)
    if status.error:
        said = f"{status.error}; meanwhile each limit does as its onRedisFailure says"
        return Condition("Ready", "False", "RedisUnavailable", said, generation)
    return Condition("Ready", "True", "Ready", "", generation)
