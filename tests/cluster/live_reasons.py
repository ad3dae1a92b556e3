"""Each reason that hangs on proxies, on Redis, and on targets of scaling: what it looks like."""

from __future__ import annotations

from typing import Final

from tests.cluster.reason_manifests import Says

SERVED: Final = (
    "Gateway/edge",
    "Gateway/edge#http",
    "HTTPRoute/shop",
    "FlashSale/laptop",
    "QuotaPolicy/model-api",
)
"""Of all of these it is said whether proxies run them."""
POLICIES: Final = ("FlashSale/laptop", "QuotaPolicy/model-api")


def _served(expected: str, words: str) -> tuple[Says, ...]:
    return tuple(Says(about, "Programmed", expected, words) for about in SERVED)


NO_PROXIES: Final = _served("Unknown/NoProxies", "no proxy is connected")
PENDING: Final = _served("False/Pending", "0 of 1 proxy")
PROGRAMMED: Final = _served("True/Programmed", "1 of 1 proxy")
BOTH: Final = _served("True/Programmed", "2 of 2 proxies")
REJECTED: Final = _served("False/Rejected", "edge-1 refuses it: I do not like it")

_SALE, _QUOTA = POLICIES
NOT_READY: Final = tuple(Says(about, "Ready", "False/NotProgrammed") for about in POLICIES)
READY: Final = (Says(_SALE, "Ready", "True/Ready", " left"), Says(_QUOTA, "Ready", "True/Ready"))
REDIS_AWAY: Final = tuple(
    Says(about, "Ready", "False/RedisUnavailable", "127.0.0.1") for about in POLICIES
)
LOST: Final = (
    Says(_SALE, "BooksLost", "True/ProxyLost", "gone with: edge-2"),
    Says(_SALE, "Ready", "False/BooksLost", "sluice sale restore"),
)
FOUND: Final = (Says(_SALE, "BooksLost", ""), *READY)
HEALING: Final = Says(_SALE, "Ready", "False/Healing", "takes about a second")
BELOW: Final = Says(
    _SALE, "StockSufficient", "False/StockBelowAdmitted", "2 users are in, and the limit is 1"
)
ENOUGH: Final = Says(_SALE, "StockSufficient", "")
EXPIRED: Final = Says(_SALE, "Ready", "False/BooksExpired", "give it a new epoch")
UNUSABLE: Final = Says(_SALE, "Ready", "False/BooksUnusable", "use Local, or redis.via")
BOOKS_PENDING: Final = Says("FlashSale/phone", "Ready", "False/BooksPending", "not open yet")
BOOKS_OPEN: Final = Says("FlashSale/phone", "Ready", "True/Ready", "3 left")

ALL: Final = (
    *NO_PROXIES,
    *PENDING,
    *PROGRAMMED,
    *REJECTED,
    *NOT_READY,
    *READY,
    *REDIS_AWAY,
    *LOST,
    *FOUND,
    HEALING,
    BELOW,
    ENOUGH,
    EXPIRED,
    UNUSABLE,
    BOOKS_PENDING,
)
