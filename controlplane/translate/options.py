"""What a translation must know besides the objects: the filters' code, the date, the workers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from controlplane.translate import names
from controlplane.xds.resource import WORD

if TYPE_CHECKING:
    from datetime import date

    from controlplane.model.edge_config import FilterSettings

POLL_MS: Final = 200
RETENTION: Final = timedelta(days=30)
_HASH_IN_NAME: Final = 12


@dataclass(frozen=True, slots=True)
class CodeRef:
    """One Wasm file that the control plane holds: its SHA-256 in hex, and its absolute path."""

    sha256: str
    path: str


@dataclass(frozen=True, slots=True)
class FilterCode:
    """The code in force. Other code under these names is a roll-out."""

    flash_sale: CodeRef
    quota: CodeRef
    redis_bridge: CodeRef


@dataclass(frozen=True, slots=True)
class Options:
    """Everything that is neither an object nor a constant."""

    filters: FilterCode
    today: date
    """Where the borders of calendar windows begin; the date in UTC will do for every zone."""
    poll_ms: int = POLL_MS
    """How often each worker polls the books, in ms; longer the more workers there are."""
    workers: int = 1
    """Workers of all proxies, rounded up: each has its share of a limit while Redis is away."""
    retention_ms: int = RETENTION // timedelta(milliseconds=1)
    """How long books are kept after the end of their sale."""
    environment: frozenset[str] = frozenset()
    """Names of the variables that are set in proxies and control plane (never their values).

    Envoy's Redis proxy refuses a configuration that names a variable which is not set, so a
    password is only mentioned to it when there is one.
    """


@dataclass(frozen=True, slots=True)
class Code:
    """Where a proxy gets a Wasm file from: a `path` of its own machine, or a `uri`."""

    sha256: str
    path: str = ""
    uri: str = ""


def locate(code: CodeRef, stem: str, settings: FilterSettings) -> Code:
    """Work out where proxies find the code, as their EdgeConfig says."""
    if settings.source == "Remote":
        at = f"http://{names.WEB_CLUSTER}/filters"
        return Code(code.sha256, uri=f"{at}/{code.sha256}.wasm?{WORD}")
    if settings.directory is None:
        return Code(code.sha256, path=code.path)
    name = f"{stem}-{code.sha256[:_HASH_IN_NAME]}.wasm"
    return Code(code.sha256, path=str(PurePosixPath(settings.directory) / name))
