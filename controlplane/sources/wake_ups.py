"""When to look at a folder again: told by the kernel, and now and then by the clock.

watchfiles' own `awatch` does not tell when its watch stands, and what changes before that would
be noticed late. So its documented lower layer is used: the first wake-up comes once the watch
stands, and nothing after it is missed.
"""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from watchfiles._rust_notify import RustNotify

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How long to wait for what; seconds."""

    quiet: float
    """After a change, until nothing more changes."""
    longest: float
    """After a change, even if more keep coming."""
    idle: float
    """Without any change."""


async def wake_ups(path: Path, rhythm: Rhythm, *, recursive: bool) -> AsyncGenerator[None]:
    """Give a wake-up once the watch stands, then at each change and after each idle time.

    `OSError` or `RuntimeError` when the kernel cannot or can no longer watch the folder.
    """
    notify = await asyncio.to_thread(
        partial(
            RustNotify,
            [str(path)],
            debug=False,
            force_polling=False,
            poll_delay_ms=0,
            recursive=recursive,
            ignore_permission_denied=True,
        )
    )
    stop = threading.Event()
    wait = partial(
        notify.watch,
        debounce_ms=_milliseconds(rhythm.longest),
        step_ms=_milliseconds(rhythm.quiet / 2),  # a change ends one step, the quiet is the next
        timeout_ms=_milliseconds(rhythm.idle),
        stop_event=stop,
    )
    with notify:
        yield
        while True:
            await _in_thread(wait, stop)
            yield


async def _in_thread(wait: Callable[[], object], stop: threading.Event) -> None:
    """Wait in a thread; when cancelled, until the thread has let go of the watch."""
    waiting = asyncio.get_running_loop().run_in_executor(None, wait)
    try:
        await asyncio.shield(waiting)
    except asyncio.CancelledError:
        stop.set()
        await waiting
        raise


def _milliseconds(seconds: float) -> int:
    return max(1, int(seconds * 1000))
