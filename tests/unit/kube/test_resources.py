from __future__ import annotations

from controlplane.kube import ResourceType, Target, targets
from controlplane.kube.backoff import Backoff

SALES = ResourceType("sluice.dev", "v1alpha1", "flashsales", "FlashSale")
SERVICES = ResourceType("", "v1", "services", "Service")
CLASSES = ResourceType(
    "gateway.networking.k8s.io", "v1", "gatewayclasses", "GatewayClass", namespaced=False
)


def test_paths_are_those_of_the_api() -> None:
    assert SALES.path() == "/apis/sluice.dev/v1alpha1/flashsales"
    assert SALES.path("shop", "laptop", "status") == (
        "/apis/sluice.dev/v1alpha1/namespaces/shop/flashsales/laptop/status"
    )
    assert SERVICES.path("shop") == "/api/v1/namespaces/shop/services"
    assert CLASSES.path("shop", "edge") == "/apis/gateway.networking.k8s.io/v1/gatewayclasses/edge"
    assert SERVICES.path("a/b", "../x") == "/api/v1/namespaces/a%2Fb/services/..%2Fx"


def test_kinds_without_a_namespace_are_followed_once() -> None:
    assert targets([SALES, CLASSES], ["a", "b", "a"]) == (
        Target(SALES, "a"),
        Target(SALES, "b"),
        Target(CLASSES),
    )
    assert targets([SALES, CLASSES]) == (Target(SALES), Target(CLASSES))


def test_waits_double_up_to_the_longest_and_begin_anew_after_a_success() -> None:
    backoff = Backoff(0.1, 1.0, chance=lambda: 1.0)
    assert [round(backoff.delay(), 3) for _ in range(6)] == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    backoff.reset()
    assert backoff.fresh
    assert backoff.delay(at_least=5.0) == 5.0
    assert Backoff(0.1, 1.0, chance=lambda: 0.0).delay() == 0.05
    for _ in range(5000):
        backoff.delay()
    assert backoff.delay() == 1.0
