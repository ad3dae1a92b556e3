"""What the server does with its files when they are good, bad, and in between."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from controlplane.xds.credentials import CredentialsError, ServerCredentials, TlsFiles
from tests.testkit.certificates import SERVER, Authority, openssl, put

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates") / "ca")


@pytest.fixture
def files(authority: Authority, tmp_path: Path) -> TlsFiles:
    pair = authority.issue(*SERVER).moved_to(tmp_path)
    put(authority.certificate.read_bytes(), tmp_path / "ca.crt")
    return TlsFiles(pair.certificate, pair.key, tmp_path / "ca.crt")


def test_new_files_are_taken_and_bad_ones_are_not(authority: Authority, files: TlsFiles) -> None:
    credentials = ServerCredentials(files)
    first = credentials.current()
    assert credentials.current() is first
    other = authority.issue(*SERVER)
    with capture_logs() as logs:
        # Half of a rotation: the key is no longer that of the certificate.
        put(other.key.read_bytes(), files.key)
        assert credentials.current() is first
        assert credentials.current() is first
        files.client_ca.unlink()
        assert credentials.current() is first
        put(authority.certificate.read_bytes(), files.client_ca)
        put(other.certificate.read_bytes(), files.certificate)
        second = credentials.current()
    assert second.certificate == other.certificate.read_bytes()
    assert second.context is not first.context
    assert [one["event"].split(",")[0] for one in logs] == [
        "TLS files not usable",
        "TLS files not usable",
        "TLS files read again",
    ]
    assert "key values mismatch" in logs[0]["reason"]
    assert f"cannot read {files.client_ca}: No such file" in logs[1]["reason"]


def test_a_secret_as_kubernetes_mounts_it(authority: Authority, tmp_path: Path) -> None:
    """All files change at once, when one link is turned to another folder."""
    versions = []
    for number in range(2):
        folder = tmp_path / f"v{number}"
        versions.append(authority.issue(*SERVER).moved_to(folder))
        put(authority.certificate.read_bytes(), folder / "ca.crt")
    (tmp_path / "data").symlink_to("v0")
    names = ("tls.crt", "tls.key", "ca.crt")
    for name in names:
        (tmp_path / name).symlink_to(f"data/{name}")
    credentials = ServerCredentials(TlsFiles(*(tmp_path / name for name in names)))
    assert credentials.current().certificate == versions[0].certificate.read_bytes()
    (tmp_path / "next").symlink_to("v1")
    (tmp_path / "next").rename(tmp_path / "data")
    assert credentials.current().certificate == versions[1].certificate.read_bytes()


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("certificate", b"none", "are no certificate and its key"),
        ("key", b"none", "are no certificate and its key"),
        ("client_ca", b"none", "holds no CA certificate in PEM"),
        ("client_ca", None, "cannot read .*ca.crt: No such file"),
    ],
)
def test_at_the_start_the_files_must_be_good(
    files: TlsFiles, file: str, content: bytes | None, words: str
) -> None:
    path: Path = getattr(files, file)
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    with pytest.raises(CredentialsError, match=words) as raised:
        ServerCredentials(files)
    assert "\n" not in str(raised.value)


def test_a_key_with_a_password_is_refused_instead_of_asking_for_it(files: TlsFiles) -> None:
    locked = files.key.with_name("locked.key")
    openssl("pkey", "-in", files.key, "-out", locked, "-aes256", "-passout", "pass:secret")
    with pytest.raises(CredentialsError, match="without a password"):
        ServerCredentials(TlsFiles(files.certificate, locked, files.client_ca))


def test_no_log_line_shows_a_key(files: TlsFiles) -> None:
    assert repr(ServerCredentials(files).current()) == "Loaded(...)"
