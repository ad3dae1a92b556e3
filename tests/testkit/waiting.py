"""Waiting for something to become true, the only way in which a test here passes time.

A fixed sleep is either too short on a busy machine or a waste on an idle one.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar, overload

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine

T = TypeVar("T")

DEADLINE = 45.0
"""Seconds: far more than anything takes, since only a test that fails ever waits so long."""


@overload
async def eventually(
    predicate: Callable[[], Awaitable[T]],
    *,
    deadline: float = ...,
    every: float = ...,
    what: str = ...,
) -> T: ...


@overload
async def eventually(
    predicate: Callable[[], T],
    *,
    deadline: float = ...,
    every: float = ...,
    what: str = ...,
) -> T: ...


async def eventually(
    predicate: Callable[[], Any],
    *,
    deadline: float = DEADLINE,
    every: float = 0.02,
    what: str = "",
) -> Any:
    """The first true value of `predicate`, a plain or an async function.

    An AssertionError in the predicate counts as "not yet", so it may hold assertions before it
    returns something true. A LookupError does, too: a status lacks its parts until it is written.

    Raises:
        AssertionError: it did not come true within `deadline` seconds. Names `what` was waited for
            and what was seen last.
    """
    end = time.monotonic() + deadline
    while True:
        cause: AssertionError | LookupError | None = None
        try:
            value = predicate()
            if inspect.isawaitable(value):
                value = await value
            if value:
                return value
            seen = repr(value)
        except AssertionError as error:
            cause, seen = error, str(error) or repr(error)
        except LookupError as error:
            cause, seen = error, repr(error)
        if time.monotonic() >= end:
            waited_for = what or getattr(predicate, "__name__", "the condition")
            message = f"{waited_for}: not so after {deadline:g} s; last seen: {seen}"
            raise AssertionError(message) from cause
        await asyncio.sleep(every)


async def holds(
    check: Callable[[], Awaitable[None]], *, deadline: float = DEADLINE, every: float = 0.02
) -> None:
    """Waits until all assertions of an async function hold.

    Raises:
        AssertionError: they did not within `deadline` seconds; tells the one that failed last.
    """

    async def passed() -> bool:
        await check()
        return True

    what = getattr(check, "__name__", "the check")
    await eventually(passed, deadline=deadline, every=every, what=what)


@asynccontextmanager
async def alongside(work: Coroutine[Any, Any, object]) -> AsyncIterator[asyncio.Task[object]]:
    """Something that goes on while the context is open, and is cancelled at its end."""
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait((task,))
