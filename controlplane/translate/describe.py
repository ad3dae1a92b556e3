"""Shows encoded Envoy resources as plain data and as YAML, for people and for tests.

The library's own JSON form needs every nested type validated again and spells names in camel case;
Envoy's documentation, and every Envoy file that an operator has seen, uses the names of the proto
files. So bytes are read straight into dictionaries under those names.
"""

from __future__ import annotations

import base64
import re
import struct
from typing import TYPE_CHECKING, Any as Anything, Final

import betterproto2
import yaml
from betterproto2 import FieldMetadata, Message, ParsedField
from envoy_data_plane.envoy.config.core.v3 import DataSource
from envoy_data_plane.google.protobuf import Any, Duration, Struct, Value

from controlplane.translate.wire import FIXED, message_class, table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

REDACTED: Final = "[redacted]"
_SECRET_FIELDS: Final = frozenset({"private_key", "auth_password", "session_ticket_keys"})
_REFERENCES: Final = frozenset({"filename", "environment_variable"})
_I64: Final = 1 << 63
# Plain YAML scalars that every YAML reader takes for the same string; the rest is quoted. Envoy
# reads YAML 1.1, where n, y, off, 1e3 or 0x1f are not strings.
_PLAIN: Final = re.compile(r"[A-Za-z_/][A-Za-z0-9_./-]*")
_NOT_STRINGS: Final = frozenset(
    ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"]
)
_WIDE: Final = 1 << 20


def describe(kind: type[Message], body: bytes, *, reveal: bool = False) -> dict[str, Anything]:
    """The message as plain data; keys and passwords in it are blanked out unless `reveal`."""
    return _Reader(reveal=reveal).fields(kind, body)


def to_yaml(document: Mapping[str, Anything]) -> str:
    """Block style, keys in the order given, text quoted wherever a YAML 1.1 reader could differ."""
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDE)


class _Reader:
    """Reads messages, once decided whether secrets show."""

    def __init__(self, *, reveal: bool) -> None:
        self._reveal = reveal

    def fields(self, kind: type[Message], body: bytes) -> dict[str, Anything]:
        """The fields that are set; the name first, the others in the order of the proto file."""
        found: dict[str, Anything] = {}
        known = table(kind)
        for parsed in betterproto2.parse_fields(body):
            name = known.field_name_by_number.get(parsed.number)
            if name is None:
                found.setdefault("unknown_fields", []).append(parsed.number)
                continue
            self._add(found, name, known.meta_by_field_name[name], known.cls_by_field, parsed)
        return {"name": found.pop("name"), **found} if "name" in found else found

    def _add(
        self,
        found: dict[str, Anything],
        name: str,
        meta: FieldMetadata,
        classes: Mapping[str, type],
        parsed: ParsedField,
    ) -> None:
        label = name.rstrip("_")
        if label in _SECRET_FIELDS and not self._reveal:
            found[label] = self._blanked(meta, classes[name], parsed)
        elif meta.map_meta:
            key, value = self._entry(meta.map_meta, classes[f"{name}.value"], parsed.value)
            found.setdefault(label, {})[key] = value
        elif meta.repeated:
            found.setdefault(label, []).extend(self._elements(meta, classes[name], parsed))
        else:
            found[label] = self._value(meta, classes[name], parsed.value)

    def _blanked(self, meta: FieldMetadata, kind: type, parsed: ParsedField) -> Anything:
        """Where a secret is to be found is none itself, and is shown."""
        if kind is not DataSource or meta.repeated:
            return REDACTED
        source = self._value(meta, kind, parsed.value)
        return source if source.keys() <= _REFERENCES else REDACTED

    def _entry(
        self, meta: tuple[FieldMetadata, FieldMetadata], kind: type, body: bytes
    ) -> tuple[Anything, Anything]:
        fields = {parsed.number: parsed.value for parsed in betterproto2.parse_fields(body)}
        key = self._value(meta[0], str, fields.get(1, b""))
        return key, self._value(meta[1], kind, fields.get(2, b""))

    def _elements(self, meta: FieldMetadata, kind: type, parsed: ParsedField) -> Iterator[Anything]:
        if (
            parsed.wire_type != betterproto2.WIRE_LEN_DELIM
            or meta.proto_type not in betterproto2.PACKED_TYPES
        ):
            yield self._value(meta, kind, parsed.value)
            return
        position, body = 0, parsed.value
        while position < len(body):
            if meta.proto_type in FIXED:
                size = struct.calcsize(FIXED[meta.proto_type][1])
                raw, position = body[position : position + size], position + size
            else:
                raw, position = betterproto2.decode_varint(body, position)
            yield self._value(meta, kind, raw)

    def _value(self, meta: FieldMetadata, kind: type, raw: Anything) -> Anything:
        if meta.proto_type == betterproto2.TYPE_MESSAGE:
            return self._message(meta.unwrap() if meta.unwrap else kind, raw)
        if meta.proto_type == betterproto2.TYPE_ENUM:
            return _enum_name(kind, raw)
        if meta.proto_type in FIXED:
            return struct.unpack(FIXED[meta.proto_type][1], raw)[0]
        return _SCALARS.get(meta.proto_type, int)(raw)

    def _message(self, kind: type[Message], body: bytes) -> Anything:
        if kind is Any:
            return self._any(body)
        fields = self.fields(kind, body)
        if kind is Duration:
            return _duration(fields)
        if kind is Struct:
            return fields.get("fields", {})
        if kind is Value:
            return next(iter(fields.values()), None)
        return fields.get("value", _zero(kind)) if _is_wrapper(kind) else fields

    def _any(self, body: bytes) -> dict[str, Anything]:
        packed = Any.parse(body)
        if not packed.type_url:
            return {}
        kind = message_class(packed.type_url)
        if kind is None:
            value = base64.b64encode(packed.value).decode()
        else:
            value = self._message(kind, packed.value)
        if isinstance(value, dict):
            return {"@type": packed.type_url, **value}
        return {"@type": packed.type_url, "value": value}


def _signed(raw: int) -> int:
    return raw - 2 * _I64 if raw >= _I64 else raw


def _unzigzag(raw: int) -> int:
    return raw >> 1 ^ -(raw & 1)


_SCALARS: Final[Mapping[str, Callable[[Anything], Anything]]] = {
    betterproto2.TYPE_STRING: bytes.decode,
    betterproto2.TYPE_BYTES: lambda raw: base64.b64encode(raw).decode(),
    betterproto2.TYPE_BOOL: bool,
    betterproto2.TYPE_INT32: _signed,
    betterproto2.TYPE_INT64: _signed,
    betterproto2.TYPE_SINT32: _unzigzag,
    betterproto2.TYPE_SINT64: _unzigzag,
}


def _enum_name(kind: type, number: int) -> str | int:
    member = kind(number)
    return getattr(member, "proto_name", None) or member.name or number


def _duration(fields: Mapping[str, int]) -> str:
    nanos = fields.get("seconds", 0) * 1_000_000_000 + fields.get("nanos", 0)
    text = f"{nanos / 1e9:.9f}".rstrip("0").rstrip(".")
    return f"{text}s"


def _is_wrapper(kind: type[Message]) -> bool:
    return kind.__name__.endswith("Value") and list(table(kind).meta_by_field_name) == ["value"]


def _zero(kind: type[Message]) -> Anything:
    make = table(kind).default_gen.get("value")
    return make() if make is not None else None


class _Dumper(yaml.SafeDumper):
    """Lists are indented under their key; strings are quoted when in doubt."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002
        super().increase_indent(flow, indentless=False)

    def ignore_aliases(self, data: Anything) -> bool:  # noqa: ARG002 - no anchors, ever
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style: str | None = '"'
    if _PLAIN.fullmatch(text) and text.lower() not in _NOT_STRINGS:
        style = None
    elif "\n" in text and all(_is_plain_line(line) for line in text.split("\n")):
        style = "|"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _is_plain_line(line: str) -> bool:
    return line.isprintable() and not line.endswith(" ")


_Dumper.add_representer(str, _represent_text)
