"""Reads the Lua scripts: the same files that the filters are built with.

In a checkout they lie in filters/scripts; a wheel carries them inside this package. Redis knows a
script by the SHA-1 of its text, so both sides speak of the same one only as long as there is one
copy of the text.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from controlplane.ledger.errors import LedgerError

NAMES = (
    *("begin", "admit", "poll", "heal", "open", "grant", "forget", "reset", "adjust", "quota"),
    "glance",
)


@dataclass(frozen=True, slots=True)
class Script:
    """One script: `text` for EVAL, `sha` for EVALSHA."""

    name: str
    text: str
    sha: str


@cache
def load(name: str) -> Script:
    """Read the script `name`; it is read once, as a running control plane must not mix versions."""
    path = folder() / f"{name}.lua"
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise LedgerError(f"script {path} cannot be read: {error.strerror}") from error
    # SHA-1 is Redis's name for a script, not a defence.
    sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
    return Script(name, text, sha)


def folder() -> Path:
    """Find the scripts: inside the package when installed from a wheel, else in the checkout."""
    here = Path(__file__).resolve().parent
    packaged = here / "scripts"
    return packaged if packaged.is_dir() else here.parents[1] / "filters" / "scripts"
