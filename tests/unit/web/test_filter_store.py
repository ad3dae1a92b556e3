"""The store: files named by content, chosen, rolled back, never changed in place."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from controlplane.web.filter_store import KEEP, FilterError, FilterStore
from tests.unit.web.modules import built, module

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return built(tmp_path / "built")


@pytest.fixture
def store(tmp_path: Path, package: Path) -> FilterStore:
    made = FilterStore(tmp_path / "store", package)
    made.prepare()
    return made


def test_the_built_files_are_in_force_at_first(store: FilterStore, package: Path) -> None:
    code = store.code.flash_sale
    content = (package / "flash-sale.wasm").read_bytes()
    assert code.sha256 == hashlib.sha256(content).hexdigest()
    assert code.path.endswith(f"/flash-sale-{code.sha256[:12]}.wasm")
    assert code.path.startswith("/")
    assert store.find(code.sha256) is not None


def test_a_reload_is_a_new_file_and_can_be_undone(store: FilterStore, package: Path) -> None:
    first = store.code.flash_sale
    built(package, salt="changed")
    second = store.reload("flash-sale")
    assert store.code.flash_sale == second != first
    assert store.find(first.sha256) is not None
    assert store.go_back("flash-sale", first.sha256[:12]) == first
    assert store.code.flash_sale == first
    current = [(one.filter, one.sha256) for one in store.stored() if one.current]
    assert current == [
        ("flash-sale", first.sha256),
        ("quota", store.code.quota.sha256),
        ("redis-bridge", store.code.redis_bridge.sha256),
    ]


def test_the_choice_outlives_the_process(store: FilterStore, package: Path, tmp_path: Path) -> None:
    first = store.code.flash_sale
    path = tmp_path / "mine.wasm"
    path.write_bytes(module(salt="mine"))
    chosen = store.reload("flash-sale", path.read_bytes())
    again = FilterStore(tmp_path / "store", package)
    again.prepare()
    assert again.code.flash_sale == chosen
    # An upgrade of the package brings newer code, which a choice from before does not hold back.
    built(package, salt="upgrade")
    upgraded = FilterStore(tmp_path / "store", package)
    upgraded.prepare()
    assert upgraded.code.flash_sale not in {chosen, first}


def test_a_missing_file_names_the_command(tmp_path: Path) -> None:
    store = FilterStore(tmp_path / "store", tmp_path / "nothing")
    with pytest.raises(FilterError, match="is missing: build it with `make filters`"):
        store.prepare()


def test_what_is_no_filter_is_not_put_in_force(store: FilterStore) -> None:
    first = store.code
    message = "the file sent for flash-sale is no filter: it is not a Wasm module"
    for junk in (b"no wasm", b""):
        with pytest.raises(FilterError, match=message):
            store.reload("flash-sale", junk)
    with pytest.raises(FilterError, match="there is no filter 'frob'"):
        store.reload("frob")
    assert store.code == first


def test_going_back_needs_one_file(store: FilterStore) -> None:
    with pytest.raises(FilterError, match="names no single file"):
        store.go_back("flash-sale", "0000")
    with pytest.raises(FilterError, match="names no single file"):
        store.go_back("flash-sale", store.code.flash_sale.sha256[:2])


def test_a_file_that_was_tampered_with_is_put_right(store: FilterStore, package: Path) -> None:
    code = store.code.flash_sale
    path = store.find(code.sha256)
    assert path is not None
    path.write_bytes(b"tampered")
    assert store.find(code.sha256) is None
    assert store.reload("flash-sale") == code
    assert path.read_bytes() == (package / "flash-sale.wasm").read_bytes()


def test_old_files_go_and_the_chosen_one_stays(store: FilterStore, package: Path) -> None:
    for turn in range(KEEP + 4):
        built(package, salt=str(turn))
        last = store.reload("flash-sale")
    kept = [one for one in store.stored() if one.filter == "flash-sale"]
    assert len(kept) == KEEP
    assert last.sha256 in {one.sha256 for one in kept}


def test_an_unreadable_choice_is_no_choice(tmp_path: Path, package: Path) -> None:
    folder = tmp_path / "store"
    folder.mkdir()
    (folder / "current.json").write_text("[1")
    store = FilterStore(folder, package)
    store.prepare()
    assert store.code.flash_sale.sha256
