"""YAML text to documents that know the line of every field.

Built from parser events rather than by PyYAML's constructors, for three things these cannot do:
lines of single fields, duplicate keys as errors, and a bound on everything that the text can
make grow (depth, size, and aliases that multiply).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import yaml

from controlplane.model.problems import Lines, Location, Problem
from controlplane.model.wording import show_path
from controlplane.sources.scalars import is_ambiguous, read_plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from controlplane.model.problems import Severity, Step

MAX_BYTES: Final = 4 * 1024 * 1024
MAX_NODES: Final = 250_000
"""Values in one file, with aliases counted as often as they are used."""
MAX_DEPTH: Final = 64

_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG: Final = "tag:yaml.org,2002:"
_PLAIN_TAGS: Final[dict[str, tuple[type, ...]]] = {
    f"{_TAG}int": (int,),
    f"{_TAG}float": (int, float),
    f"{_TAG}bool": (bool,),
    f"{_TAG}null": (type(None),),
}
_COLLECTION_TAGS: Final = frozenset({"!", f"{_TAG}map", f"{_TAG}seq"})
_MERGE: Final = "<<"
AMBIGUOUS: Final = (
    "is text here but a boolean or another number to kubectl: put it in quotes, or write "
    "true, false or a plain number"
)


@dataclass(frozen=True, slots=True)
class Remark:
    """Something about a place in a document that its value does not show."""

    path: tuple[Step, ...]
    line: int
    message: str
    severity: Severity = "error"


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a file: plain values, their lines, and what was odd about the text."""

    value: Any
    location: Location
    remarks: tuple[Remark, ...] = ()


class UnreadableError(Exception):
    """The file as a whole makes no sense; nothing in it can be told apart."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(str(problem))


@dataclass(frozen=True, slots=True)
class _Node:
    value: Any
    lines: Lines
    size: int


@dataclass(slots=True)
class _Open:
    """A mapping or list whose end has not been read yet."""

    line: int
    anchor: str | None
    mapping: dict[str, Any] | None
    items: list[Any]
    lines: dict[Step, Lines] = field(default_factory=dict)
    merged: list[_Node] = field(default_factory=list)
    key: str | None = None
    key_line: int = 0
    is_merge: bool = False
    size: int = 1

    @property
    def wants_key(self) -> bool:
        return self.mapping is not None and self.key is None

    @property
    def step(self) -> Step:
        return len(self.items) if self.mapping is None else (self.key or "")


def read_documents(content: bytes, file: str) -> tuple[Document, ...]:
    """Read every document that is not empty; `UnreadableError` when the file cannot be read."""
    if len(content) > MAX_BYTES:
        message = f"is {len(content):,} bytes long, more than {MAX_BYTES:,}: split the file"
        raise UnreadableError(Problem(None, message, reason="TooLarge", file=file))
    text = _decode(content, file)
    try:
        return tuple(_Reader(file).documents(text))
    except yaml.YAMLError as error:
        raise UnreadableError(_syntax_problem(error, text, file)) from None


def _decode(content: bytes, file: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UnreadableError(
            Problem(None, "is not UTF-8 text", reason="Unreadable", file=file, line=line)
        ) from None


def _syntax_problem(error: yaml.YAMLError, text: str, file: str) -> Problem:
    line, what = 0, getattr(error, "reason", None) or "cannot be read"
    if isinstance(error, yaml.MarkedYAMLError):
        marks = [mark for mark in (error.problem_mark, error.context_mark) if mark is not None]
        line = marks[0].line + 1 if marks else 0
        what = error.problem or error.context or what
    lines = text.splitlines()
    here = lines[line - 1] if 0 < line <= len(lines) else ""
    if here[: len(here) - len(here.lstrip())].count("\t"):
        what = f"{what} (a tab cannot indent YAML: use spaces)"
    return Problem(None, f"is not valid YAML: {what}", reason="Unreadable", file=file, line=line)


class _Reader:
    """Builds documents from events; one instance reads one file."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._nodes = 0
        self._stack: list[_Open] = []
        self._anchors: dict[str, _Node] = {}
        self._remarks: list[Remark] = []
        self._root: _Node | None = None

    def documents(self, text: str) -> Iterator[Document]:
        for event in yaml.parse(text, Loader=_LOADER):
            if isinstance(event, yaml.DocumentStartEvent):
                self._anchors, self._remarks, self._root = {}, [], None
            elif isinstance(event, yaml.DocumentEndEvent):
                root = self._root
                if root is not None and root.value is not None:
                    location = Location(self._file, root.lines)
                    yield Document(root.value, location, tuple(self._remarks))
            else:
                self._take(event)

    def _take(self, event: yaml.Event) -> None:
        line = event.start_mark.line + 1 if event.start_mark is not None else 0
        if isinstance(event, yaml.ScalarEvent):
            self._scalar(event, line)
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event, line)
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            self._start(event, line)
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            self._end()

    def _scalar(self, event: yaml.ScalarEvent, line: int) -> None:
        parent = self._stack[-1] if self._stack else None
        if parent is not None and parent.wants_key:
            self._key(parent, event, line)
            return
        self._count(1, line)
        self._add(_Node(self._value(event, line), Lines(line), 1), event.anchor)

    def _key(self, parent: _Open, event: yaml.ScalarEvent, line: int) -> None:
        parent.key, parent.key_line = event.value, line
        parent.is_merge = event.value == _MERGE and not event.style
        if event.anchor is not None:
            self._anchors[event.anchor] = _Node(event.value, Lines(line), 1)
        if event.value in parent.lines and parent.mapping is not None:
            first = parent.lines[event.value].line
            message = f"is given twice, in lines {first} and {line}: remove one"
            self._remarks.append(Remark(self._path(), line, message))

    def _value(self, event: yaml.ScalarEvent, line: int) -> Any:
        text: str = event.value
        tag: str = event.tag or "!"
        if event.tag is None and event.implicit[0]:
            if is_ambiguous(text):
                self._remarks.append(Remark(self._path(), line, AMBIGUOUS, "warning"))
            return read_plain(text)
        if tag in {"!", f"{_TAG}str"}:
            return text
        value, wanted = read_plain(text), _PLAIN_TAGS.get(tag)
        if wanted is not None and isinstance(value, wanted):
            return value
        self._refuse_tag(tag, line)
        return text

    def _alias(self, event: yaml.AliasEvent, line: int) -> None:
        node = self._anchors.get(event.anchor or "")
        if node is None:
            raise self._unreadable(line, "uses an alias (*) that has no anchor (&) before it")
        parent = self._stack[-1] if self._stack else None
        if parent is not None and parent.wants_key:
            raise self._unreadable(line, "uses an alias (*) as a key: write the key out")
        self._count(node.size, line)
        self._add(node, None)

    def _start(self, event: yaml.CollectionStartEvent, line: int) -> None:
        parent = self._stack[-1] if self._stack else None
        if parent is not None and parent.wants_key:
            message = "has a key that is not text; is this a template that was not filled in?"
            raise self._unreadable(line, message)
        if len(self._stack) >= MAX_DEPTH:
            raise self._unreadable(line, f"is nested more than {MAX_DEPTH} levels deep")
        self._count(1, line)
        if event.tag is not None and event.tag not in _COLLECTION_TAGS:
            self._refuse_tag(event.tag, line)
        mapping: dict[str, Any] | None = {} if isinstance(event, yaml.MappingStartEvent) else None
        self._stack.append(_Open(line, event.anchor, mapping, []))

    def _end(self) -> None:
        done = self._stack.pop()
        if done.mapping is None:
            node = _Node(done.items, Lines(done.line, done.lines), done.size)
        else:
            for source in done.merged:
                _merge_into(done, source)
            node = _Node(done.mapping, Lines(done.line, done.lines), done.size)
        self._add(node, done.anchor)

    def _add(self, node: _Node, anchor: str | None) -> None:
        if anchor is not None:
            self._anchors[anchor] = node
        if not self._stack:
            self._root = node
            return
        parent = self._stack[-1]
        parent.size += node.size
        if parent.mapping is None:
            parent.lines[len(parent.items)] = node.lines
            parent.items.append(node.value)
            return
        path = self._path()
        key, parent.key = parent.key or "", None
        if parent.is_merge:
            parent.is_merge = False
            parent.merged.extend(self._sources(node, path))
        elif key not in parent.mapping:
            parent.mapping[key] = node.value
            parent.lines[key] = Lines(parent.key_line, node.lines.inner)

    def _sources(self, node: _Node, path: tuple[Step, ...]) -> Iterator[_Node]:
        """What a merge key (`<<`) brings in: a mapping, or several."""
        if isinstance(node.value, dict):
            yield node
        elif isinstance(node.value, list) and all(isinstance(item, dict) for item in node.value):
            for index, item in enumerate(node.value):
                yield _Node(item, node.lines.inner[index], 1)
        else:
            message = "must name a mapping to merge, such as <<: *defaults"
            self._remarks.append(Remark(path, node.lines.line, message))

    def _path(self) -> tuple[Step, ...]:
        """Where the value that comes next will stand."""
        return tuple(frame.step for frame in self._stack)

    def _refuse_tag(self, tag: str, line: int) -> None:
        shown = tag.replace(_TAG, "!!")
        self._remarks.append(Remark(self._path(), line, f"the tag {shown} does not fit: remove it"))

    def _count(self, size: int, line: int) -> None:
        self._nodes += size
        if self._nodes > MAX_NODES:
            message = f"holds more than {MAX_NODES:,} values, aliases written out: split the file"
            raise self._unreadable(line, message)

    def _unreadable(self, line: int, message: str) -> UnreadableError:
        problem = Problem(None, message, reason="Unreadable", file=self._file, line=line)
        return UnreadableError(problem)


def _merge_into(target: _Open, source: _Node) -> None:
    """What stands in the mapping itself wins, then what was merged first."""
    for key, value in source.value.items():
        if target.mapping is not None and key not in target.mapping:
            target.mapping[key] = value
            target.lines[key] = source.lines.inner.get(key, source.lines)


def describe(remark: Remark, file: str) -> Problem:
    """Tell a remark as a problem of the whole file."""
    return Problem(
        None,
        remark.message,
        field=show_path(remark.path),
        file=file,
        line=remark.line,
        severity=remark.severity,
    )
