"""The resource pages are what the models say now; the samples are good."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from controlplane.model import KINDS, EdgeConfig, FlashSale, QuotaPolicy, parse
from controlplane.model.reference import main, pages
from controlplane.model.shapes import Shape, fields_of, shape_of, shape_of_field
from controlplane.sources import load

ROOT = Path(__file__).parents[3]
PAGES = ROOT / "docs" / "resources"
FOLDER = ROOT / "manifests" / "samples"
SAMPLES = sorted(path for path in FOLDER.iterdir() if path.is_dir())


def test_the_pages_are_not_stale() -> None:
    kept = {path.name: path.read_text() for path in PAGES.iterdir()}

    assert kept == pages(), "run: python -m controlplane.model.reference"


def test_the_pages_are_written_into_a_folder(tmp_path: Path) -> None:
    main([str(tmp_path / "deep" / "down")])

    assert {path.name for path in (tmp_path / "deep" / "down").iterdir()} == set(pages())


def fields(shape: Shape) -> set[str]:
    while shape.item is not None:
        shape = shape.item
    if shape.model is None:
        return set()
    inner = {name: shape_of_field(info) for name, info in fields_of(shape.model).items()}
    return set(inner).union(*(fields(below) for below in inner.values()))


def test_every_field_has_a_meaning() -> None:
    for kind in KINDS.values():
        assert "|  |\n" not in pages()[f"{kind.__name__.lower()}.md"]


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.name)
def test_a_sample_is_good(sample: Path) -> None:
    update = load([sample])

    assert [str(problem) for problem in update.problems] == []
    assert [*update.inventory.all(FlashSale), *update.inventory.all(QuotaPolicy)]


def test_the_full_sample_shows_every_field() -> None:
    text = "".join(path.read_text() for path in (FOLDER / "flash-sale-full").rglob("*.yaml"))

    wanted = fields(shape_of(FlashSale)) | fields(shape_of(EdgeConfig))
    not_shown = {"annotations", "labels", "uid", "generation", "creationTimestamp"}
    missing = {name for name in wanted - not_shown if f"{name}:" not in text}
    assert missing == set()


def test_the_classic_recipe_is_the_classic_recipe() -> None:
    update = load([FOLDER / "classic-recipe"])

    (classic,) = update.inventory.all(FlashSale)
    admission = classic.spec.admission
    assert (admission.block_ratio, classic.limit, admission.draw) == (0.4, 3, "PerRequest")
    assert classic.spec.identity.header == "Authorization"


def test_the_recipe_of_requests_a_minute() -> None:
    update = load([FOLDER / "quota-requests"])

    (policy,) = update.inventory.all(QuotaPolicy)
    (limit,) = policy.limits
    assert [part.title for part in limit.key] == ["header x-api-key"]
    assert [(one.id, one.amount) for one in limit.resolved] == [("f60000", 10)]


def test_the_recipe_of_tokens() -> None:
    update = load([FOLDER / "quota-tokens"])

    (policy,) = update.inventory.all(QuotaPolicy)
    (limit,) = policy.limits
    response = limit.resolved_cost.response
    assert limit.counts == "tokens"
    assert response is not None
    assert [term.pointer for term in response.terms] == ["/usage/total_tokens"]
    assert policy.reads_responses


def test_the_recipes_on_the_page_can_be_copied() -> None:
    text = pages()["quotapolicy.md"]
    recipes = [part.partition("```")[0] for part in text.split("```yaml\n")[1:]]

    read = [parse(yaml.safe_load(recipe)) for recipe in recipes]
    assert [one.name for one in read] == ["qpm", "model-api"]
