"""A CA of our own for the TLS between proxies and control plane, where there is no other.

By the program `openssl`, which is on nearly every machine: no library more for something that runs
once a day. Keys are P-256 and never written outside a folder that nobody else can read.
"""

from __future__ import annotations

import subprocess
import tempfile
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

AUTHORITY_LIFE: Final = timedelta(days=3650)
_DEADLINE: Final = 30.0
_NEW_KEY: Final = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
_DAY: Final = timedelta(days=1)
Usage = Literal["serverAuth", "clientAuth"]


class AuthorityError(Exception):
    """Certificates cannot be made; the message is one line."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, PEM. Not shown in logs: one of them is a key."""

    certificate: bytes
    key: bytes

    def __repr__(self) -> str:
        return "Pair(...)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a certificate is for; names with their type, such as `DNS:edge` or `URI:...`."""

    subject: str
    usage: Usage
    names: tuple[str, ...]
    life: timedelta


def make_authority(subject: str) -> Pair:
    """Make a CA that signs itself."""
    with _Folder(prefix="sluice-") as folder:
        made = ("-keyout", folder / "key", "-out", folder / "certificate")
        extensions = (
            *("-addext", "basicConstraints=critical,CA:TRUE,pathlen:0"),
            *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
        )
        days = ("-days", AUTHORITY_LIFE // _DAY)
        _openssl("req", "-x509", *_NEW_KEY, *made, "-subj", f"/CN={subject}", *days, *extensions)
        return _pair(folder)


def issue(authority: Pair, wanted: Wanted) -> Pair:
    """Make a key, and a certificate for it that the authority signs."""
    with _Folder(prefix="sluice-") as folder:
        files = _written(folder, ca=authority.certificate, cakey=authority.key)
        request = folder / "request"
        made = ("-keyout", folder / "key", "-out", request)
        _openssl("req", "-new", *_NEW_KEY, *made, "-subj", f"/CN={wanted.subject}")
        extensions = folder / "extensions"
        extensions.write_text(
            "basicConstraints=critical,CA:FALSE\n"
            "keyUsage=critical,digitalSignature\n"
            f"extendedKeyUsage={wanted.usage}\n"
            f"subjectAltName={','.join(wanted.names)}\n"
        )
        _openssl(
            *("x509", "-req", "-in", request, "-out", folder / "certificate"),
            *("-CA", files["ca"], "-CAkey", files["cakey"], "-set_serial", _serial()),
            *("-days", wanted.life // _DAY, "-extfile", extensions),
        )
        return _pair(folder)


def is_good(authority: Pair, left: timedelta) -> bool:
    """Whether this is a CA with its key that lives longer than that."""
    with _Folder(prefix="sluice-") as folder:
        files = _written(folder, certificate=authority.certificate, key=authority.key)
        return (
            _lives(files["certificate"], left)
            and _belong_together(files["certificate"], files["key"])
            and "CA:TRUE" in _said("x509", "-in", files["certificate"], "-noout", "-text")
        )


def serves(pair: Pair, authority: Pair, wanted: Wanted, left: timedelta) -> bool:
    """Whether a certificate is what is wanted, by this authority, for longer than that."""
    with _Folder(prefix="sluice-") as folder:
        files = _written(
            folder, certificate=pair.certificate, key=pair.key, ca=authority.certificate
        )
        certificate = files["certificate"]
        return (
            _lives(certificate, left)
            and _belong_together(certificate, files["key"])
            and _succeeds("verify", "-CAfile", files["ca"], certificate)
            and _names(certificate) == set(wanted.names)
        )


def _lives(certificate: Path, left: timedelta) -> bool:
    seconds = int(left.total_seconds())
    return _succeeds("x509", "-in", certificate, "-noout", "-checkend", seconds)


def _belong_together(certificate: Path, key: Path) -> bool:
    public = _said("x509", "-in", certificate, "-noout", "-pubkey")
    return bool(public) and public == _said("pkey", "-in", key, "-pubout", "-passin", "pass:")


def _names(certificate: Path) -> set[str]:
    lines = _said("x509", "-in", certificate, "-noout", "-ext", "subjectAltName").splitlines()
    return {name.strip() for line in lines[1:] for name in line.split(",")}


def _serial() -> str:
    return "0x" + _openssl("rand", "-hex", "16").stdout.decode().strip()


class _Folder(tempfile.TemporaryDirectory[str]):
    """A folder for nobody else's eyes, that is gone afterwards."""

    def __enter__(self) -> Path:  # type: ignore[override]
        return Path(super().__enter__())


def _written(folder: Path, **contents: bytes) -> dict[str, Path]:
    paths = {name: folder / name for name in contents}
    for name, path in paths.items():
        path.write_bytes(contents[name])
    return paths


def _pair(folder: Path) -> Pair:
    return Pair((folder / "certificate").read_bytes(), (folder / "key").read_bytes())


def _succeeds(*arguments: object) -> bool:
    return _run(arguments).returncode == 0


def _said(*arguments: object) -> str:
    done = _run(arguments)
    return "" if done.returncode else done.stdout.decode(errors="replace")


def _openssl(*arguments: object) -> subprocess.CompletedProcess[bytes]:
    done = _run(arguments)
    if done.returncode:
        reason = " ".join(done.stderr.decode(errors="replace").split())[-300:]
        raise AuthorityError(f"openssl {arguments[0]} failed: {reason}")
    return done


def _run(arguments: Iterable[object]) -> subprocess.CompletedProcess[bytes]:
    command = ["openssl", *(str(argument) for argument in arguments)]
    try:
        return subprocess.run(
            command, check=False, capture_output=True, timeout=_DEADLINE, stdin=subprocess.DEVNULL
        )
    except FileNotFoundError:
        raise AuthorityError("the program openssl is not on PATH: install it") from None
    except subprocess.TimeoutExpired:
        raise AuthorityError(f"openssl {command[1]} did not end in {_DEADLINE:g} s") from None
