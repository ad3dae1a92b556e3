"""What a control plane with TLS offers to whom, and what it refuses to start with."""

from __future__ import annotations

import hashlib
import ssl
from typing import TYPE_CHECKING

import httpx
import pytest

from controlplane.settings import StartError
from controlplane.xds.credentials import TlsFiles
from tests.testkit.certificates import SERVER, Authority, Pair, gateway
from tests.unit.app.control_plane import control_plane, write_manifests

if TYPE_CHECKING:
    from pathlib import Path

NOWHERE = "127.0.0.1:1"  # no Redis is needed


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates") / "ca")


@pytest.fixture
def files(authority: Authority) -> TlsFiles:
    pair = authority.issue(*SERVER)
    return TlsFiles(pair.certificate, pair.key, authority.certificate)


def client(authority: Authority, pair: Pair | None) -> httpx.AsyncClient:
    context = ssl.create_default_context(cafile=authority.certificate)
    if pair is not None:
        context.load_cert_chain(pair.certificate, pair.key)
    return httpx.AsyncClient(verify=context, trust_env=False)


async def test_filter_code_over_tls_and_nothing_else_there(
    tmp_path: Path, authority: Authority, files: TlsFiles
) -> None:
    manifests = write_manifests(tmp_path / "manifests", NOWHERE)
    async with control_plane(manifests, tmp_path, xds_tls=files, filters_port=0) as running:
        assert running.about["xdsSecurity"] == "mutual TLS"
        where = f"https://{running.about['filters']}"
        code = (tmp_path / "built" / "flash-sale.wasm").read_bytes()
        path = f"/filters/{hashlib.sha256(code).hexdigest()}.wasm"
        mine = authority.issue(gateway("edge"))
        async with client(authority, mine) as proxy:
            assert (await proxy.get(where + path)).content == code
            assert (await proxy.get(f"{where}/filters/{'0' * 64}.wasm")).status_code == 404
            for other in ("/api/v1/status", "/metrics", "/healthz", "/"):
                assert (await proxy.get(where + other)).status_code == 404
            assert (await proxy.post(where + path)).status_code == 405
        for pair in (None, authority.issue(gateway("edge"), expired=True)):
            async with client(authority, pair) as stranger:
                with pytest.raises(httpx.TransportError):
                    await stranger.get(where + path)
        # New files hold for new connections.
        new = authority.issue("DNS:new.test", "IP:127.0.0.1")
        for source, target in ((new.key, files.key), (new.certificate, files.certificate)):
            target.write_bytes(source.read_bytes())
        async with client(authority, mine) as proxy:
            answer = await proxy.get(where + path)
            stream = answer.extensions["network_stream"].get_extra_info("ssl_object")
            names = {name for _, name in stream.getpeercert()["subjectAltName"]}
            assert "new.test" in names


async def test_without_tls_there_is_no_port_for_code(tmp_path: Path) -> None:
    manifests = write_manifests(tmp_path / "manifests", NOWHERE)
    async with control_plane(manifests, tmp_path) as running:
        assert running.about["xdsSecurity"] == "plaintext"
        assert "filters" not in running.about


async def test_files_that_are_missing(tmp_path: Path, files: TlsFiles) -> None:
    manifests = write_manifests(tmp_path / "manifests", NOWHERE)
    gone = TlsFiles(files.certificate, tmp_path / "gone.key", files.client_ca)
    with pytest.raises(StartError, match=r"^no TLS for xDS: cannot read .*gone.key: No such file"):
        async with control_plane(manifests, tmp_path, xds_tls=gone):
            pass


async def test_plaintext_off_loopback(tmp_path: Path) -> None:
    manifests = write_manifests(tmp_path / "manifests", NOWHERE)
    everywhere = "0.0.0.0"  # noqa: S104 - it is refused
    with pytest.raises(StartError) as raised:
        async with control_plane(manifests, tmp_path, xds_host=everywhere):
            pass
    assert str(raised.value) == (
        "xDS on 0.0.0.0:0 would be open to everybody who can connect: give --xds-tls-cert, "
        "--xds-tls-key and --xds-tls-client-ca, or --xds-plaintext if the network is trusted"
    )
