"""What a refusal means: a right that is missing, or a server that has only just started."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

from prometheus_client import CollectorRegistry

from controlplane.kube import Interrupted, Listed
from controlplane.kube.errors import ForbiddenError
from controlplane.status.exchange import ReplicaExchange
from controlplane.status.known_reports import NORMAL

if TYPE_CHECKING:
    from controlplane.kube import Session

REFUSED = Interrupted(ForbiddenError("cannot watch configmaps"), 1.0)
LISTED = Listed({}, frozenset(), frozenset())


def exchange(*, stale: float = NORMAL.stale) -> ReplicaExchange:
    return ReplicaExchange(
        cast("Session", None),
        lease=("sluice-system", "sluice"),
        identity="me",
        registry=CollectorRegistry(),
        terms=replace(NORMAL, stale=stale),
    )


async def test_who_was_never_told_is_alone_at_once() -> None:
    made = exchange()
    await made._take(REFUSED)
    assert made.alone == "cannot watch configmaps"
    await made._take(LISTED)
    assert not made.alone


async def test_a_refusal_after_a_list_is_believed_only_when_it_lasts() -> None:
    made = exchange()
    await made._take(LISTED)
    await made._take(REFUSED)
    await made._take(REFUSED)
    assert not made.alone
    made = exchange(stale=0.0)
    await made._take(LISTED)
    await made._take(REFUSED)
    assert made.alone
