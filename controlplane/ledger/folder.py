"""The state folder: one process at a time, since two would overwrite each other's copies."""

from __future__ import annotations

import fcntl
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class FolderError(Exception):
    """The folder cannot be used; the message says what to do."""


@contextmanager
def state_folder(path: Path) -> Iterator[None]:
    """Make the folder if need be, and hold it.

    Raises:
        FolderError: it cannot be made, or another process holds it.
    """
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = (path / "lock").open("a+")
    except OSError as error:
        raise FolderError(f"cannot use the state folder {path}: {error.strerror}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise FolderError(
                f"the state folder {path} is in use by another control plane: end that one, or "
                "choose another with --state-dir"
            ) from error
        yield
