"""Small Wasm modules: just enough of one for a look at what it exports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from controlplane.web.wasm import ABI, MAGIC

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

FILTER_EXPORTS = ("memory", ABI, "proxy_on_memory_allocate", "proxy_on_configure")


def number(value: int) -> bytes:
    """An unsigned LEB128 number."""
    low, rest = value & 0x7F, value >> 7
    return bytes([low]) if not rest else bytes([low | 0x80]) + number(rest)


def section(kind: int, content: bytes) -> bytes:
    return bytes([kind]) + number(len(content)) + content


def module(names: Iterable[str] = FILTER_EXPORTS, salt: str = "") -> bytes:
    """A module with these exports; the salt makes it differ from others."""
    exported = list(names)
    entries = b"".join(
        number(len(name.encode())) + name.encode() + b"\0" + number(index)
        for index, name in enumerate(exported)
    )
    custom = section(0, number(len(salt.encode())) + salt.encode() + b"x" * 200)
    return MAGIC + custom + section(7, number(len(exported)) + entries)


def built(folder: Path, salt: str = "") -> Path:
    """A folder with all filters, as a build leaves it."""
    folder.mkdir(parents=True, exist_ok=True)
    for stem in ("flash-sale", "quota", "redis-bridge"):
        (folder / f"{stem}.wasm").write_bytes(module(salt=stem + salt))
    return folder
