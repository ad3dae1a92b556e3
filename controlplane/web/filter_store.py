"""The Wasm code that proxies run: files named by their content, and which of them is in force.

Code is rolled out like configuration: a new file under a new name, never a file that changes under
a proxy that has it open. Old files stay for a while, so that going back is choosing again.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from controlplane.translate.options import CodeRef, FilterCode
from controlplane.web import wasm

FLASH_SALE: Final = "flash-sale"
QUOTA: Final = "quota"
REDIS_BRIDGE: Final = "redis-bridge"
STEMS: Final = (FLASH_SALE, QUOTA, REDIS_BRIDGE)
DIGITS: Final = 12
FEWEST_DIGITS: Final = 4
"""Of a hash that people type: fewer are a slip."""
KEEP: Final = 6
UNBUILT: Final = "0" * 64


class FilterError(Exception):
    """A filter cannot be used; the message names the file and says what to do."""


@dataclass(frozen=True, slots=True)
class StoredCode:
    """One file of the store."""

    filter: str
    sha256: str
    size: int
    stored_at: float
    current: bool

    @property
    def short(self) -> str:
        """The hash as commands show and take it."""
        return self.sha256[:DIGITS]


class FilterStore:
    """The files in `folder`, filled from the `built` ones that this package came with."""

    def __init__(self, folder: Path, built: Path) -> None:
        self._folder = folder.absolute()  # Envoy takes absolute paths only
        self._built = built
        self._chosen: dict[str, dict[str, str]] = {}

    def prepare(self) -> None:
        """Make sure that there is code to serve: the one chosen last, or newer built files.

        Raises:
            FilterError: a file is missing, or is no filter.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        self._chosen = self._read_choice()
        for stem in STEMS:
            built = self._digest_of_built(stem)
            if not self._is_kept(stem, built):
                self._choose(stem, self._add(stem, self._read(self._built_path(stem))), built)
        self._save()

    def foreseen(self) -> FilterCode:
        """What `prepare` would put in force; nothing is written. Zeros for what is not built."""
        self._chosen = self._read_choice()
        for stem in STEMS:
            built = self._digest_of_built(stem)
            if not self._is_kept(stem, built):
                self._choose(stem, built or UNBUILT, built)
        return self.code

    @property
    def code(self) -> FilterCode:
        """What is in force, for the translation."""
        return FilterCode(
            flash_sale=self._ref(FLASH_SALE),
            quota=self._ref(QUOTA),
            redis_bridge=self._ref(REDIS_BRIDGE),
        )

    @property
    def hashes(self) -> dict[str, str]:
        """What is in force, by filter."""
        return {stem: self._chosen[stem]["sha256"] for stem in STEMS}

    def stored(self) -> list[StoredCode]:
        """Give all files, the newest of each filter first."""
        found = []
        for stem in STEMS:
            for path in self._files(stem):
                code = path.read_bytes()
                sha256 = hashlib.sha256(code).hexdigest()
                current = self._chosen.get(stem, {}).get("sha256") == sha256
                found.append(StoredCode(stem, sha256, len(code), path.stat().st_mtime, current))
        return found

    def reload(self, stem: str, code: bytes | None = None) -> CodeRef:
        """Put code in force: the built file as it is now, or what was sent.

        Raises:
            FilterError: the file cannot be read, or is no filter.
        """
        sha256 = self.add(stem, code)
        self._choose(stem, sha256, self._digest_of_built(stem))
        self._save()
        return CodeRef(sha256, str(self._path(stem, sha256)))

    def go_back(self, stem: str, digits: str) -> CodeRef:
        """Put code in force that is in the store, found by the beginning of its hash.

        Raises:
            FilterError: no file of the store, or more than one, has such a hash.
        """
        self._known(stem)
        names = [path.stem.removeprefix(f"{stem}-") for path in self._files(stem)]
        found = [name for name in names if name.startswith(digits[:DIGITS])]
        if len(found) != 1 or len(digits) < FEWEST_DIGITS:
            kept = ", ".join(names) or "none"
            raise FilterError(f"{stem} {digits!r} names no single file of the store; there: {kept}")
        path = self._folder / f"{stem}-{found[0]}.wasm"
        sha256 = hashlib.sha256(self._read(path)).hexdigest()
        path.touch()  # chosen again: the last to be removed
        self._choose(stem, sha256, self._digest_of_built(stem))
        self._save()
        return CodeRef(sha256, str(path))

    def add(self, stem: str, code: bytes | None = None) -> str:
        """Take code into the store, the built file or what was sent; it is not in force by that.

        Raises:
            FilterError: the file cannot be read, or is no filter.
        """
        self._known(stem)
        if code is not None:
            check(stem, code)
        sha256 = self._add(stem, self._read(self._built_path(stem)) if code is None else code)
        self._prune(stem, sha256)
        return sha256

    def use(self, stem: str, sha256: str) -> bool:
        """Put code of the store in force; gives whether other code was so before."""
        before = self._chosen[stem]["sha256"]
        if before == sha256:
            return False
        self._choose(stem, sha256, self._digest_of_built(stem))
        self._save()
        return True

    def match(self, stem: str, digits: str) -> list[str]:
        """Give the hashes in the store that begin like this."""
        self._known(stem)
        found = (hashlib.sha256(path.read_bytes()).hexdigest() for path in self._files(stem))
        return [sha256 for sha256 in found if sha256.startswith(digits)]

    def find(self, sha256: str) -> Path | None:
        """Give the file with this hash, for proxies that fetch it."""
        return next(filter(None, (self.path_of(stem, sha256) for stem in STEMS)), None)

    def path_of(self, stem: str, sha256: str) -> Path | None:
        """Give the file of this filter with this hash, if it is in the store and whole."""
        path = self._path(stem, sha256)
        if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == sha256:
            return path
        return None

    # ------------------------------------------------------------------------------------- inside

    def _add(self, stem: str, code: bytes) -> str:
        sha256 = hashlib.sha256(code).hexdigest()
        path = self._path(stem, sha256)
        if not path.is_file() or path.read_bytes() != code:
            fresh = path.with_suffix(".new")
            fresh.write_bytes(code)
            fresh.chmod(0o644)  # proxies may run as another user
            fresh.replace(path)
        path.touch()
        return sha256

    def _read(self, path: Path) -> bytes:
        try:
            code = path.read_bytes()
        except FileNotFoundError as error:
            ours = path.parent == self._built
            hint = "build it with `make filters`" if ours else "check the path"
            raise FilterError(f"filter file {path} is missing: {hint}") from error
        except OSError as error:
            raise FilterError(f"filter file {path} cannot be read: {error.strerror}") from error
        _check(code, str(path))
        return code

    def _is_kept(self, stem: str, built: str) -> bool:
        """Whether the code chosen last stays: it is there, and nothing newer was built since."""
        chosen = self._chosen.get(stem, {})
        return chosen.get("built") == built and self._path(stem, chosen["sha256"]).is_file()

    def _choose(self, stem: str, sha256: str, built: str) -> None:
        self._chosen = {**self._chosen, stem: {"sha256": sha256, "built": built}}

    def _digest_of_built(self, stem: str) -> str:
        """Hash of the built file; a newer one (an upgrade) takes the place of what was chosen."""
        try:
            return hashlib.sha256(self._built_path(stem).read_bytes()).hexdigest()
        except OSError:
            return ""

    def _read_choice(self) -> dict[str, dict[str, str]]:
        try:
            choice: Any = json.loads(self._choice_path.read_text())
            return {stem: dict(choice[stem]) for stem in STEMS if "sha256" in choice.get(stem, {})}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}  # no choice, or not a readable one: the built files it is

    def _save(self) -> None:
        fresh = self._choice_path.with_suffix(".new")
        fresh.write_text(json.dumps(self._chosen, indent=1) + "\n")
        fresh.replace(self._choice_path)

    def _prune(self, stem: str, *more: str) -> None:
        keep = {self._path(stem, one) for one in (self._chosen[stem]["sha256"], *more)}
        for path in self._files(stem)[KEEP:]:
            if path not in keep:
                path.unlink(missing_ok=True)

    def _files(self, stem: str) -> list[Path]:
        paths = [
            path
            for path in self._folder.glob(f"{stem}-*.wasm")
            if len(path.stem) == len(stem) + 1 + DIGITS
        ]
        return sorted(paths, key=lambda path: (-path.stat().st_mtime_ns, path.name))

    def _ref(self, stem: str) -> CodeRef:
        sha256 = self._chosen[stem]["sha256"]
        return CodeRef(sha256, str(self._path(stem, sha256)))

    def _known(self, stem: str) -> None:
        if stem not in STEMS:
            raise FilterError(f"there is no filter {stem!r}: choose from {', '.join(STEMS)}")

    def _path(self, stem: str, sha256: str) -> Path:
        return self._folder / f"{stem}-{sha256[:DIGITS]}.wasm"

    def _built_path(self, stem: str) -> Path:
        return self._built / f"{stem}.wasm"

    @property
    def _choice_path(self) -> Path:
        return self._folder / "current.json"


def built_folder() -> Path:
    """Give the folder of the files that this package was built with."""
    return Path(__file__).resolve().parents[1] / "filters"


def check(stem: str, code: bytes) -> None:
    """Refuse, by FilterError, what was sent as a filter's code and is none."""
    if stem not in STEMS:
        raise FilterError(f"there is no filter {stem!r}: choose from {', '.join(STEMS)}")
    _check(code, f"the file sent for {stem}")


def _check(code: bytes, name: str) -> None:
    try:
        wasm.check(code)
    except wasm.NotAFilterError as error:
        raise FilterError(f"{name} is no filter: {error}") from error
