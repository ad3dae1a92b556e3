"""A wrong file must be told from a filter before any proxy sees it."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from controlplane.web import wasm
from tests.unit.web.modules import FILTER_EXPORTS, module


def test_a_filter_passes() -> None:
    wasm.check(module())
    assert wasm.exports(module()) == set(FILTER_EXPORTS)


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        (b"", "not a Wasm module"),
        (b"\x7fELF" + b"\0" * 100, "not a Wasm module"),
        (module()[:-3], "broken Wasm module"),
        (module(["memory"]), "does not export proxy_abi_version_0_2_1"),
        (module([wasm.ABI, "memory"]), "no memory that a proxy could pass data in"),
        (module([wasm.ABI, "malloc"]), "no memory that a proxy could pass data in"),
        (wasm.MAGIC, "does not export"),
        (module() + b"\0" * wasm.MAX_BYTES, "larger than 32 MiB"),
    ],
)
def test_what_is_no_filter_is_refused(code: bytes, problem: str) -> None:
    with pytest.raises(wasm.NotAFilterError, match=problem):
        wasm.check(code)


@given(st.binary(max_size=200))
def test_any_bytes_give_an_answer(rest: bytes) -> None:
    with pytest.raises(wasm.NotAFilterError, match="it "):
        wasm.check(wasm.MAGIC + rest)
