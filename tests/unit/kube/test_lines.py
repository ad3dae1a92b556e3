from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, strategies as st

from controlplane.kube.errors import GoneError, SilentError
from controlplane.kube.lines import lines

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


def _reading(chunks: list[bytes]) -> Callable[[], Awaitable[bytes]]:
    left = [*chunks, b""]

    async def read() -> bytes:
        return left.pop(0)

    return read


@given(
    st.lists(st.binary(max_size=5).map(lambda part: part.replace(b"\n", b"")), max_size=8),
    st.data(),
)
def test_lines_come_whole_however_they_were_cut(parts: list[bytes], data: st.DataObject) -> None:
    text = b"".join(part + b"\n" for part in parts) + b"half a li"
    cuts = sorted(data.draw(st.sets(st.integers(1, len(text) - 1))))
    chunks = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]

    async def found() -> list[bytes]:
        return [line async for line in lines(_reading(chunks), 10.0)]

    assert asyncio.run(found()) == [part for part in parts if part]


async def test_silence_has_an_end() -> None:
    async def never() -> bytes:
        await asyncio.Event().wait()
        return b""

    with pytest.raises(SilentError, match=r"said nothing for 0\.01 s"):
        await anext(lines(never, 0.01))


async def test_a_line_without_end_is_given_up() -> None:
    async def endless() -> bytes:
        return b"x" * 1000

    with pytest.raises(GoneError, match="more than 10000 bytes"):
        await anext(lines(endless, 10.0, longest=10_000))
