from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.contract.envoy.golden import BOOTSTRAP, CASES, HINT, PARAMETERS, TLS_FOLDER, expected

if TYPE_CHECKING:
    from pathlib import Path

EXPECTED = dict(expected())
ROOT = BOOTSTRAP.parents[1]


@pytest.mark.parametrize("path", EXPECTED, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_was_made_is_what_was_pinned(path: Path) -> None:
    pinned = path.read_text() if path.exists() else ""
    assert EXPECTED[path] == pinned, HINT


def test_no_file_is_left_of_a_case_that_is_gone() -> None:
    files = {
        *CASES.iterdir(),
        *(file for folder in PARAMETERS.values() for file in folder.iterdir()),
    }
    bootstraps = {path for path in EXPECTED if BOOTSTRAP.parent in path.parents}
    assert {file for file in files if file.suffix != ".yaml"} == EXPECTED.keys() - bootstraps
    assert set(TLS_FOLDER.iterdir()) == bootstraps - {BOOTSTRAP}
