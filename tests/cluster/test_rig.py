from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from controlplane.local.errors import MissingBinaryError
from tests.cluster.api_server import ApiServer

if TYPE_CHECKING:
    from pathlib import Path


async def test_a_missing_binary_is_an_error_that_says_what_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_ASSET_ETCD", str(tmp_path / "none"))
    with pytest.raises(MissingBinaryError, match=r"TEST_ASSET_ETCD names .*: run `make rig`"):
        await ApiServer(tmp_path / "api").start()
