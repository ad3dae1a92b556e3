"""What a field may hold, read from the models: for error messages and for the reference pages.

Both would otherwise repeat the bounds by hand, and the two would drift apart.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from controlplane.model.rules import Rule
from controlplane.model.scalars import NotSupported

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

Sort = Literal[
    "object", "list", "map", "text", "integer", "number", "boolean", "duration", "time", "bytes",
    "choice", "any",
]  # fmt: skip

_SORTS: Final[Mapping[object, Sort]] = {
    str: "text",
    int: "integer",
    float: "number",
    bool: "boolean",
    timedelta: "duration",
    datetime: "time",
    bytes: "bytes",
}


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits of a value, or of the length of a text or list."""

    ge: Any = None
    gt: Any = None
    le: Any = None
    lt: Any = None
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None
    rules: tuple[Rule, ...] = ()


@dataclass(frozen=True, slots=True)
class Shape:
    """What stands in one place of a manifest."""

    sort: Sort
    model: type[BaseModel] | None = None
    item: Shape | None = None
    choices: tuple[Any, ...] = ()
    bounds: Bounds = field(default_factory=Bounds)
    supported: bool = True

    def inside(self, step: str | int) -> Shape | None:
        """What stands one step further in; None when nothing can."""
        if self.sort in {"list", "map"}:
            return self.item
        if self.model is None or not isinstance(step, str):
            return None
        found = fields_of(self.model).get(step)
        return shape_of_field(found) if found is not None else None

    def at(self, path: Iterable[str | int]) -> Shape | None:
        """What stands at the end of a path."""
        found: Shape | None = self
        for step in path:
            found = found.inside(step) if found is not None else None
        return found


@cache
def fields_of(model: type[BaseModel]) -> Mapping[str, FieldInfo]:
    """The fields by the names that manifests use."""
    return {
        info.validation_alias if isinstance(info.validation_alias, str) else name: info
        for name, info in model.model_fields.items()
    }


def shape_of_field(info: FieldInfo) -> Shape:
    """What a field of a model may hold."""
    return shape_of(info.annotation, tuple(info.metadata))


def shape_of(annotation: Any, metadata: tuple[Any, ...] = ()) -> Shape:
    """Read a type and what is annotated to it."""
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *more = get_args(annotation)
        return shape_of(inner, (*more, *metadata))
    metadata = tuple(_flat(metadata))
    if any(isinstance(item, NotSupported) for item in metadata):
        return Shape("any", supported=False)
    if origin in {Union, UnionType}:
        return _shape_of_union(annotation, metadata)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return Shape("object", model=annotation)
    return _shape_of_value(annotation, _bounds(metadata))


def _shape_of_value(annotation: Any, bounds: Bounds) -> Shape:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return Shape("choice", choices=arguments, bounds=bounds)
    if origin is tuple:
        return Shape("list", item=shape_of(arguments[0]), bounds=bounds)
    if origin is dict:
        return Shape("map", item=shape_of(arguments[1]), bounds=bounds)
    return Shape(_SORTS.get(annotation, "any"), bounds=bounds)


def _shape_of_union(annotation: Any, metadata: tuple[Any, ...]) -> Shape:
    members = [item for item in get_args(annotation) if item is not NoneType]
    return shape_of(members[0], metadata) if len(members) == 1 else Shape("any")


def _flat(metadata: Iterable[Any]) -> Iterator[Any]:
    for item in metadata:
        if isinstance(item, FieldInfo):
            yield from _flat(item.metadata)
        else:
            yield item


def _bounds(metadata: tuple[Any, ...]) -> Bounds:
    found: dict[str, Any] = {}
    for item in metadata:
        if isinstance(item, Ge):
            found["ge"] = item.ge
        elif isinstance(item, Gt):
            found["gt"] = item.gt
        elif isinstance(item, Le):
            found["le"] = item.le
        elif isinstance(item, Lt):
            found["lt"] = item.lt
        elif isinstance(item, MinLen):
            found["min_length"] = item.min_length
        elif isinstance(item, MaxLen):
            found["max_length"] = item.max_length
        elif isinstance(item, Rule):
            found["rules"] = (*found.get("rules", ()), item)
        elif getattr(item, "pattern", None) is not None:
            found["pattern"] = item.pattern
    return Bounds(**found)


def unsupported_fields(resource: BaseModel) -> tuple[str, ...]:
    """Paths of fields that are set, legal, and not acted on, such as `spec.rules[0].retry`."""
    return tuple(_unsupported(resource, ""))


def _unsupported(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from _unsupported(item, f"{path}[{index}]")
    if not isinstance(value, BaseModel):
        return
    for name, info in fields_of(type(value)).items():
        held = _held(value, info)
        inner = f"{path}.{name}" if path else name
        if held is None:
            continue
        if shape_of_field(info).supported:
            yield from _unsupported(held, inner)
        else:
            yield inner


def _held(value: BaseModel, info: FieldInfo) -> Any:
    return next(
        getattr(value, name) for name, known in type(value).model_fields.items() if known is info
    )
