"""The control plane's copy of one sale's books: an append-only file, for when Redis loses its own.

Every line carries a checksum. A crash in the middle of a write leaves a torn last line, which is
cut off at the next start; damage anywhere else is told (`damaged`), since the copy can then not be
sure to be whole. Lines are `<crc32> <kind> <payload>`: `b` the format and the books tag, `s` the
state of the books as JSON (the last one counts), `e` an entry of the permit log.

Nothing here waits for anything but the disk; the keeper calls it from a worker thread.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import quote

from controlplane.ledger.books import Entry, How
from controlplane.ledger.disk import beside, create, put_in_place, sync
from controlplane.ledger.errors import CopyDamagedError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from pathlib import Path

FORMAT = "sluice-books 1"
LINE_BYTES = 1024 * 1024  # the state names the proxies, an entry one user
NAME_BYTES = 120


@dataclass(frozen=True, slots=True)
class CopyState:
    """What the copy knows of the books beside the log."""

    incarnation: int = 0
    generation: int = 0
    limit: int = 0
    seq: int = 0
    run: str = ""
    override: int | None = None
    suspended: bool = False
    closed: str = ""
    expire_at_ms: int = 0
    #: Whether something is missing from this copy for good, until an operator has decided.
    damaged: bool = False
    #: Proxies (gateway, space, node id) that were connected when this was written, or waited for.
    proxies: tuple[str, ...] = ()


class BooksCopy:
    """One sale's copy. Not thread-safe: one keeper owns it, and calls it once at a time."""

    def __init__(self, path: Path, tag: str) -> None:
        self.path = path
        self.tag = tag
        self._handle: BinaryIO | None = None
        self._clear()

    @property
    def heading(self) -> bytes:
        """The first line: the format, and whose copy this is."""
        return f"{FORMAT} {self.tag}".encode("utf-8", "surrogateescape")

    def _clear(self) -> None:
        self.state = CopyState()
        #: Entries of the log held here, from index 0 on.
        self.entries = 0
        #: How many of them are permits that the books had lost and were taught again.
        self.healed = 0
        #: Whether there is a record of these books at all.
        self.exists = False
        #: Whether something was lost that had been on the disk.
        self.damaged = False
        self._size = 0

    def load(self) -> None:
        """Read what is on disk and cut off a torn end; no file means no record."""
        try:
            with self.path.open("rb") as handle:
                self._scan(handle)
        except FileNotFoundError:
            return
        except OSError as error:
            raise CopyDamagedError(f"{self.path} cannot be read: {error.strerror}") from error
        self.exists = True

    def append(self, entries: Iterable[Entry], state: CopyState | None = None) -> None:
        """Add entries, and the state if it changed; on disk when this returns."""
        fresh = list(entries)
        lines = list(map(entry_line, fresh))
        if state is not None:
            lines.append(state_line(state))
        if not lines:
            return
        block = b"".join(lines)
        handle = self._open()
        try:
            handle.write(block)
            sync(handle)
        except OSError:
            self.close()  # what part of it arrived is cut off before the next write
            raise
        self._size += len(block)
        self.entries += len(fresh)
        self.healed += count_healed(fresh)
        self.state = state or self.state

    def begin(self) -> Rewrite:
        """Start a new copy beside this one, which stays in force until `Rewrite.commit`."""
        return Rewrite(self)

    def set_aside(self) -> None:
        """Move a file that cannot be used out of the way; the copy counts as damaged."""
        self.close()
        self.path.replace(self.path.with_name(self.path.name + ".bad"))
        self._clear()
        self.exists = self.damaged = True

    def permits(self) -> Iterator[tuple[int, str]]:
        """Give the permits that stand at the end of the log, from the file, not from memory."""
        later: dict[str, int | None] = {}
        for entry in self._read():
            if entry.how is How.FORGOTTEN:
                later[entry.user] = None
            elif entry.user in later:
                later[entry.user] = entry.number
        for entry in self._read():
            if entry.how is not How.FORGOTTEN and entry.user not in later:
                yield entry.number, entry.user
        for user, number in later.items():
            if number is not None:
                yield number, user

    def close(self) -> None:
        """Let go of the file; the next append opens it again."""
        if self._handle is not None:
            handle, self._handle = self._handle, None
            try:
                handle.close()
            except OSError:
                return  # its buffer could not be written; `_open` cuts the file to what is known

    def remove(self) -> None:
        """Forget the books for good: their time is over."""
        self.close()
        self.path.unlink(missing_ok=True)
        self._clear()

    def adopt(self, rewrite: Rewrite) -> None:
        """Take over what a rewrite put in place."""
        self.close()
        self.state, self.entries, self.healed = rewrite.state, rewrite.entries, rewrite.healed
        self._size = rewrite.size
        self.exists, self.damaged = True, False

    def _open(self) -> BinaryIO:
        if self._handle is None:
            handle = self.path.open("r+b")
            handle.truncate(self._size)
            handle.seek(self._size)
            self._handle = handle
        return self._handle

    def _scan(self, handle: BinaryIO) -> None:
        highest = 0
        for kind, payload, size in scan(handle):
            if kind == b"b" and payload != self.heading:
                raise CopyDamagedError(f"{self.path} is not a copy of the books of {self.tag}")
            if kind == b"s":
                self.state = parse_state(payload)
            elif kind == b"e":
                entry = parse_entry(payload)
                self.entries += 1
                self.healed += count_healed((entry,))
                highest = max(highest, entry.number)
            self._size += size
        self.state = dataclasses.replace(self.state, seq=max(self.state.seq, highest))
        # Only the last line can be torn by a crash; more than that is damage.
        handle.seek(self._size)
        rest = handle.read(LINE_BYTES)
        self.damaged = rest.count(b"\n") > 1 or not self.state.incarnation

    def _read(self) -> Iterator[Entry]:
        with self.path.open("rb") as handle:
            left = self._size
            for kind, payload, size in scan(handle):
                left -= size
                if kind == b"e":
                    yield parse_entry(payload)
                if left <= 0:
                    return


class Rewrite:
    """A new copy in the making: after a deletion or a reopening the log is read from the start."""

    def __init__(self, copy: BooksCopy) -> None:
        self._copy = copy
        # Opened by the first write, so that whoever holds this can always close it.
        self._handle: BinaryIO | None = None
        self.state = copy.state
        self.entries = 0
        self.healed = 0
        self.size = 0
        #: Whether it was put in place, or given up.
        self.done = False

    def add(self, entries: Iterable[Entry]) -> None:
        """Add entries; they count once `commit` has put the copy in its place."""
        fresh = list(entries)
        self.entries += len(fresh)
        self.healed += count_healed(fresh)
        self._write(b"".join(map(entry_line, fresh)))

    def commit(self, state: CopyState) -> None:
        """Put the new copy in the place of the old one, in one step."""
        self.state = state
        handle = self._write(state_line(state))
        sync(handle)
        handle.close()
        put_in_place(self._copy.path)
        self.done = True
        self._copy.adopt(self)

    def abandon(self) -> None:
        """Drop what was written; the old copy stays in force."""
        self.done = True
        if self._handle is not None:
            self._handle.close()
        beside(self._copy.path).unlink(missing_ok=True)

    def _write(self, block: bytes) -> BinaryIO:
        if self._handle is None:
            self._handle = create(beside(self._copy.path))
            block = line(b"b", self._copy.heading) + block
        self._handle.write(block)
        self.size += len(block)
        return self._handle


def path_for(folder: Path, tag: str) -> Path:
    """Name the copy of these books; the tag may hold any text, a file name may not."""
    digest = hashlib.sha256(tag.encode("utf-8", "surrogateescape")).hexdigest()[:12]
    readable = quote(tag, safe="", errors="surrogateescape").replace("%2F", ".")
    return folder / f"{readable[:NAME_BYTES]}-{digest}.books"


def count_healed(entries: Iterable[Entry]) -> int:
    """Count the permits that the books had lost."""
    return sum(entry.how is How.HEALED for entry in entries)


def line(kind: bytes, payload: bytes) -> bytes:
    """Make one line of a copy."""
    body = kind + b" " + payload
    return b"%08x %s\n" % (zlib.crc32(body), body)


def entry_line(entry: Entry) -> bytes:
    """Make the line of an entry."""
    return line(b"e", str(entry).encode("utf-8", "surrogateescape"))


def parse_entry(payload: bytes) -> Entry:
    """Read the line of an entry."""
    return Entry.parse(payload.decode("utf-8", "surrogateescape"))


def state_line(state: CopyState) -> bytes:
    """Make the line of a state."""
    return line(b"s", json.dumps(dataclasses.asdict(state)).encode())


def parse_state(payload: bytes) -> CopyState:
    """Read the line of a state; fields of a later version are left out."""
    known = {field.name for field in dataclasses.fields(CopyState)}
    fields: dict[str, Any] = {k: v for k, v in json.loads(payload).items() if k in known}
    return CopyState(**{**fields, "proxies": tuple(fields.get("proxies", ()))})


def scan(handle: BinaryIO) -> Iterator[tuple[bytes, bytes, int]]:
    """Give kind, payload and size of each good line, up to the first that is not."""
    while block := handle.readline(LINE_BYTES):
        checksum, _, body = block[:-1].partition(b" ")
        if not block.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(body):
            return
        kind, _, payload = body.partition(b" ")
        yield kind, payload, len(block)


def tidy(folder: Path) -> None:
    """Remove what a crash left of unfinished copies; only while no keeper writes one."""
    if folder.is_dir():
        for path in folder.glob("*.new"):
            path.unlink(missing_ok=True)


def prune(folder: Path, now_ms: int, kept: Collection[str], retention_ms: int) -> None:
    """Remove copies of books whose time is over.

    Books without an end (of a former epoch, or of a sale that was deleted) are over some time after
    nobody kept them any more, as their keys in Redis are. That time is the file's own: it is
    renewed here for the books `kept`, named by their tags.
    """
    if not folder.is_dir():
        return
    in_use = {path_for(folder, tag) for tag in kept}
    for path in folder.glob("*.books"):
        if path in in_use:
            os.utime(path, (now_ms / 1000, now_ms / 1000))
            continue
        over = expires(path) or int(path.stat().st_mtime * 1000) + retention_ms
        if over < now_ms:
            path.unlink(missing_ok=True)


def expires(path: Path) -> int:
    """Give the time (unix ms) after which these books are void; 0 when never or unknown."""
    with path.open("rb") as handle:
        states = [payload for kind, payload, _ in scan(handle) if kind == b"s"]
    return parse_state(states[-1]).expire_at_ms if states else 0
