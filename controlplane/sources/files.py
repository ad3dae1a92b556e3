"""Finding and reading manifest files, whatever the folder holds.

Follows links, since a mounted ConfigMap is nothing but links (`shop.yaml -> ..data/shop.yaml`,
with `..data` swapped at every change), and visits each folder once, since links can form rings.
Opens nothing but regular files: a pipe named x.yaml must not hang the control plane.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from controlplane.model.problems import Problem
from controlplane.sources.documents import MAX_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from controlplane.model.problems import Severity

UNREADABLE: Final = "Unreadable"
SUFFIXES: Final = (".yaml", ".yml")
MAX_FILES: Final = 10_000
MAX_FOLDERS: Final = 10_000
_SETTLED_NS: Final = 2_000_000_000
"""A file younger than this may change again without its times showing it."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """What tells a changed file from an unchanged one without reading it."""

    device: int
    inode: int
    size: int
    modified_ns: int
    changed_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> Stamp:
        """Take the stamp of a file."""
        return cls(
            status.st_dev,
            status.st_ino,
            status.st_size,
            status.st_mtime_ns,
            status.st_ctime_ns,
        )

    def is_settled(self, now_ns: int) -> bool:
        """Whether the same stamp later means the same content."""
        return now_ns - max(self.modified_ns, self.changed_ns) > _SETTLED_NS


@dataclass(frozen=True, slots=True)
class Found:
    """A file; without a stamp, a file or folder that cannot be read, and why."""

    path: Path
    stamp: Stamp | None
    problem: Problem | None = None

    @property
    def is_blocked(self) -> bool:
        """Whether there may be more behind it than can be seen now."""
        return self.problem is not None and self.problem.reason == UNREADABLE


class MissingError(Exception):
    """The folder or file to read is not there; what was read before says more than nothing."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(str(problem))


def find(root: Path) -> tuple[Found, ...]:
    """Every manifest file under a folder, sorted by path; `MissingError` without the folder."""
    try:
        status = root.stat()
        if not stat.S_ISDIR(status.st_mode):
            return (_found(root),)
        os.scandir(root).close()
    except OSError as error:
        raise MissingError(cannot_read(root, error)) from None
    found = sorted(_walk(root, (status.st_dev, status.st_ino)), key=lambda item: item.path)
    if len(found) > MAX_FILES:
        message = f"holds {len(found):,} manifest files, more than {MAX_FILES:,}: rest not read"
        return (*found[:MAX_FILES], _remark(root, message, "TooMany"))
    if not found:
        return (_remark(root, f"holds no manifests ({', '.join(SUFFIXES)})", "Empty", "warning"),)
    return tuple(found)


def read(path: Path) -> bytes:
    """Read a regular file; at most one byte more than is allowed, so that too many shows."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            message = "not a regular file"
            raise OSError(message)
        return file.read(MAX_BYTES + 1)


def cannot_read(path: Path, error: OSError) -> Problem:
    """Tell why a file or folder cannot be read."""
    why = error.strerror or str(error)
    return Problem(None, f"cannot be read: {why}", reason=UNREADABLE, file=str(path))


def _remark(root: Path, message: str, reason: str, severity: Severity = "error") -> Found:
    problem = Problem(None, message, reason=reason, file=str(root), severity=severity)
    return Found(root, None, problem)


def _found(path: Path) -> Found:
    try:
        return Found(path, Stamp.of(path.stat()))
    except OSError as error:
        return Found(path, None, cannot_read(path, error))


def _walk(root: Path, identity: tuple[int, int]) -> Iterator[Found]:
    pending = [root]
    seen = {identity}
    while pending and len(seen) <= MAX_FOLDERS:
        folder = pending.pop()
        try:
            with os.scandir(folder) as entries:
                paths = sorted(Path(item.path) for item in entries if item.name[0] != ".")
        except FileNotFoundError:
            continue  # gone since it was listed
        except OSError as error:
            yield Found(folder, None, cannot_read(folder, error))
            continue
        for path in paths:
            if _is_new_folder(path, seen):
                pending.append(path)
            elif path.suffix in SUFFIXES and not path.is_dir():
                yield _found(path)


def _is_new_folder(path: Path, seen: set[tuple[int, int]]) -> bool:
    try:
        status = path.stat()
    except OSError:
        return False  # a link to nothing, or gone since it was listed: told when it is read
    here = (status.st_dev, status.st_ino)
    if not stat.S_ISDIR(status.st_mode) or here in seen:
        return False
    seen.add(here)
    return True
