"""Certificates of HTTPS listeners: which Secrets can be used, and their form for Envoy.

A certificate that Envoy refuses would leave a listener waiting for ever, so what can be told
without reading X.509 is told here, on the listener.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from envoy_data_plane.envoy.config.core.v3 import DataSource
from envoy_data_plane.envoy.extensions.transport_sockets.tls import v3 as tls

from controlplane.model import ObjectRef, Secret
from controlplane.translate import grants, names

if TYPE_CHECKING:
    from controlplane.model import Gateway, Inventory
    from controlplane.model.gateway import Listener, SecretReference

_CERTIFICATE: Final = re.compile(
    rb"-----BEGIN CERTIFICATE-----\s[\sA-Za-z0-9+/=]+-----END CERTIFICATE-----"
)
_PRIVATE_KEY: Final = re.compile(
    rb"-----BEGIN ([A-Z]+ )?PRIVATE KEY-----\s[\sA-Za-z0-9+/=]+-----END ([A-Z]+ )?PRIVATE KEY-----"
)

Fault = tuple[str, str]
"""Reason and message."""


def usable(gateway: Gateway, spec: Listener, inventory: Inventory) -> tuple[Secret, ...]:
    """The Secrets of a listener without fault, each once."""
    if spec.tls is None:
        return ()
    found = (_secret(gateway, ref, inventory) for ref in spec.tls.certificate_refs)
    return tuple({secret.ref: secret for secret in found if secret is not None}.values())


def fault(gateway: Gateway, spec: Listener, inventory: Inventory) -> Fault | None:
    """The first thing that is wrong with the certificates of a listener."""
    refs = spec.tls.certificate_refs if spec.tls is not None else ()
    if spec.speaks == "HTTPS" and not refs:
        # Legal with tls.options, of which none is known here that would name a certificate.
        return "InvalidCertificateRef", "no certificate is named: give tls.certificateRefs"
    faults = (_fault(gateway, ref, inventory) for ref in refs)
    return next((found for found in faults if found is not None), None)


def envoy_secret(secret: Secret) -> tls.Secret:
    """The certificate and its key for secret discovery."""
    certificate = tls.TlsCertificate(
        certificate_chain=DataSource(inline_bytes=secret.certificate or b""),
        private_key=DataSource(inline_bytes=secret.private_key or b""),
    )
    return tls.Secret(name=names.secret(secret.namespace, secret.name), tls_certificate=certificate)


def _secret(gateway: Gateway, ref: SecretReference, inventory: Inventory) -> Secret | None:
    return inventory.get(Secret, ref.namespace or gateway.namespace, ref.name)


def _fault(gateway: Gateway, ref: SecretReference, inventory: Inventory) -> Fault | None:
    namespace = ref.namespace or gateway.namespace
    where = f"Secret {namespace}/{ref.name}"
    if ref.group or ref.kind != "Secret":
        return "InvalidCertificateRef", f"{ref.kind} {ref.name} is no certificate: name a Secret"
    forbidden = grants.fault(gateway.ref, ObjectRef("Secret", namespace, ref.name), inventory)
    if forbidden:
        return grants.REASON, forbidden
    secret = _secret(gateway, ref, inventory)
    if secret is None:
        return "InvalidCertificateRef", f"{where} is not there: create it"
    if not _CERTIFICATE.search(secret.certificate or b""):
        return "InvalidCertificateRef", f"{where} has no certificate in PEM under tls.crt"
    if not _PRIVATE_KEY.search(secret.private_key or b""):
        return "InvalidCertificateRef", f"{where} has no private key in PEM under tls.key"
    return None
