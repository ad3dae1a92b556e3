"""Reads just enough of a Wasm module to tell a filter of ours from any other file.

A wrong file must be refused here, with a word on what is wrong: pushed to the proxies it would be
refused there, one by one, or worse, take the place of a filter that works.
"""

from __future__ import annotations

from typing import Final

MAGIC: Final = b"\0asm\x01\0\0\0"
ABI: Final = "proxy_abi_version_0_2_1"
ALLOCATORS: Final = frozenset({"malloc", "proxy_on_memory_allocate"})
MAX_BYTES: Final = 32 * 1024 * 1024
_EXPORTS: Final = 7
_MORE: Final = 0x80


class NotAFilterError(Exception):
    """The bytes are no Wasm filter that a proxy could run; the message says why."""


def check(code: bytes) -> None:
    """Raise NotAFilterError unless this is a module of our ABI."""
    if not code.startswith(MAGIC):
        raise NotAFilterError("it is not a Wasm module")
    if len(code) > MAX_BYTES:
        raise NotAFilterError(f"it is larger than {MAX_BYTES // 1024**2} MiB")
    try:
        exported = exports(code)
    except (IndexError, UnicodeDecodeError) as error:
        raise NotAFilterError("it is a broken Wasm module") from error
    if ABI not in exported:
        raise NotAFilterError(f"it does not export {ABI}: it was not built as a filter of Sluice")
    if not ALLOCATORS & exported or "memory" not in exported:
        raise NotAFilterError("it exports no memory that a proxy could pass data in")


def exports(code: bytes) -> frozenset[str]:
    """Give the names that a module exports; IndexError when the module ends too early."""
    position = len(MAGIC)
    while position < len(code):
        section = code[position]
        size, start = _number(code, position + 1)
        if section == _EXPORTS:
            return frozenset(_names(code, start))
        position = start + size
    return frozenset()


def _names(code: bytes, position: int) -> list[str]:
    count, position = _number(code, position)
    names = []
    for _ in range(count):
        length, position = _number(code, position)
        names.append(code[position : position + length].decode())
        # A byte for the kind of the export, then its index.
        _, position = _number(code, position + length + 1)
    return names


def _number(code: bytes, position: int) -> tuple[int, int]:
    """Read an unsigned LEB128 number; gives it and the position after it."""
    value = shift = 0
    while True:
        byte = code[position]
        position += 1
        value |= (byte & ~_MORE) << shift
        shift += 7
        if byte < _MORE:
            return value, position
