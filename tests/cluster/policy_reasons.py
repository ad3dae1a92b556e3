"""How each reason comes about that is said of a policy for its targets and its Redis servers."""

from __future__ import annotations

from typing import Final

from tests.cluster.reason_manifests import (
    Gone,
    Says,
    case,
    edge_config,
    gateway,
    manifest,
    quota,
    route,
    rule,
    sale,
    service,
)

_AROUND: Final = (gateway(), service(), route("shop", rule("buy"), rule("pay")), route("other"))
_ADRIFT: Final = route("adrift", parents=({"name": "edge", "sectionName": "nope"},))
_BUY: Final = {"name": "shop", "sectionName": "buy"}
_OTHER: Final = {"name": "other"}


def _policies(name: str, condition: str) -> list[Says]:
    return [Says(f"{kind}/{name}", condition, f"True/{condition}") for kind in _POLICIES]


_POLICIES: Final = ("FlashSale", "QuotaPolicy")


def _both(name: str, condition: str, reason: str, sale_words: str, quota_words: str) -> list[Says]:
    return [
        Says(f"FlashSale/{name}", condition, f"False/{reason}", sale_words),
        Says(f"QuotaPolicy/{name}", condition, f"False/{reason}", quota_words),
    ]


CASES: Final = (
    case(
        "targets",
        (
            [
                *_AROUND,
                _ADRIFT,
                gateway(name="foreign", of="theirs"),
                manifest("GatewayClass", "theirs", {"controllerName": "example.com/theirs"}),
                # Of those that want the same, it is the older one or the first by name.
                sale("a", _BUY),
                quota("a"),
            ],
            [*_policies("a", "Accepted"), *_policies("a", "ResolvedRefs")],
        ),
        (
            [
                sale("b", _BUY),
                quota("b"),
                sale("c", {"name": "lost"}),
                quota("c", ("HTTPRoute", "lost")),
                sale("d", {"name": "adrift"}),
                quota("d", ("Gateway", "foreign")),
                sale("e", {"name": "shop", "sectionName": "pay"}, {"name": "lost"}),
                quota("e", ("HTTPRoute", "other"), ("Gateway", "lost")),
            ],
            [
                *_both(
                    "b", "Accepted", "Conflicted", "FlashSale targets/a", "QuotaPolicy targets/a"
                ),
                *_both(
                    "c", "Accepted", "TargetNotFound", "correct targetRefs", "correct targetRefs"
                ),
                *_both("d", "Accepted", "TargetNotAttached", "see its parentRefs", "none of ours"),
                *_policies("e", "Accepted"),
                *_both("e", "ResolvedRefs", "TargetNotFound", "lost is not there", "lost is not"),
                Says("FlashSale/e", "Ready", "False/NotProgrammed", "no proxy is connected"),
                Says("QuotaPolicy/e", "Ready", "False/NotProgrammed", "no proxy is connected"),
            ],
        ),
        (
            [
                Gone("FlashSale", "a"),
                Gone("QuotaPolicy", "a"),
                Gone("FlashSale", "e"),
                Gone("QuotaPolicy", "e"),
                route("lost"),
                route("adrift"),
                quota("d", ("Gateway", "edge")),
            ],
            [one for name in "bcd" for one in _policies(name, "Accepted")],
        ),
    ),
    case(
        "half-detached",
        (
            [
                *_AROUND,
                _ADRIFT,
                sale("a", {"name": "shop"}, {"name": "adrift"}),
                quota("a", ("HTTPRoute", "shop"), ("HTTPRoute", "adrift")),
            ],
            _both("a", "ResolvedRefs", "TargetNotAttached", "adrift", "adrift"),
        ),
        ([route("adrift")], _policies("a", "ResolvedRefs")),
    ),
    case(
        "half-lost",
        ([*_AROUND, sale("a", _BUY), quota("a")], _policies("a", "Accepted")),
        (
            [
                sale("b", {"name": "shop"}),
                quota("b", ("HTTPRoute", "shop"), ("HTTPRoute", "other")),
            ],
            [
                *_policies("b", "Accepted"),
                *_both(
                    "b", "ResolvedRefs", "Conflicted", "FlashSale half-lost/a", "has QuotaPolicy"
                ),
            ],
        ),
        (
            [Gone("FlashSale", "a"), Gone("QuotaPolicy", "a")],
            _policies("b", "ResolvedRefs"),
        ),
    ),
    case(
        "two-redis",
        (
            [
                edge_config("near"),
                edge_config("far", "127.0.0.1:2"),
                gateway(settings="near"),
                gateway(name="edge-2", settings="far"),
                service(),
                route(parents=({"name": "edge"}, {"name": "edge-2"})),
                sale("laptop"),
                quota("model-api"),
            ],
            [
                Says(
                    "FlashSale/laptop", "BooksUsable", "False/DifferentRedis", "as two-redis/edge"
                ),
                Says(
                    "QuotaPolicy/model-api", "CountersShared", "False/DifferentRedis", "127.0.0.1:2"
                ),
            ],
        ),
        (
            [edge_config("far")],
            [
                Says("FlashSale/laptop", "BooksUsable", ""),
                Says("QuotaPolicy/model-api", "CountersShared", ""),
            ],
        ),
    ),
    case(
        "cannot-wait",
        (
            [
                edge_config("near", via="Proxy"),
                gateway(settings="near"),
                service(),
                route(),
                sale("laptop", durability="Replicated"),
            ],
            [
                Says(
                    "FlashSale/laptop", "BooksUsable", "False/CannotWait", "use Local, or redis.via"
                )
            ],
        ),
        (
            [sale("laptop")],
            [Says("FlashSale/laptop", "BooksUsable", "")],
        ),
    ),
    case(
        "policy-unread",
        (
            [*_AROUND, sale("laptop", stock=-1), quota("model-api", limit="Not A Name")],
            _both("laptop", "Accepted", "Invalid", "spec.stock", "")[:1]
            + _both("model-api", "Accepted", "Invalid", "", "spec.limits[0].name")[1:],
        ),
        (
            [sale("laptop"), quota("model-api")],
            [
                Says("FlashSale/laptop", "Accepted", "True/Accepted"),
                Says("QuotaPolicy/model-api", "Accepted", "True/Accepted"),
            ],
        ),
    ),
)
