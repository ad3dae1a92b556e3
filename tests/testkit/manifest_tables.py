"""The tables of manifests in tests/contract/manifests, and how to read them.

A case begins with `### name`; its manifest is written out (`@sale` stands for the least that a
FlashSale needs, `@quota` for a QuotaPolicy up to the fields of its limit). Then come the answers:
after `>>>` what Sluice says, an object that it reads or a problem; after `<<<` what an API server
with our CRDs says; after `===` why the two cannot say the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

TABLES: Final = Path(__file__).parents[1] / "contract" / "manifests"
SALE: Final = """\
apiVersion: sluice.dev/v1alpha1
kind: FlashSale
metadata: {name: laptop, namespace: shop}
spec:
  targetRefs: [{name: shop}]
  schedule: {startTime: "2026-01-01T00:00:00Z"}
  stock: 3
  identity: {header: Authorization}
"""
QUOTA: Final = """\
apiVersion: sluice.dev/v1alpha1
kind: QuotaPolicy
metadata: {name: qpm, namespace: shop}
spec:
  targetRefs: [{name: shop}]
  limits:
  - name: per-key
"""
_MARKS: Final = (">>> ", "<<< ", "=== ")


@dataclass(frozen=True, slots=True)
class Case:
    """One manifest, and what is said of it."""

    table: str
    name: str
    manifest: str
    sluice: tuple[str, ...]
    server: tuple[str, ...]
    """Empty where no API server is asked: the kinds of others have CRDs of their own."""
    why: str
    """Why the answers differ; empty where they agree."""

    def __str__(self) -> str:
        return f"{self.table}: {self.name}"


def cases() -> Iterator[Case]:
    """Every case of every table."""
    for table in sorted(TABLES.glob("*.txt")):
        for part in table.read_text().split("### ")[1:]:
            yield _case(table.stem, part)


def _case(table: str, part: str) -> Case:
    name, _, text = part.partition("\n")
    lines = text.splitlines(keepends=True)
    manifest = "".join(line for line in lines if not line.startswith(_MARKS))
    manifest = manifest.replace("@sale\n", SALE).replace("@quota\n", QUOTA)
    sluice, server, why = (
        tuple(line[len(mark) :].rstrip("\n") for line in lines if line.startswith(mark))
        for mark in _MARKS
    )
    return Case(table, name, manifest, sluice, server, " ".join(why))
