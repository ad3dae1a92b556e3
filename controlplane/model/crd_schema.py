"""From a model to the structural schema that an API server checks by (OpenAPI v3, with CEL).

Everything is read off the model: types, bounds, defaults, descriptions, and the rules that stand
next to the validators. So the API server refuses what `sluice validate` refuses, in its words.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from pydantic_core import PydanticUndefined

from controlplane.model.durations import DURATION_PATTERN, INSTANT_PATTERN, format_duration
from controlplane.model.rules import Rule, quoted, rules_of
from controlplane.model.shapes import Bounds, Shape, fields_of, shape_of_field
from controlplane.model.wording import describe_bounds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

Schema = dict[str, Any]

_SAFE_INTEGER: Final = 2**31
"""Bounds from here on need 64 bits."""
_DURATION_LENGTH: Final = 32
_INSTANT_LENGTH: Final = 64
_IN_RANGE: Final = Rule("must be a date and time that exist", "self.getFullYear() >= 1")


def object_schema(model: type[BaseModel], *, leave_out: Iterable[str] = ()) -> Schema:
    """Describe an object with the fields of a model."""
    fields = {name: info for name, info in fields_of(model).items() if name not in {*leave_out}}
    schema: Schema = {"type": "object", "description": _doc(model)}
    required = [name for name, info in fields.items() if info.is_required()]
    if required:
        schema["required"] = required
    if fields:
        schema["properties"] = {name: field_schema(info) for name, info in fields.items()}
    return {**schema, **_validations(rules_of(model))}


def field_schema(info: FieldInfo) -> Schema:
    """Describe one field: its value, and what it is for."""
    shape = shape_of_field(info)
    schema = value_schema(shape)
    if info.description:
        schema["description"] = _joined(info.description, schema.get("description", ""))
    default = _default(info, schema)
    if default is not None:
        schema["default"] = default
    if isinstance(info.json_schema_extra, dict):
        schema.update(info.json_schema_extra)
    return schema


def value_schema(shape: Shape) -> Schema:
    """Describe a value."""
    schema = _BY_SORT[shape.sort](shape)
    if shape.sort == "time":
        return {**schema, **_validations([*shape.bounds.rules, _IN_RANGE])}
    if shape.sort != "duration":
        return {**schema, **_validations(shape.bounds.rules)}
    rules = [*_duration_bounds(shape.bounds), *shape.bounds.rules]
    return {**schema, **_validations(map(_of_duration, rules))}


def _object(shape: Shape) -> Schema:
    if shape.model is None:  # pragma: no cover - shapes of sort object have one
        return {"type": "object"}
    return object_schema(shape.model)


def _list(shape: Shape) -> Schema:
    item = value_schema(shape.item) if shape.item is not None else {}
    return {
        "type": "array",
        "items": item,
        **_sizes(shape.bounds, "Items"),
        "x-kubernetes-list-type": "atomic",
    }


def _text(shape: Shape) -> Schema:
    pattern = {"pattern": shape.bounds.pattern} if shape.bounds.pattern is not None else {}
    return {"type": "string", **_sizes(shape.bounds, "Length"), **pattern}


def _integer(shape: Shape) -> Schema:
    wide = max(abs(shape.bounds.ge or 0), abs(shape.bounds.le or 0)) >= _SAFE_INTEGER
    return {"type": "integer", "format": "int64" if wide else "int32", **_range(shape.bounds)}


def _number(shape: Shape) -> Schema:
    return {"type": "number", **_range(shape.bounds)}


def _boolean(_shape: Shape) -> Schema:
    return {"type": "boolean"}


def _choice(shape: Shape) -> Schema:
    return {"type": "string", "enum": list(shape.choices)}


def _duration(_shape: Shape) -> Schema:
    return {"type": "string", "maxLength": _DURATION_LENGTH, "pattern": DURATION_PATTERN}


def _time(_shape: Shape) -> Schema:
    return {
        "type": "string",
        "format": "date-time",
        "maxLength": _INSTANT_LENGTH,
        "pattern": INSTANT_PATTERN,
    }


_BY_SORT: Final[Mapping[str, Callable[[Shape], Schema]]] = {
    "object": _object,
    "list": _list,
    "text": _text,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "choice": _choice,
    "duration": _duration,
    "time": _time,
}
"""Sorts that are not here do not occur in the kinds that are ours: a `KeyError` tells of a new."""


def _sizes(bounds: Bounds, unit: str) -> Schema:
    known = {f"min{unit}": bounds.min_length, f"max{unit}": bounds.max_length}
    return {key: size for key, size in known.items() if size is not None}


def _range(bounds: Bounds) -> Schema:
    schema: Schema = {}
    for key, edge, beyond in (("inimum", bounds.ge, bounds.gt), ("aximum", bounds.le, bounds.lt)):
        limit = beyond if edge is None else edge
        if limit is None:
            continue
        schema[f"m{key}"] = limit
        if edge is None:
            schema["exclusiveM" + key] = True
    return schema


def _of_duration(rule: Rule) -> Rule:
    """Leave what is no duration at all to the pattern: the rule could not be evaluated."""
    return replace(rule, cel=f"!self.matches('{DURATION_PATTERN}') || ({rule.cel})")


def _duration_bounds(bounds: Bounds) -> Iterator[Rule]:
    """Bounds of a duration, which a schema has no words for."""
    signs = ((">=", bounds.ge), (">", bounds.gt), ("<=", bounds.le), ("<", bounds.lt))
    cel = [
        f"duration(self) {sign} duration({quoted(format_duration(limit))})"
        for sign, limit in signs
        if isinstance(limit, timedelta)
    ]
    if cel:
        yield Rule(f"must be {describe_bounds(bounds)}", " && ".join(cel))


def _validations(rules: Iterable[Rule]) -> Schema:
    found = [_validation(rule) for rule in rules]
    return {"x-kubernetes-validations": found} if found else {}


def _validation(rule: Rule) -> Schema:
    told: Schema = {"rule": rule.cel}
    expression = rule.message_cel
    if expression is not None:
        told["messageExpression"] = expression
    else:
        told["message"] = rule.without_words or rule.message
    if rule.reason != "Invalid":
        told["reason"] = f"FieldValue{rule.reason}"
    if rule.at:
        told["fieldPath"] = f".{rule.at}"
    return told


def _default(info: FieldInfo, schema: Schema) -> Any:
    """The default as manifests have it; none where it says nothing."""
    if schema["type"] == "object":
        inner = schema.get("properties", {}).items()
        told = {name: field["default"] for name, field in inner if "default" in field}
        return (told or None) if info.default_factory is not None else None
    value = info.default
    if value is PydanticUndefined or value is None or value in ("", ()):
        return None
    return format_duration(value) if isinstance(value, timedelta) else value


def _doc(model: type[BaseModel]) -> str:
    return " ".join((model.__doc__ or "").split())


def _joined(first: str, second: str) -> str:
    """What a field is for, then what stands in it, unless that is the same."""
    return first if not second or second in first or first in second else f"{first} {second}"
