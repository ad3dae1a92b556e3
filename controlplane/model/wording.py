"""pydantic's errors in the words of the people who write manifests.

Each message says what is wanted and what stands there instead; an unknown field names the one
that was probably meant. Content of a Secret is never quoted.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

from controlplane.model.durations import format_duration
from controlplane.model.rules import RULES
from controlplane.model.scalars import MESSAGES
from controlplane.model.shapes import Bounds, Shape, fields_of, shape_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import BaseModel
    from pydantic_core import ErrorDetails

    from controlplane.model.problems import Step

_SHOWN: Final = 60
"""Longest value that is quoted in full."""
_SWITCHES: Final = {
    **dict.fromkeys(("yes", "on", "y"), "write true"),
    **dict.fromkeys(("no", "off", "n"), "write false"),
    **dict.fromkeys(("true", "false"), "remove the quotes"),
}
Path = tuple["Step", ...]


@dataclass(frozen=True, slots=True)
class Complaint:
    """What is wrong with one field."""

    path: Path
    message: str


def explain(
    model: type[BaseModel], errors: Iterable[ErrorDetails], *, sensitive: bool = False
) -> Iterator[Complaint]:
    """Put every error into words, at the field that has to be changed."""
    root = shape_of(model)
    for error in errors:
        path = _clean(error["loc"])
        if error["type"] == RULES:
            for inner, message in error["ctx"][RULES]:
                yield Complaint(path + tuple(inner), message)
        elif error["type"] == "too_short" and _is_long_enough(root.at(path), error["input"]):
            continue  # pydantic counts only the good entries; the bad ones are told already
        elif error["type"] == "extra_forbidden":
            yield Complaint(path, _unknown(root, path))
        else:
            yield Complaint(path, _message(root, path, error, sensitive=sensitive))


def show_path(path: Iterable[Step]) -> str:
    """Write a path the way manifests are talked about: `spec.rules[0].name`."""
    shown = ""
    for step in path:
        if isinstance(step, int):
            shown += f"[{step}]"
        elif step and all(sign.isalnum() or sign in "-_" for sign in step):
            shown += f".{step}" if shown else step
        else:
            shown += f"[{_quote(step)}]"
    return shown


def suggest(word: str, known: Iterable[str], *, alike: float = 0.7) -> str | None:
    """The known word that was probably meant."""
    by_case = {name.lower(): name for name in known}
    exact = by_case.get(word.lower().replace("_", "").replace("-", ""))
    if exact is not None:
        return exact
    close = get_close_matches(word.lower()[:100], by_case, n=1, cutoff=alike)
    return by_case[close[0]] if close else None


def show_value(value: Any) -> str:
    """Quote a value as a manifest has it, cut to a bearable length."""
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    return _quote(value)


def _quote(value: Any) -> str:
    try:
        shown = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        shown = str(value)
    return shown if len(shown) <= _SHOWN else shown[: _SHOWN - 1] + "…"


def _clean(loc: tuple[Step, ...]) -> Path:
    return tuple(step for step in loc if step != "[key]")


def _unknown(root: Shape, path: Path) -> str:
    parent = root.at(path[:-1])
    word = str(path[-1])
    if parent is None or parent.model is None:
        return "unknown field"
    near = suggest(word, fields_of(parent.model))
    if near is not None:
        return f"unknown field: did you mean {near}?"
    elsewhere = [place for place in _everywhere(root, ()) if place[-1] == word]
    if len(elsewhere) == 1:
        return f"unknown field: did you mean {show_path(elsewhere[0])}?"
    return f"unknown field: known here are {listing(fields_of(parent.model))}"


def _everywhere(shape: Shape, path: Path) -> Iterator[Path]:
    """Every field of the resource, lists and maps left out of the path."""
    if shape.model is None:
        return
    for name in fields_of(shape.model):
        below = shape.inside(name)
        if path or name not in {"apiVersion", "kind"}:
            yield (*path, name)
        if below is not None and below.model is not None:
            yield from _everywhere(below, (*path, name))


def listing(words: Iterable[Any], last: str = "and") -> str:
    """Join words as a sentence has them: `a, b and c`."""
    shown = [str(word) for word in words]
    if len(shown) <= 1:
        return "".join(shown) or "none"
    return f"{', '.join(shown[:-1])} {last} {shown[-1]}"


def _message(root: Shape, path: Path, error: ErrorDetails, *, sensitive: bool) -> str:
    shape = root.at(path) or Shape("any")
    value = error["input"]
    worded = _WORDS.get(error["type"])
    message = worded(shape, value) if worded else _own(error)
    if sensitive and error["type"] == "string_type":
        return f"{message}: put it in quotes"
    if sensitive or error["type"] in _WITHOUT_VALUE:
        return message
    hint = _hint(shape, error)
    return f"{message}, not {show_value(value)}" + (f": {hint}" if hint else "")


def _own(error: ErrorDetails) -> str:
    message = error["msg"]
    return message.replace("Input should ", "must ", 1)


def _hint(shape: Shape, error: ErrorDetails) -> str:
    """What was probably meant."""
    value = error["input"]
    if error["type"] == "string_type" and isinstance(value, bool | int | float):
        return f"text needs quotes, as in {json.dumps(json.dumps(value))}"
    if error["type"] in {"int_type", "float_type", "bool_type"} and isinstance(value, str):
        return _unquoted(error["type"], value)
    if error["type"] == "literal_error" and isinstance(value, str) and len(shape.choices) > 1:
        near = suggest(value, [choice for choice in shape.choices if isinstance(choice, str)])
        return f"did you mean {near}?" if near is not None else ""
    return str(error.get("ctx", {}).get("hint", ""))


def _unquoted(kind: str, text: str) -> str:
    """What to write in place of a text that looks like the value that is wanted."""
    if kind == "bool_type":
        return _SWITCHES.get(text.lower(), "")
    return "remove the quotes" if text.replace(".", "", 1).isdecimal() else ""


def _is_long_enough(shape: Shape | None, value: Any) -> bool:
    least = shape.bounds.min_length if shape is not None else None
    return least is not None and hasattr(value, "__len__") and len(value) >= least


def _choice(shape: Shape, _value: Any) -> str:
    return f"must be {listing(shape.choices, 'or')}"


def _range(shape: Shape, _value: Any) -> str:
    return "must be " + describe_bounds(shape.bounds)


def describe_bounds(bounds: Bounds) -> str:
    """Tell the range of a number or duration: `at least 0 and less than 1`."""
    words = (
        ("at least", bounds.ge),
        ("more than", bounds.gt),
        ("at most", bounds.le),
        ("less than", bounds.lt),
    )
    return " and ".join(f"{word} {_bound(limit)}" for word, limit in words if limit is not None)


def _bound(limit: Any) -> str:
    return format_duration(limit) if isinstance(limit, timedelta) else str(limit)


def _short(shape: Shape, _value: Any) -> str:
    least = shape.bounds.min_length or 1
    if shape.sort == "text":
        return "must not be empty" if least == 1 else f"must have at least {least} characters"
    return f"needs at least {least} {'entry' if least == 1 else 'entries'}"


def _long(shape: Shape, value: Any) -> str:
    unit = {"text": "characters", "bytes": "bytes"}.get(shape.sort, "entries")
    size = f", not {len(value)}" if hasattr(value, "__len__") and shape.sort != "bytes" else ""
    return f"must have at most {shape.bounds.max_length} {unit}{size}"


def _pattern(shape: Shape, _value: Any) -> str:
    pattern = shape.bounds.pattern or ""
    return MESSAGES.get(pattern, f"must match {pattern}")


def _fixed(text: str) -> Callable[[Shape, Any], str]:
    return lambda _shape, _value: text


_WORDS: Final[Mapping[str, Callable[[Shape, Any], str]]] = {
    "missing": _fixed("is required"),
    "greater_than": _range,
    "greater_than_equal": _range,
    "less_than": _range,
    "less_than_equal": _range,
    "finite_number": _range,
    "literal_error": _choice,
    "string_pattern_mismatch": _pattern,
    "string_too_short": _short,
    "string_too_long": _long,
    "bytes_too_long": _long,
    "too_short": _short,
    "too_long": _long,
    "string_type": _fixed("must be text"),
    "string_unicode": _fixed("must be text"),
    "int_type": _fixed("must be a whole number"),
    "float_type": _fixed("must be a number"),
    "bool_type": _fixed("must be true or false"),
    "tuple_type": _fixed("must be a list"),
    "dict_type": _fixed("must be a mapping"),
    "model_type": _fixed("must be a mapping"),
    "model_attributes_type": _fixed("must be a mapping"),
}
_WITHOUT_VALUE: Final = frozenset(
    {"missing", "string_too_short", "string_too_long", "bytes_too_long", "too_short", "too_long"}
)
