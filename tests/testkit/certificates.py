"""Real certificates, made by the program `openssl`: a CA, and what it signs."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
_DEADLINE = 30.0
SERVER = ("DNS:control-plane.test", "IP:127.0.0.1")


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, PEM."""

    certificate: Path
    key: Path

    def moved_to(self, folder: Path) -> Pair:
        """Puts both into a folder under the names that Secrets have, each in one go."""
        folder.mkdir(parents=True, exist_ok=True)
        # The certificate comes last, as the half that the other side sees.
        for source, name in ((self.key, "tls.key"), (self.certificate, "tls.crt")):
            put(source.read_bytes(), folder / name)
        return Pair(folder / "tls.crt", folder / "tls.key")


class Authority:
    """A CA of a test's own, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._issued = 0
        self.pair = Pair(folder / "ca.crt", folder / "ca.key")
        self.certificate = self.pair.certificate
        files = ("-keyout", self.pair.key, "-out", self.pair.certificate)
        openssl("req", "-x509", *_NEW_KEY, *files, "-subj", f"/CN={folder.name}", "-days", "2")

    def issue(self, *names: str, expired: bool = False) -> Pair:
        """A certificate for these names, each with its type: `DNS:...`, `URI:...`, `IP:...`."""
        self._issued += 1
        stem = self._folder / f"issued-{self._issued}"
        pair, request = Pair(stem.with_suffix(".crt"), stem.with_suffix(".key")), f"{stem}.csr"
        openssl("req", "-new", *_NEW_KEY, "-keyout", pair.key, "-out", request, "-subj", "/CN=it")
        extensions = stem.with_suffix(".ext")
        alternatives = f"subjectAltName={','.join(names)}\n" if names else ""
        extensions.write_text(f"basicConstraints=critical,CA:FALSE\n{alternatives}")
        openssl(
            *("x509", "-req", "-in", request, "-out", pair.certificate, "-extfile", extensions),
            *("-CA", self.pair.certificate, "-CAkey", self.pair.key, "-CAcreateserial"),
            *("-days", "-1" if expired else "2"),
        )
        return pair


def gateway(name: str, *, namespace: str = "shop", trust_domain: str = "cluster.local") -> str:
    """The name by which a certificate names a gateway."""
    return f"URI:spiffe://{trust_domain}/ns/{namespace}/gateway/{name}"


def put(content: bytes, path: Path) -> None:
    """Replaces a file in one go, as whoever rotates certificates does."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_bytes(content)
    temporary.replace(path)


def openssl(*arguments: object) -> None:
    """Runs the program, which must succeed."""
    command = ["openssl", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, timeout=_DEADLINE, check=False, text=True)
    assert done.returncode == 0, done.stderr
