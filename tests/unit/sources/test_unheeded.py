"""What only a control plane on a cluster does is not passed over in silence by any other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from controlplane.sources import load
from controlplane.sources.folder import Folder
from tests.testkit.manifest_tables import SALE

if TYPE_CHECKING:
    from pathlib import Path

SCALING = "  scaling: {targets: [{kind: Deployment, name: web, replicas: 20}]}\n"


def test_a_folder_says_that_nothing_is_scaled(tmp_path: Path) -> None:
    (tmp_path / "sale.yaml").write_text(f"# first\n{SALE}{SCALING}")
    [problem] = Folder(tmp_path).look().problems
    assert not problem.is_error
    assert (problem.reason, problem.field, problem.line) == ("NeedsCluster", "spec.scaling", 2)
    assert str(problem.ref) == "FlashSale shop/laptop"
    # Who only checks a manifest may well mean it for a cluster.
    assert load([tmp_path]).problems == ()


def test_a_sale_that_scales_nothing_is_told_nothing(tmp_path: Path) -> None:
    (tmp_path / "sale.yaml").write_text(SALE)
    assert Folder(tmp_path).look().problems == ()
