"""Files that must survive a crash: written beside the old one, synced, then put in its place.

After a power cut the reader finds the old content or the new one, never a mixture.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from pathlib import Path


def replace_file(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Put `content` at `path` in one step."""
    with create(beside(path), mode=mode) as handle:
        handle.write(content)
        sync(handle)
    put_in_place(path)


def beside(path: Path) -> Path:
    """Name the file that is written before it takes the place of `path`."""
    return path.with_name(path.name + ".new")


def create(path: Path, *, mode: int = 0o600) -> BinaryIO:
    """Open a fresh file for writing, with these rights from its first moment on."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.unlink(missing_ok=True)  # what a crash left behind
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb")


def put_in_place(path: Path) -> None:
    """Let the file written beside `path` take its place, also after a crash."""
    beside(path).replace(path)
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync(handle: BinaryIO) -> None:
    """Make sure that what was written is on the disk."""
    handle.flush()
    os.fsync(handle.fileno())
