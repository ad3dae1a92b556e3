"""Every manifest in the tables says exactly what its table says it says.

What an API server says of the same ones is asked in tests/cluster.
"""

from __future__ import annotations

import pytest

from controlplane.sources.loading import assemble, digest_file
from tests.testkit.manifest_tables import Case, cases

FILE = "shop.yaml"
CASES = tuple(cases())


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_manifest_is_read_or_refused_in_these_words(case: Case) -> None:
    update = assemble([digest_file(FILE, case.manifest.encode())])

    said = [f"reads {item.ref}" for item in update.inventory.objects]
    said += [f"{problem.severity} {problem}" for problem in update.problems]
    assert said == list(case.sluice)


def test_the_tables_are_worth_reading() -> None:
    bad = [case for case in CASES if any(line.startswith("error") for line in case.sluice)]

    assert len(CASES) - len(bad) >= 20
    assert len(bad) >= 60
    assert len({str(case) for case in CASES}) == len(CASES)
