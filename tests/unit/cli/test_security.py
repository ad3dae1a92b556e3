"""The options of TLS: which go together, and what `sluice bootstrap` writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.cli.conftest import Sluice

SERVE_TLS = ("--xds-tls-cert", "a", "--xds-tls-key", "b", "--xds-tls-client-ca", "c")
PROXY_TLS = ("--tls-cert", "/t/tls.crt", "--tls-key", "/t/tls.key", "--tls-ca", "/t/ca.crt")
TOGETHER = "--xds-tls-cert, --xds-tls-key and --xds-tls-client-ca go together"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (SERVE_TLS[:2], TOGETHER),
        (SERVE_TLS[:4], TOGETHER),
        (SERVE_TLS[2:], TOGETHER),
        ((*SERVE_TLS, "--xds-plaintext"), "--xds-plaintext contradicts --xds-tls-cert"),
        (("--xds-trust-domain", "spiffe://a"), "'spiffe://a' is no trust domain"),
    ],
)
def test_serve_refuses(
    tmp_path: Path, sluice: Sluice, options: tuple[str, ...], words: str
) -> None:
    result = sluice("serve", str(tmp_path), "--state-dir", str(tmp_path / "state"), *options)
    assert result.code == 2
    assert words in result.err


def test_plaintext_off_loopback_says_both_ways_out(tmp_path: Path, sluice: Sluice) -> None:
    result = sluice(
        *("serve", str(tmp_path), "--state-dir", str(tmp_path / "state")),
        *("--xds-host", "0.0.0.0", "--xds-port", "0", "--web-port", "0"),  # noqa: S104 - refused
    )
    assert result.code == 1
    [line] = [one for one in result.err.splitlines() if one.startswith("error:")]
    assert "--xds-tls-cert" in line
    assert "--xds-plaintext" in line


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (PROXY_TLS[:2], "--tls-cert, --tls-key and --tls-ca go together"),
        (("--tls-server-name", "x"), "--tls-cert, --tls-key and --tls-ca go together"),
        (PROXY_TLS, "give a folder for them by --output"),
        (
            ("--tls-cert", "tls.crt", *PROXY_TLS[2:], "--output", "x"),
            "tls.crt must be an absolute path",
        ),
    ],
)
def test_bootstrap_refuses(sluice: Sluice, options: tuple[str, ...], words: str) -> None:
    result = sluice("bootstrap", "--gateway", "shop/edge", *options)
    assert result.code == 2
    assert words in result.err


def test_bootstrap_writes_what_envoy_watches(tmp_path: Path, sluice: Sluice) -> None:
    output = tmp_path / "out"
    result = sluice(
        *("bootstrap", "--gateway", "shop/edge", "--xds-address", "sluice.test:1"),
        *(*PROXY_TLS, "--output", str(output)),
    )
    assert (result.code, result.out) == (0, "")
    assert {path.name for path in output.iterdir()} == {
        "envoy.yaml",
        "xds-certificate.yaml",
        "xds-ca.yaml",
    }
    clusters = yaml.safe_load((output / "envoy.yaml").read_text())["static_resources"]["clusters"]
    protocols = {}
    for cluster in clusters:
        tls = cluster["transport_socket"]["typed_config"]
        assert tls["sni"] == "sluice.test"
        context = tls["common_tls_context"]
        [protocols[cluster["name"]]] = context["alpn_protocols"]
        [secret] = context["tls_certificate_sds_secret_configs"]
        source = secret["sds_config"]["path_config_source"]
        assert source["path"] == str(output / "xds-certificate.yaml")
        assert source["watched_directory"] == {"path": str(output)}
        validation = context["combined_validation_context"]
        [name] = validation["default_validation_context"]["match_typed_subject_alt_names"]
        assert name == {"san_type": "DNS", "matcher": {"exact": "sluice.test"}}
    assert protocols == {"sluice-xds": "h2", "sluice-web": "http/1.1"}
    [secret] = yaml.safe_load((output / "xds-certificate.yaml").read_text())["resources"]
    assert secret["tls_certificate"] == {
        "certificate_chain": {"filename": "/t/tls.crt"},
        "private_key": {"filename": "/t/tls.key"},
        "watched_directory": {"path": "/t"},
    }
    ports = [
        cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]
        for cluster in clusters
    ]
    assert [one["socket_address"]["port_value"] for one in ports] == [1, 18081]


def test_bootstrap_for_a_proxy_elsewhere(tmp_path: Path, sluice: Sluice) -> None:
    result = sluice(
        *("bootstrap", "--gateway", "shop/edge", "--xds-address", "10.0.0.1:1", *PROXY_TLS),
        *("--output", str(tmp_path), "--proxy-folder", "/etc/envoy"),
        *("--web-address", "10.0.0.2:2"),
    )
    assert result.code == 0
    text = (tmp_path / "envoy.yaml").read_text()
    assert str(tmp_path) not in text
    assert "/etc/envoy/xds-ca.yaml" in text
    # An address is no server name (RFC 6066, 3), and is looked for among the addresses.
    assert "sni" not in text
    assert '{san_type: IP_ADDRESS, matcher: {exact: "10.0.0.1"}}' in text


def test_bootstrap_that_cannot_be_written(tmp_path: Path, sluice: Sluice) -> None:
    (tmp_path / "file").write_text("")
    folder = str(tmp_path / "file" / "folder")
    result = sluice("bootstrap", "--gateway", "shop/edge", *PROXY_TLS, "--output", folder)
    assert result.code == 1
    assert "cannot write to" in result.err
