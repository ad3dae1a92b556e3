"""Filter code as ConfigMaps, for all replicas of a control plane: how it is written and read.

One ConfigMap holds one code, packed, under a name made of its hash, and never changes but for the
annotation that tells when it was last in use. One more says which code is in force; what is not in
it was not chosen by anybody, and then each replica serves what its image came with. Nothing that
is read is believed: code counts only when it has the hash that it was asked for by. No I/O here.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import hashlib
import re
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from controlplane.model.durations import format_instant
from controlplane.web import wasm
from controlplane.web.filter_store import DIGITS, STEMS, FilterError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    Object = dict[str, Any]

CHOICE: Final = "sluice-filters"
"""Name of the ConfigMap that says what was chosen."""
LABEL: Final = "sluice.dev/filter-code"
"""On every ConfigMap with code: which filter it is."""
SHA256: Final = "sluice.dev/sha256"
SIZE: Final = "sluice.dev/size"
USED: Final = "sluice.dev/last-used"
PACKED: Final = "code.wasm.gz"
SINCE: Final = ".since"
MOST_BYTES: Final = 1024 * 1024
"""Bytes that the content of a ConfigMap may have."""
KEPT: Final = 8
"""ConfigMaps with code of one filter, besides the one that is chosen."""
UNUSED_FOR: Final = timedelta(days=7)
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_LONG_AGO: Final = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True)
class SharedCode:
    """A ConfigMap with code, by its metadata.

    Attributes:
        size: bytes of the code, unpacked.
        made: when it was written.
        used: when it was last in use, within an hour.
        uid: of the object, so that none is deleted that took its name since.
    """

    filter: str
    sha256: str
    size: int
    made: datetime
    used: datetime
    uid: str


@dataclass(frozen=True, slots=True)
class Choice:
    """Code that somebody chose, and when; of a hash that may be anything."""

    sha256: str
    since: str = ""


def is_digest(text: str) -> bool:
    """Tell whether this is a SHA-256 as hashes are written here."""
    return _DIGEST.fullmatch(text) is not None


def name_of(stem: str, sha256: str) -> str:
    """Name the ConfigMap of a code."""
    return f"sluice-filter-{stem}-{sha256[:DIGITS]}"


# ---------------------------------------------------------------------------------------- code
def write(stem: str, code: bytes, namespace: str, now: datetime) -> Object:
    """Make the ConfigMap of a code.

    Raises:
        FilterError: it is too large for one.
    """
    packed = gzip.compress(code, mtime=0)
    if len(packed) > MOST_BYTES:
        raise FilterError(
            f"code of {stem} is too large, {_mib(len(code))} MiB and packed {_mib(len(packed))}: "
            f"a ConfigMap, by which replicas share it, holds {_mib(MOST_BYTES)} MiB; make it "
            "smaller (a release build, wasm-opt -Oz), or bring it with the image"
        )
    sha256 = hashlib.sha256(code).hexdigest()
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": name_of(stem, sha256),
            "namespace": namespace,
            "labels": {"app.kubernetes.io/part-of": "sluice", LABEL: stem},
            "annotations": {SHA256: sha256, SIZE: str(len(code)), USED: format_instant(now)},
        },
        "immutable": True,
        "binaryData": {PACKED: base64.b64encode(packed).decode()},
    }


def read(obj: Object, stem: str, sha256: str) -> bytes:
    """Unpack the code of a ConfigMap.

    Raises:
        FilterError: it is not the code with that hash, or no code at all.
    """
    name = f"ConfigMap {obj['metadata']['name']}"
    mend = "delete it: whoever serves that code writes it again"
    if describe(obj) is None:
        raise FilterError(f"{name} is not labelled as code of {stem}: {mend}")
    try:
        packed = base64.b64decode(obj["binaryData"][PACKED], validate=True)
        # Not gzip.decompress: a few bytes may be made to unpack to any number.
        unpacking = zlib.decompressobj(wbits=31)
        code = unpacking.decompress(packed, wasm.MAX_BYTES)
    except (KeyError, TypeError, ValueError, binascii.Error, zlib.error) as error:
        raise FilterError(f"{name} holds no code of {stem}: {mend}") from error
    found = hashlib.sha256(code).hexdigest()
    if found != sha256 or unpacking.unconsumed_tail:
        raise FilterError(
            f"{name} does not hold the code {sha256[:DIGITS]} of {stem} but "
            f"{found[:DIGITS]}: {mend}"
        )
    try:
        wasm.check(code)
    except wasm.NotAFilterError as error:
        raise FilterError(f"{name} holds no filter: {error}") from error
    return code


def describe(obj: Object) -> SharedCode | None:
    """Read the metadata of a ConfigMap; None when it is none of ours."""
    metadata = obj["metadata"]
    stem = (metadata.get("labels") or {}).get(LABEL)
    notes = metadata.get("annotations") or {}
    sha256 = str(notes.get(SHA256))
    if stem not in STEMS or not is_digest(sha256) or metadata["name"] != name_of(stem, sha256):
        return None
    size = str(notes.get(SIZE))
    made = _instant(metadata.get("creationTimestamp"))
    return SharedCode(
        stem,
        sha256,
        int(size) if size.isdecimal() else 0,
        made,
        max(made, _instant(notes.get(USED))),
        str(metadata.get("uid") or ""),
    )


def used_patch(now: datetime) -> Object:
    """Give the merge patch that says that a code is in use."""
    return {"metadata": {"annotations": {USED: format_instant(now)}}}


def expendable(
    codes: Iterable[SharedCode], chosen: Collection[str], now: datetime, *, aged: bool
) -> list[SharedCode]:
    """Give what may be deleted: all but the eight used last, and what nobody used for a week.

    What is chosen stays. Without `aged`, only number counts: right after a start nobody knows yet
    what proxies run.
    """
    found: list[SharedCode] = []
    newest_first = sorted(codes, key=lambda code: (code.used, code.sha256), reverse=True)
    for stem in STEMS:
        free = [one for one in newest_first if one.filter == stem and one.sha256 not in chosen]
        found += free[KEPT:]
        if aged:
            found += [one for one in free[:KEPT] if now - one.used > UNUSED_FOR]
    return found


# -------------------------------------------------------------------------------------- choice
def choices(obj: Object | None) -> dict[str, Choice]:
    """Read what was chosen, by filter."""
    data: Mapping[str, Any] = (obj or {}).get("data") or {}
    return {
        stem: Choice(str(data[stem]).strip().lower(), _known(data.get(stem + SINCE)))
        for stem in STEMS
        if data.get(stem)
    }


def choice_patch(chosen: Mapping[str, str | None], now: datetime) -> Object:
    """Give the merge patch that chooses code for filters, or (None) leaves it to the images."""
    data: dict[str, str | None] = {}
    for stem, sha256 in chosen.items():
        data[stem] = sha256
        data[stem + SINCE] = sha256 and _written(now)
    return {"data": data}


def choice_object(patch: Object, namespace: str) -> Object:
    """Make the ConfigMap of choices, when there is none yet, as the patch would leave it."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": CHOICE,
            "namespace": namespace,
            "labels": {"app.kubernetes.io/part-of": "sluice"},
        },
        "data": {key: value for key, value in patch["data"].items() if value is not None},
    }


def _known(text: object) -> str:
    """The text if it is a time: people may write there too."""
    return "" if _instant(text) is _LONG_AGO else str(text)


def _instant(text: object) -> datetime:
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return _LONG_AGO
    return found if found.tzinfo else _LONG_AGO


def _written(instant: datetime) -> str:
    return format_instant(instant.replace(microsecond=0))


def _mib(size: int) -> str:
    return f"{size / 1024**2:.1f}"
