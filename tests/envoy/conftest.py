"""The stack as a fixture; what a failed test started shows the end of its logs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import pytest

from tests.envoy.stack import Stack
from tests.testkit.fixtures import LOGS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from controlplane.local import Shop
    from tests.testkit.fixtures import StartRedis


class StartStack(Protocol):
    """Starts a whole stack; `redis` are options of its RedisServer, the rest is the Stack's."""

    async def __call__(self, *, redis: dict[str, Any] | None = None, **options: Any) -> Stack: ...


@pytest.fixture
async def start_stack(
    request: pytest.FixtureRequest, tmp_path: Path, start_redis: StartRedis, shop: Shop
) -> AsyncIterator[StartStack]:
    """A function that starts stacks, which end with the test."""
    started: list[Stack] = []

    async def start(*, redis: dict[str, Any] | None = None, **options: Any) -> Stack:
        server = await start_redis(**(redis or {}))
        stack = Stack(tmp_path / f"stack-{len(started)}", server, shop, **options)
        started.append(stack)
        logs = request.node.stash.setdefault(LOGS, [])
        logs.append(stack.log)
        logs.extend(stack.folder / f"{name}.log" for name in stack.gateways)
        await stack.start()
        return stack

    yield start
    for stack in reversed(started):
        await stack.close()
