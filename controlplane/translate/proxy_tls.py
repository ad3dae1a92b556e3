"""The proxy's side of mutual TLS with its control plane.

Envoy reads certificates again only when a secret file names them, so beside the bootstrap there are
two such files: one for the certificate and key, one for the CA. Only paths are in them, no secret.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from controlplane.translate.clusters import is_address

if TYPE_CHECKING:
    from pathlib import PurePosixPath

CERTIFICATE_FILE: Final = "xds-certificate.yaml"
CA_FILE: Final = "xds-ca.yaml"
_CERTIFICATE: Final = "xds-certificate"
_CA: Final = "xds-ca"
_TLS: Final = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyTls:
    """Where a proxy finds what it needs; all paths are those of its own file system."""

    certificate: PurePosixPath
    """Its certificate and chain, PEM; names its gateways."""
    key: PurePosixPath
    """The key of that certificate, PEM."""
    ca: PurePosixPath
    """The CA of the control plane's certificate, PEM."""
    secrets: PurePosixPath
    """The folder of the two files that `secret_files` gives."""
    server_name: str
    """What the control plane's certificate must be for: a DNS name or an address."""


def transport_socket(tls: ProxyTls, protocol: str) -> str:
    """A cluster's transport socket as YAML, indented as the clusters of the bootstrap are."""
    address = is_address(tls.server_name)
    name = json.dumps(tls.server_name)
    # Not for addresses (RFC 6066, 3).
    sni = "" if address else f"\n          sni: {name}"
    kind = "IP_ADDRESS" if address else "DNS"
    return f"""
      transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": {_TLS}.UpstreamTlsContext{sni}
          common_tls_context:
            alpn_protocols: [{protocol}]
            tls_certificate_sds_secret_configs:
              - name: {_CERTIFICATE}
                sds_config: {_source(tls, CERTIFICATE_FILE)}
            combined_validation_context:
              default_validation_context:
                match_typed_subject_alt_names:
                  - {{san_type: {kind}, matcher: {{exact: {name}}}}}
              validation_context_sds_secret_config:
                name: {_CA}
                sds_config: {_source(tls, CA_FILE)}"""


def secret_files(tls: ProxyTls) -> dict[str, str]:
    """The files that go into the folder `secrets`, by name."""
    pair = f"""\
      certificate_chain: {{filename: {_path(tls.certificate)}}}
      private_key: {{filename: {_path(tls.key)}}}"""
    return {
        CERTIFICATE_FILE: _secret(
            "Who this proxy is.", _CERTIFICATE, "tls_certificate", pair, tls.certificate
        ),
        CA_FILE: _secret(
            "Whom it takes for its control plane.",
            _CA,
            "validation_context",
            f"      trusted_ca: {{filename: {_path(tls.ca)}}}",
            tls.ca,
        ),
    }


def _secret(comment: str, name: str, kind: str, files: str, watched: PurePosixPath) -> str:
    return f"""\
# {comment}
# Read again when a file is moved into the watched folder, as Kubernetes does with a mounted Secret;
# writing over a file in place is not noticed.
resources:
  - "@type": {_TLS}.Secret
    name: {name}
    {kind}:
{files}
      watched_directory: {{path: {_path(watched.parent)}}}
"""


def _source(tls: ProxyTls, file: str) -> str:
    path, folder = _path(tls.secrets / file), _path(tls.secrets)
    watched = f"{{path: {path}, watched_directory: {{path: {folder}}}}}"
    return f"{{resource_api_version: V3, path_config_source: {watched}}}"


def _path(path: PurePosixPath) -> str:
    # JSON is YAML, and quotes whatever YAML would take for something else.
    return json.dumps(str(path))
