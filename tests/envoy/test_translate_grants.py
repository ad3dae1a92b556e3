"""References into another namespace, followed and given up by a running Envoy."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from controlplane.local.ports import free_port
from tests.contract.envoy.manifests import gateway, grant, listener, match, route, service, text, to
from tests.contract.envoy.proxy import Echo, ask, running_edge

if TYPE_CHECKING:
    from tests.contract.envoy.proxy import Edge
    from tests.testkit.fixtures import StartEnvoy

pytestmark = pytest.mark.envoy
_TIMEOUT = 10.0
_TRIES = 60


def elsewhere(origin: Echo) -> list[dict[str, Any]]:
    """The Service `front` of the namespace `web`."""
    return [
        {**found, "metadata": {**found["metadata"], "namespace": "web"}}
        for found in service("front", origin.port)
    ]


async def until(port: int, path: str, status: int) -> None:
    """Ask until the answer has this status: each worker takes a new configuration by itself."""
    end = time.monotonic() + _TIMEOUT
    while (found := (await ask(port, path)).status) != status:
        assert time.monotonic() < end, f"{path} still answers {found}, not {status}"


async def shared(port: int, path: str, expected: set[str]) -> None:
    """Ask many times until exactly these answer: origins by name, errors by status."""
    end = time.monotonic() + _TIMEOUT
    while (found := await _answers(port, path)) != expected:
        assert time.monotonic() < end, f"{path} is shared by {found}, not by {expected}"


async def _answers(port: int, path: str) -> set[str]:
    given = [await ask(port, path) for _ in range(_TRIES)]
    return {str(one.seen["origin"]) if one.status == 200 else str(one.status) for one in given}


async def applied(edge: Edge, manifests: str) -> None:
    edge.apply(manifests)
    await edge.settled()


async def test_a_backend_of_another_namespace_is_reached_by_grant_alone(
    start_envoy: StartEnvoy,
) -> None:
    port = free_port()
    async with Echo("near") as near, Echo("far") as far:
        front = to("front", namespace="web")
        objects = [
            gateway(listener(port)),
            route(
                "r",
                {"matches": [match("/far")], "backendRefs": [front]},
                {"matches": [match("/both")], "backendRefs": [front, to("near")]},
                {"matches": [match("/near")], "backendRefs": [to("near")]},
            ),
            service("near", near.port),
            elsewhere(far),
        ]
        without = text(*objects)
        permitted = text(*objects, grant("HTTPRoute", "Service", name="front"))
        async with running_edge(start_envoy, without) as (edge, _):
            assert (await ask(port, "/far")).status == 500
            assert (await ask(port, "/near")).seen["origin"] == "near"
            # The share of the backend gets a 500; the other one does not get more than its own.
            await shared(port, "/both", {"near", "500"})

            await applied(edge, permitted)
            await until(port, "/far", 200)
            assert (await ask(port, "/far")).seen["origin"] == "far"
            await shared(port, "/both", {"near", "far"})

            # A grant for something else is none for this.
            await applied(edge, text(*objects, grant("HTTPRoute", "Service", name="other")))
            await until(port, "/far", 500)

            await applied(edge, permitted)
            await until(port, "/far", 200)
            await applied(edge, without)
            await until(port, "/far", 500)
            await shared(port, "/both", {"near", "500"})
            assert (await ask(port, "/near")).seen["origin"] == "near"
