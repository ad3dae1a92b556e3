"""The status of quota policies: what they limit, and whether Redis can be asked."""

from __future__ import annotations

from typing import Any

from tests.unit.status.facts import EDGE, QUOTA, SALE, Proxies, Scene, summary

POLICY = "shop/model-api"
REDIS = "127.0.0.1:6379"
AWAY = f"Redis at {REDIS} cannot be reached (Connection refused)"


def scene(quota: str = QUOTA) -> Scene:
    return Scene(f"{EDGE}---{SALE}---{quota}")


def observe(made: Scene, **changes: Any) -> Any:
    made.observe(**changes)
    return made.tracker.status.quota(POLICY)


def test_a_policy_in_force_is_ready() -> None:
    found = observe(scene())
    assert summary(found.conditions) == {
        "Accepted": "True",
        "ResolvedRefs": "True",
        "Programmed": "True",
        "Ready": "True",
    }
    assert found.condition("Programmed").message == "2 of 2 proxies"
    assert (found.quota.gateways, found.quota.redis) == (("shop/edge",), (REDIS,))


def test_its_limits_are_told_with_their_defaults() -> None:
    per_key, per_path, everybody = observe(scene()).as_json()["limits"]
    assert [(one["name"], one["id"], one["per"]) for one in per_key["windows"]] == [
        ("per-key", "f28800000000", "8000h"),
        ("per-key.2", "f31536000000", "8760h"),
    ]
    assert (per_key["key"], per_key["counts"], per_key["overrides"]) == (
        ["header x-api-key"],
        "requests",
        3,
    )
    assert per_path["key"] == ["clientAddress", "path", "literal free"]
    assert (per_path["windows"][0]["burst"], per_path["enforcePercent"]) == (100, 0)
    assert (everybody["mode"], everybody["key"]) == ("Shadow", [])
    assert everybody["windows"][0]["per"] == "Month (Europe/Berlin)"


def test_redis_away_is_told() -> None:
    made = scene()
    found = observe(made, troubles={REDIS: AWAY, "elsewhere:1": "no concern of this one"})
    ready = found.condition("Ready")
    assert (ready.status, ready.reason) == ("False", "RedisUnavailable")
    assert ready.message == f"{AWAY}; meanwhile each limit does as its onRedisFailure says"
    assert found.as_json()["redisError"] == AWAY
    assert summary(observe(made, troubles={}).conditions)["Ready"] == "True"


def test_some_proxies_lack_it() -> None:
    found = observe(scene(), deliver=Proxies(3, 2))
    assert summary(found.conditions)["Programmed"] == "False/Pending"
    assert summary(found.conditions)["Ready"] == "False/NotProgrammed"


def test_one_that_is_not_accepted_is_in_force_nowhere() -> None:
    found = observe(scene(QUOTA.replace("name: shop}]", "name: nowhere}]")))
    assert summary(found.conditions)["Accepted"] == "False/TargetNotFound"
    assert found.condition("Programmed") is None
    assert found.condition("Ready") is None
    assert found.quota.gateways == ()
    assert len(found.quota.limits) == 3
