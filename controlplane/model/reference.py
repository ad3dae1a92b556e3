"""The pages in docs/resources, written from the models: `python -m controlplane.model.reference`.

A table kept by hand is wrong soon after; these cannot be, and a test fails when they are stale.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic_core import PydanticUndefined

from controlplane.model.durations import format_duration
from controlplane.model.kinds import KINDS
from controlplane.model.meta import ObjectMeta, Resource
from controlplane.model.reference_answers import quota_answers, sale_answers
from controlplane.model.reference_text import INTRODUCTIONS
from controlplane.model.scalars import MESSAGES
from controlplane.model.shapes import Shape, fields_of, shape_of_field
from controlplane.model.wording import describe_bounds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

FOLDER: Final = "docs/resources"
_HEAD: Final = "| field | type | default | bounds | meaning |\n|---|---|---|---|---|"
_TYPES: Final = {
    "text": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "`true` or `false`",
    "duration": "duration",
    "time": "time",
    "bytes": "base64",
    "any": "any",
}
_ANSWERS: Final[Mapping[str, Callable[[], str]]] = {
    "FlashSale": sale_answers,
    "QuotaPolicy": quota_answers,
}
_PREFERRED: Final = ("FlashSale", "QuotaPolicy", "EdgeConfig")


@dataclass(frozen=True, slots=True)
class _Section:
    path: str
    model: type[BaseModel]


def pages() -> dict[str, str]:
    """Every page by file name."""
    kinds = [*_PREFERRED, *(kind for kind in KINDS if kind not in _PREFERRED)]
    written = {f"{kind.lower()}.md": _page(KINDS[kind]) for kind in kinds}
    return {"README.md": _index(kinds), **written}


def _index(kinds: list[str]) -> str:
    rows = [f"| [{kind}]({kind.lower()}.md) | {_first_line(KINDS[kind])} |" for kind in kinds]
    return "\n".join(
        [
            "# Resources",
            "",
            INTRODUCTIONS["index"].strip(),
            "",
            "| kind | what it is |\n|---|---|",
            *rows,
            "",
            _GENERATED,
            "",
        ]
    )


_GENERATED: Final = (
    "<!-- Written by `python -m controlplane.model.reference`: edit the models instead. -->"
)


def _page(kind: type[Resource]) -> str:
    parts = [f"# {kind.__name__}", _doc(kind)]
    scope = "" if kind.NAMESPACED else " It has no namespace."
    versions = " or ".join(f"`{version}`" for version in kind.API_VERSIONS)
    parts.append(f"`apiVersion`: {versions}.{scope}")
    parts.append(INTRODUCTIONS.get(kind.__name__, "").strip())
    if kind.__name__ in _ANSWERS:
        parts.append(_ANSWERS[kind.__name__]())
    sections = list(_sections(kind))
    for section in sections:
        parts.append(f"## {section.path}")
        parts.append(_doc(section.model))
        parts.append(_table(section.model, sections))
    unsupported = [f"`{path}`" for path in _unsupported(kind, "", set())]
    if unsupported:
        parts.append("## Not acted on")
        told = "These are legal, and reported on the object when they are set:"
        parts.append(f"{told} {', '.join(unsupported)}.")
    parts.append(_GENERATED)
    return "\n\n".join(part for part in parts if part) + "\n"


def _doc(model: type[BaseModel]) -> str:
    return " ".join((model.__doc__ or "").split())


def _first_line(model: type[BaseModel]) -> str:
    return (model.__doc__ or "").strip().splitlines()[0]


def _sections(kind: type[Resource]) -> list[_Section]:
    """The models that a kind is made of, depth first, each once."""
    paths: dict[type[BaseModel], list[str]] = {}
    top = [name for name, info in fields_of(kind).items() if not _is_common(name, info)]
    if "spec" not in top:
        paths[kind] = [kind.__name__]
    for name in top:
        _collect(shape_of_field(fields_of(kind)[name]), name, paths)
    shared = tuple(f"{found[0]}." for found in paths.values() if len(found) > 1)
    return [_Section(_title(model, found, shared), model) for model, found in paths.items()]


def _title(model: type[BaseModel], found: list[str], shared: tuple[str, ...]) -> str:
    """The place of a model; its name when it stands, or is part of one that stands, in several."""
    is_shared = len(found) > 1 or f"{found[0]}.".startswith(shared)
    return model.__name__ if is_shared else f"`{found[0]}`"


def _is_common(name: str, info: FieldInfo) -> bool:
    return name in {"apiVersion", "kind"} or info.annotation is ObjectMeta


def _collect(shape: Shape, path: str, paths: dict[type[BaseModel], list[str]]) -> None:
    if shape.item is not None:
        mark = "[]" if shape.sort == "list" else ""
        _collect(shape.item, path + mark, paths)
        return
    if shape.model is None:
        return
    if shape.model in paths:
        paths[shape.model].append(path)
        return
    paths[shape.model] = [path]
    for name, info in fields_of(shape.model).items():
        _collect(shape_of_field(info), f"{path}.{name}", paths)


def _table(model: type[BaseModel], sections: list[_Section]) -> str:
    rows = []
    for name, info in fields_of(model).items():
        shape = shape_of_field(info)
        if not shape.supported or (issubclass(model, Resource) and _is_common(name, info)):
            continue
        cells = (
            f"`{name}`",
            _type(shape, sections),
            _default(info, shape),
            "; ".join(_limits(shape)),
            info.description or "",
        )
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join([_HEAD, *rows]) if rows else "It has no fields: write `{}`."


def _type(shape: Shape, sections: list[_Section]) -> str:
    if shape.sort == "list" and shape.item is not None:
        return f"list of {_type(shape.item, sections)}"
    if shape.sort == "map" and shape.item is not None:
        return f"map to {_type(shape.item, sections)}"
    if shape.sort == "choice":
        return " or ".join(f"`{choice}`" for choice in shape.choices)
    if shape.model is not None:
        title = next(item.path for item in sections if item.model is shape.model)
        return f"[{title.strip('`')}](#{_anchor(title)})"
    return _TYPES[shape.sort]


def _anchor(title: str) -> str:
    return "".join(sign for sign in title.lower() if sign.isalnum() or sign in "-_ ")


def _default(info: FieldInfo, shape: Shape) -> str:
    if info.is_required():
        return "required"
    value = info.default
    if value is PydanticUndefined or value is None or value in ("", ()):
        return ""
    if isinstance(value, tuple) or shape.model is not None:
        return ""
    return f"`{_literal(value)}`"


def _literal(value: Any) -> str:
    if isinstance(value, timedelta):
        return format_duration(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)


def _limits(shape: Shape) -> Iterator[str]:
    bounds = shape.bounds
    if shape.sort in {"integer", "number", "duration"}:
        yield describe_bounds(bounds)
    unit = {"text": "characters", "list": "entries", "map": "entries", "bytes": "bytes"}
    if shape.sort in unit and bounds.max_length is not None:
        least = bounds.min_length or 0
        size = f"{least} to {bounds.max_length}" if least else f"at most {bounds.max_length}"
        yield f"{size} {unit[shape.sort]}"
    if bounds.pattern is not None:
        yield MESSAGES.get(bounds.pattern, f"must match `{bounds.pattern}`").removeprefix(
            "must be "
        )
    if shape.sort == "list" and shape.item is not None and shape.item.model is None:
        inner = "; ".join(_limits(shape.item))
        if inner:
            yield f"each: {inner}"


def _unsupported(model: type[BaseModel], path: str, seen: set[type[BaseModel]]) -> Iterator[str]:
    seen.add(model)
    for name, info in fields_of(model).items():
        shape = shape_of_field(info)
        inner = f"{path}.{name}" if path else name
        if not shape.supported:
            yield inner
            continue
        while shape.item is not None:
            inner, shape = f"{inner}[]", shape.item
        if shape.model is not None and shape.model not in seen:
            yield from _unsupported(shape.model, inner, seen)


def main(arguments: list[str]) -> None:
    """Write the pages into a folder, `docs/resources` unless another is named."""
    folder = Path(arguments[0] if arguments else FOLDER)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
