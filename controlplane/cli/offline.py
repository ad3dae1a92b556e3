"""What commands need that work on manifests alone: reading, translating, and telling places."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from controlplane.sources import Update, load
from controlplane.sources.files import MissingError, find
from controlplane.sources.loading import read_file
from controlplane.translate import Options, Translation, translate
from controlplane.web.filter_store import STEMS, FilterStore, built_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from controlplane.model import ObjectRef, Problem


def read(paths: Iterable[Path]) -> Update:
    """Read manifests once."""
    return load(paths)


def translated(update: Update, state_dir: Path, environ: Iterable[str]) -> Translation:
    """Translate as `serve` with this state folder and these variables set would, at its start."""
    code = FilterStore(state_dir / "filters", built_folder()).foreseen()
    options = Options(filters=code, today=datetime.now(UTC).date(), environment=frozenset(environ))
    return translate(update.inventory, options)


def is_built() -> bool:
    """Tell whether there is code whose hashes can be shown."""
    return all((built_folder() / f"{stem}.wasm").is_file() for stem in STEMS)


def problems(paths: Iterable[Path], update: Update, translation: Translation) -> list[Problem]:
    """Give all problems with their places, in the order of the files."""
    places = where(paths)
    placed = [located(problem, places) for problem in translation.report.problems]
    found = dict.fromkeys((*update.problems, *placed))
    return sorted(found, key=lambda problem: (problem.file, problem.line))


def located(problem: Problem, places: Mapping[ObjectRef, tuple[str, int]]) -> Problem:
    """Add where the object stands to what is wrong with it."""
    if problem.file or problem.ref is None or problem.ref not in places:
        return problem
    file, line = places[problem.ref]
    return replace(problem, file=file, line=line)


def where(paths: Iterable[Path]) -> Mapping[ObjectRef, tuple[str, int]]:
    """Tell where each object stands; of two with one name, the first counts."""
    places: dict[ObjectRef, tuple[str, int]] = {}
    for path in paths:
        try:
            found = find(path)
        except MissingError:
            continue  # a problem that `load` has told
        for item in found:
            if item.problem is None:
                for entry in read_file(item.path, None).entries:
                    places.setdefault(entry.resource.ref, (str(item.path), entry.line))
    return places
