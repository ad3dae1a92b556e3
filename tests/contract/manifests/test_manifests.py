"""Every manifest in the tables says exactly what its table says it says.

A case begins with `### name`; its manifest is written out (`@sale` stands for the least that a
FlashSale needs, `@quota` for a QuotaPolicy up to the fields of its limit), and each line after
`>>>` is an object that was read, or a problem.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from controlplane.sources.loading import assemble, digest_file

if TYPE_CHECKING:
    from collections.abc import Iterator

TABLES = Path(__file__).parent
FILE = "shop.yaml"
SALE = """\
apiVersion: sluice.dev/v1alpha1
kind: FlashSale
metadata: {name: laptop, namespace: shop}
spec:
  targetRefs: [{name: shop}]
  schedule: {startTime: "2026-01-01T00:00:00Z"}
  stock: 3
  identity: {header: Authorization}
"""
QUOTA = """\
apiVersion: sluice.dev/v1alpha1
kind: QuotaPolicy
metadata: {name: qpm, namespace: shop}
spec:
  targetRefs: [{name: shop}]
  limits:
  - name: per-key
"""


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    manifest: str
    expected: tuple[str, ...]


def cases() -> Iterator[Case]:
    for table in sorted(TABLES.glob("*.txt")):
        for part in table.read_text().split("### ")[1:]:
            name, _, text = part.partition("\n")
            lines = text.splitlines(keepends=True)
            manifest = "".join(line for line in lines if not line.startswith(">>> "))
            manifest = manifest.replace("@sale\n", SALE).replace("@quota\n", QUOTA)
            expected = tuple(line[4:].rstrip("\n") for line in lines if line.startswith(">>> "))
            yield Case(f"{table.stem}: {name}", manifest, expected)


CASES = tuple(cases())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_manifest_is_read_or_refused_in_these_words(case: Case) -> None:
    update = assemble([digest_file(FILE, case.manifest.encode())])

    said = [f"reads {item.ref}" for item in update.inventory.objects]
    said += [f"{problem.severity} {problem}" for problem in update.problems]
    assert said == list(case.expected)


def test_the_tables_are_worth_reading() -> None:
    bad = [case for case in CASES if any(line.startswith("error") for line in case.expected)]

    assert len(CASES) - len(bad) >= 20
    assert len(bad) >= 60
    assert len({case.name for case in CASES}) == len(CASES)
