"""From files to an inventory, keeping what was good when a file goes bad.

Pure but for `load` and `Reader.read`: a file's state follows from its content and its state
before, and the inventory from the states of all files. So reading a folder again and again ends
where reading it once does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from controlplane.model.inventory import Inventory
from controlplane.model.kinds import KINDS
from controlplane.model.parsing import identify, parse
from controlplane.model.problems import Invalid, Problem
from controlplane.sources.documents import (
    Document,
    UnreadableError,
    describe,
    read_documents,
)
from controlplane.sources.files import MissingError, cannot_read, find, read

if TYPE_CHECKING:
    from collections.abc import Iterator

    from controlplane.model.meta import ObjectRef, Resource

_LIST: Final = "List"
STAYS: Final = " (the last good version stays in force)"


@dataclass(frozen=True, slots=True)
class Update:
    """What a source knows: all good objects, and all that is wrong with the others."""

    inventory: Inventory
    problems: tuple[Problem, ...] = ()
    synced: bool = True
    """False until the source could be read once; nothing may be served from it before."""

    def differs(self, other: Update) -> bool:
        """Whether anything changed; objects that stayed are the very same ones."""
        if self.problems != other.problems or self.synced != other.synced:
            return True
        ours, theirs = self.inventory.objects, other.inventory.objects
        return len(ours) != len(theirs) or any(
            one is not two for one, two in zip(ours, theirs, strict=True)
        )


@dataclass(frozen=True, slots=True)
class Entry:
    """A good object, and where it stands."""

    resource: Resource
    line: int


@dataclass(frozen=True, slots=True)
class FileState:
    """What one file gives."""

    file: str
    digest: bytes = b""
    entries: tuple[Entry, ...] = ()
    problems: tuple[Problem, ...] = ()


@dataclass(slots=True)
class _Digest:
    """Collects what the documents of one file give."""

    file: str
    before: Mapping[ObjectRef, Entry]
    good: dict[ObjectRef, Entry] = field(default_factory=dict)
    broken: set[ObjectRef | None] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)

    def take(self, document: Document) -> None:
        """Read one document, which holds one object."""
        ref = identify(document.value)
        problems = [replace(describe(item, self.file), ref=ref) for item in document.remarks]
        resource: Resource | None = None
        try:
            resource = parse(document.value, source=document.location)
        except Invalid as error:
            problems = [*error.problems] if error.skipped else [*problems, *error.problems]
        wrong = {problem.line for problem in problems if problem.is_error}
        problems = [item for item in problems if item.is_error or item.line not in wrong]
        self.problems.extend(problems)
        if wrong:
            self.broken.add(ref)
        elif resource is not None:
            self._add(resource, document.location.line())

    def _add(self, resource: Resource, line: int) -> None:
        ref = resource.ref
        first = self.good.get(ref)
        if first is not None:
            self.problems.append(_duplicate(ref, self.file, line, f"line {first.line}"))
            return
        before = self.before.get(ref)
        if before is not None and before.resource == resource:
            resource = before.resource  # the very same object, so that "changed" is `is not`
        self.good[ref] = Entry(resource, line)

    def kept(self) -> Iterator[ObjectRef]:
        """Objects of the last good text that must not go because the new text is broken.

        A broken document that names an object which was there before stands for that one. Any
        other (a misspelled kind, a changed name) may stand for any object that is gone.
        """
        unclear = any(ref is None or ref not in self.before for ref in self.broken)
        for ref in self.before:
            if ref not in self.good and (unclear or ref in self.broken):
                yield ref


def digest_file(file: str, content: bytes, before: FileState | None = None) -> FileState:
    """Tell what a file gives, from its content and what it gave before."""
    digest = hashlib.sha256(content).digest()
    if before is not None and before.digest == digest:
        return before
    entries = {entry.resource.ref: entry for entry in before.entries} if before else {}
    collected = _Digest(file, entries)
    try:
        for document in read_documents(content, file):
            for part in unroll(document, file):
                collected.take(part)
    except UnreadableError as error:
        return FileState(file, digest, tuple(entries.values()), (_stays(error.problem, entries),))
    kept = {ref: entries[ref] for ref in collected.kept()}
    problems = tuple(
        _stays(problem, {problem.ref} & kept.keys() if problem.ref in entries else kept)
        if problem.is_error
        else problem
        for problem in collected.problems
    )
    return FileState(file, digest, (*collected.good.values(), *kept.values()), problems)


def unreadable_file(problem: Problem, before: FileState | None) -> FileState:
    """Keep what a file gave while it cannot be read."""
    entries = before.entries if before is not None else ()
    return FileState(problem.file, b"", entries, (_stays(problem, entries),))


def _stays(problem: Problem, kept: Any) -> Problem:
    return replace(problem, message=problem.message + STAYS) if kept else problem


def unroll(document: Document, file: str) -> Iterator[Document]:
    """Give the objects of a `kind: List` one by one; any other document as it is."""
    value = document.value
    if not isinstance(value, Mapping) or not _is_list(value):
        yield document
        return
    for remark in document.remarks:
        if remark.path[:1] != ("items",) or len(remark.path) == 1:
            raise UnreadableError(describe(remark, file))
    items = value.get("items")
    if items is not None and not isinstance(items, list):
        problem = Problem(None, "must be a list", field="items", file=file)
        raise UnreadableError(replace(problem, line=document.location.line(("items",))))
    for index, item in enumerate(items or ()):
        remarks = tuple(
            replace(remark, path=remark.path[2:])
            for remark in document.remarks
            if remark.path[1] == index
        )
        location = document.location.inside(("items", index))
        yield from unroll(Document(_typed(item, value), location, remarks), file)


def _is_list(value: Mapping[str, Any]) -> bool:
    kind = value.get("kind")
    if not isinstance(kind, str) or not kind.endswith(_LIST):
        return False
    return kind == _LIST or kind.removesuffix(_LIST) in KINDS


def _typed(item: Any, outer: Mapping[str, Any]) -> Any:
    """Items of a typed list (`FlashSaleList`) come from an API server without their kind."""
    if outer["kind"] == _LIST or not isinstance(item, Mapping):
        return item
    kind = outer["kind"].removesuffix(_LIST)
    return {"apiVersion": outer.get("apiVersion"), "kind": kind, **item}


def _duplicate(ref: ObjectRef, file: str, line: int, first: str) -> Problem:
    message = f"stands in {first} already, which counts: remove one of them"
    return Problem(ref, message, reason="Duplicate", file=file, line=line)


def assemble(states: Iterable[FileState], more: Iterable[Problem] = ()) -> Update:
    """Join what all files give; of two files with one object, the first by name counts."""
    objects: dict[ObjectRef, Resource] = {}
    places: dict[ObjectRef, str] = {}
    problems = list(more)
    for state in sorted(states, key=lambda state: state.file):
        problems.extend(state.problems)
        for entry in state.entries:
            ref = entry.resource.ref
            if ref in objects:
                problems.append(_duplicate(ref, state.file, entry.line, places[ref]))
                continue
            objects[ref] = entry.resource
            places[ref] = f"{state.file}:{entry.line}"
    problems.sort(key=lambda problem: (problem.file, problem.line))
    return Update(Inventory.build(objects.values()), tuple(problems))


def load(paths: Iterable[str | Path]) -> Update:
    """Read files and folders once. Blocks; what cannot be read is a problem, not an exception."""
    states: dict[str, FileState] = {}
    problems: list[Problem] = []
    seen: set[Path] = set()
    for path in paths:
        try:
            found = find(Path(path))
        except MissingError as error:
            problems.append(error.problem)
            continue
        for item in found:
            if item.problem is not None:
                problems.append(item.problem)
            elif (real := item.path.resolve()) not in seen:
                seen.add(real)
                states[str(item.path)] = read_file(item.path, None)
    return assemble(states.values(), problems)


def read_file(path: Path, before: FileState | None) -> FileState:
    """Read one file and tell what it gives."""
    try:
        content = read(path)
    except OSError as error:
        return unreadable_file(cannot_read(path, error), before)
    return digest_file(str(path), content, before)
