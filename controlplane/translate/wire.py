"""Turns Envoy messages into bytes, quickly and always in the same way.

The Envoy classes validate themselves again on every ``bytes()``, which costs about a millisecond a
route, and they write maps in the order in which somebody filled them. A translation must be cheap
enough to run on every edit, and equal input must give equal bytes, since versions are hashes of
them. So messages are checked once, by their own constructors, and encoded here from the field
table that their library keeps: no second check, maps sorted by key.

Repeated parts that are kept from one translation to the next (routes, virtual hosts) are encoded
on their own and joined: in protobuf a repeated field is a row of length-delimited pieces, so
`encode(message, field=pieces)` appends the pieces without looking into them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any as Anything

import betterproto2
from betterproto2 import FieldMetadata, Message, ProtoClassMetadata
from envoy_data_plane.google.protobuf import Any
from envoy_data_plane.message_pool import default_message_pool

_LENGTH_DELIMITED = 2
_CONTINUED = 0x80
_U64 = (1 << 64) - 1
FIXED = {
    betterproto2.TYPE_FLOAT: (5, "<f"),
    betterproto2.TYPE_DOUBLE: (1, "<d"),
    betterproto2.TYPE_FIXED32: (5, "<I"),
    betterproto2.TYPE_SFIXED32: (5, "<i"),
    betterproto2.TYPE_FIXED64: (1, "<Q"),
    betterproto2.TYPE_SFIXED64: (1, "<q"),
}

Encoder = Callable[[Anything], bytes]


@dataclass(frozen=True, slots=True)
class _Field:
    """How one field of a message class is written."""

    name: str
    key: bytes
    number: int
    sized: bool
    present_when_zero: bool
    repeated: bool
    packed: bool
    encode: Encoder
    entry: Encoder | None


def encode(message: Message, **pieces: Iterable[bytes]) -> bytes:
    """The message's bytes, followed by already encoded elements of repeated message fields."""
    out = bytearray(_encode(message))
    for name, elements in pieces.items():
        head = _key(field_number(type(message), name), _LENGTH_DELIMITED)
        for element in elements:
            out += head
            out += varint(len(element))
            out += element
    return bytes(out)


def pack(message: Message) -> Any:
    """The message inside an ``Any``."""
    return Any(type_url=type_url(type(message)), value=_encode(message))


def type_url(kind: type[Message]) -> str:
    """The URL by which xDS names messages of this class."""
    return default_message_pool.type_to_url[kind]


def message_class(url: str) -> type[Message] | None:
    """The class behind a type URL; None unless its module was imported."""
    return default_message_pool.url_to_type.get(url)


def field_number(kind: type[Message], name: str) -> int:
    """The number of a field; KeyError when the class has none of that name."""
    return table(kind).meta_by_field_name[name].number


def table(kind: type[Message]) -> ProtoClassMetadata:
    """The fields of a class, as its library knows them: there is no public way to ask."""
    known: ProtoClassMetadata = kind._betterproto  # type: ignore[arg-type]  # noqa: SLF001
    return known


def varint(value: int) -> bytes:
    """Base 128, low bits first; negative numbers as 64-bit two's complement."""
    value &= _U64
    out = bytearray()
    while value >= _CONTINUED:
        out.append(value & 0x7F | _CONTINUED)
        value >>= 7
    out.append(value)
    return bytes(out)


def _encode(message: Message) -> bytes:
    out = bytearray()
    for field in _fields(type(message)):
        value = getattr(message, field.name)
        if value is None:
            continue
        if field.entry is not None:
            _put_map(out, field, value)
        elif field.repeated:
            _put_repeated(out, field, value)
        elif field.present_when_zero or value:
            _put(out, field, field.encode(value))
    return bytes(out)


def _put(out: bytearray, field: _Field, payload: bytes) -> None:
    out += field.key
    if field.sized:
        out += varint(len(payload))
    out += payload


def _put_repeated(out: bytearray, field: _Field, values: list[Anything]) -> None:
    if field.packed and values:
        payload = b"".join(map(field.encode, values))
        out += _key(field.number, _LENGTH_DELIMITED) + varint(len(payload)) + payload
        return
    for value in values:
        _put(out, field, field.encode(value))


def _put_map(out: bytearray, field: _Field, values: Mapping[Anything, Anything]) -> None:
    if field.entry is None:
        return
    for item in sorted(values.items(), key=lambda pair: pair[0]):
        payload = field.entry(item)
        out += field.key + varint(len(payload)) + payload


@cache  # as many entries as there are message classes in use
def _fields(kind: type[Message]) -> tuple[_Field, ...]:
    fields = (_field(name, meta) for name, meta in table(kind).meta_by_field_name.items())
    return tuple(sorted(fields, key=lambda field: field.number))


def _field(name: str, meta: FieldMetadata) -> _Field:
    wire_type = _wire_type(meta.proto_type)
    return _Field(
        name=name,
        key=_key(meta.number, wire_type),
        number=meta.number,
        sized=wire_type == _LENGTH_DELIMITED,
        # A message, a wrapper or a member of a oneof says something by being there at all.
        present_when_zero=bool(meta.optional) or meta.proto_type == betterproto2.TYPE_MESSAGE,
        repeated=bool(meta.repeated),
        packed=meta.proto_type in betterproto2.PACKED_TYPES,
        encode=_encoder(meta),
        entry=_entry_encoder(meta.map_meta) if meta.map_meta else None,
    )


def _entry_encoder(meta: tuple[FieldMetadata, FieldMetadata]) -> Encoder:
    key, value = (_field(name, part) for name, part in zip(("key", "value"), meta, strict=True))

    def encode_entry(item: tuple[Anything, Anything]) -> bytes:
        out = bytearray()
        _put(out, key, key.encode(item[0]))
        _put(out, value, value.encode(item[1]))
        return bytes(out)

    return encode_entry


def _encoder(meta: FieldMetadata) -> Encoder:
    kind = meta.proto_type
    if kind == betterproto2.TYPE_MESSAGE:
        return _encode if meta.unwrap is None else _wrapper_encoder(meta.unwrap)
    if kind in FIXED:
        return struct.Struct(FIXED[kind][1]).pack
    return _ENCODERS.get(kind, varint)


def _wrapper_encoder(wrapper: Callable[[], Anything]) -> Encoder:
    return lambda value: _encode(wrapper().from_wrapped(value))


def _zigzag(value: int) -> bytes:
    return varint(value << 1 if value >= 0 else ~(value << 1))


_ENCODERS: Mapping[str, Encoder] = {
    betterproto2.TYPE_STRING: str.encode,
    betterproto2.TYPE_BYTES: bytes,
    betterproto2.TYPE_SINT32: _zigzag,
    betterproto2.TYPE_SINT64: _zigzag,
}


def _wire_type(proto_type: str) -> int:
    if proto_type in FIXED:
        return FIXED[proto_type][0]
    return _LENGTH_DELIMITED if proto_type in betterproto2.WIRE_LEN_DELIM_TYPES else 0


def _key(number: int, wire_type: int) -> bytes:
    return varint(number << 3 | wire_type)
