from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from controlplane.cli.certificates import command
from controlplane.xds.credentials import ServerCredentials, TlsFiles
from controlplane.xds.identity import identify

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

NAME = "control-plane.test"
GATEWAY = "shop/edge"


def run(folder: Path, *more: str, name: str = NAME, gateway: str = GATEWAY) -> Result:
    arguments = ["--server-name", name, "--gateway", gateway, "--output", str(folder), *more]
    return CliRunner().invoke(command, arguments)


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def peer_uris(folder: Path) -> list[str]:
    """Shakes hands in memory, both sides checking; the URIs that the server sees."""
    files = TlsFiles(*(folder / "server" / name for name in ("tls.crt", "tls.key", "ca.crt")))
    proxy = folder / "proxy"
    client_side = ssl.create_default_context(cafile=str(proxy / "ca.crt"))
    client_side.load_cert_chain(proxy / "tls.crt", proxy / "tls.key")
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_side.wrap_bio(down, up, server_hostname=NAME)
    server = ServerCredentials(files).current().context.wrap_bio(up, down, server_side=True)
    for _ in range(4):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    certificate = server.getpeercert()
    assert certificate is not None
    return [str(name[1]) for name in certificate["subjectAltName"] if name[0] == "URI"]


def test_both_sides_trust_each_other_and_the_gateway_is_named(tmp_path: Path) -> None:
    assert run(tmp_path).exit_code == 0
    uris = peer_uris(tmp_path)
    identity = identify({"peer_uri": [uri.encode() for uri in uris]}, "cluster.local")
    assert identity.gateways == {GATEWAY}
    for path in tmp_path.rglob("tls.key"):
        assert path.stat().st_mode & 0o077 == 0


def test_what_is_good_stays(tmp_path: Path) -> None:
    run(tmp_path)
    before = contents(tmp_path)
    again = run(tmp_path)
    assert again.output.splitlines() == ["kept server", "kept proxy"]
    assert contents(tmp_path) == before


def test_what_ends_soon_is_made_anew_by_the_same_authority(tmp_path: Path) -> None:
    run(tmp_path, "--days", "20", "--renew-days", "10")
    before = contents(tmp_path)
    run(tmp_path)  # at least 30 days must be left
    after = contents(tmp_path)
    assert {name for name in after if after[name] == before[name]} == {
        *("ca/tls.crt", "ca/tls.key", "ca/ca.crt", "server/ca.crt", "proxy/ca.crt")
    }
    assert peer_uris(tmp_path)


@pytest.mark.parametrize(
    ("changed", "kept"), [({"name": "other.test"}, "proxy"), ({"gateway": "shop/b"}, "server")]
)
def test_other_names_need_another_certificate(
    tmp_path: Path, changed: dict[str, str], kept: str
) -> None:
    run(tmp_path)
    again = run(tmp_path, **changed)
    assert f"kept {kept}" in again.output
    assert again.output.count("made") == 1


def test_without_its_authority_all_is_made_anew(tmp_path: Path) -> None:
    run(tmp_path)
    (tmp_path / "ca" / "tls.key").write_bytes(b"not a key")
    assert run(tmp_path).output.count("made") == 3
    assert peer_uris(tmp_path)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--server-name", "a,DNS:b"),
        ("--gateway", "edge"),
        ("--gateway", "a/b\nURI:c"),
        ("--trust-domain", "A B"),
        ("--days", "10", "--renew-days", "10"),
        ("--secret-prefix", "both"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    result = run(tmp_path, *arguments)
    assert result.exit_code == 2, result.output
    assert not contents(tmp_path)
