"""Default answers on the reference pages, worked out by the code that does it for the filters."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from controlplane.model.flash_sale import FlashSale, FlashSaleSpec, Identity, Schedule, TargetRef
from controlplane.model.meta import ObjectMeta
from controlplane.model.quota_limits import Limit
from controlplane.model.quota_policy import (
    QUOTA_OUTCOMES,
    QuotaPolicy,
    QuotaPolicySpec,
    QuotaTargetRef,
)
from controlplane.model.responses import OUTCOMES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from controlplane.model.responses import ResolvedResponse


def sale_answers() -> str:
    """The default answers of a FlashSale."""
    sale = FlashSale(
        metadata=ObjectMeta(name="laptop", namespace="shop"),
        spec=FlashSaleSpec(
            target_refs=(TargetRef(name="shop"),),
            schedule=Schedule(start_time=datetime(2026, 1, 1, tzinfo=UTC)),
            stock=1,
            identity=Identity(header="Authorization"),
        ),
    )
    answers = ((outcome, sale.response(outcome)) for outcome in OUTCOMES)
    return f"Default answers:\n\n{_table(answers, 'where it can be known')}"


def quota_answers() -> str:
    """The default answers of a QuotaPolicy."""
    policy = QuotaPolicy(
        metadata=ObjectMeta(name="qpm", namespace="shop"),
        spec=QuotaPolicySpec(
            target_refs=(QuotaTargetRef(name="shop"),),
            limits=(Limit.model_validate({"name": "all", "requests": 1, "per": "1m"}),),
        ),
    )
    answers = ((outcome, policy.response(outcome)) for outcome in QUOTA_OUTCOMES)
    return f"## Default answers\n\n{_table(answers, 'always')}"


def _table(answers: Iterable[tuple[str, ResolvedResponse]], retry: str) -> str:
    rows = ["| reason | status | Retry-After | text |\n|---|---|---|---|"]
    for outcome, answer in answers:
        shown = retry if answer.retry_after else ""
        rows.append(f"| `{outcome}` | {answer.status} | {shown} | {answer.body.strip()} |")
    rows.append(
        "\nAll carry `Cache-Control: no-store` and `Content-Type: text/plain; charset=utf-8`; "
        "headers that are given replace those of the same name."
    )
    return "\n".join(rows)
