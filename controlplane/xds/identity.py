"""Which gateways a proxy may serve, by its certificate.

A gateway is named by a URI among the certificate's subject alternative names, in the form of SPIFFE
(the SPIFFE-ID standard): `spiffe://<trust domain>/ns/<namespace>/gateway/<name>`; several such URIs
are several gateways. A URI rather than a DNS name, since it can be taken for nothing else: no
certificate of a web server has it by chance, it knows no wildcards, it is not cut to 63 bytes a
label, and the trust domain keeps the clusters of one CA apart.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

TRUST_DOMAIN: Final = "cluster.local"
"""Of certificates, unless told otherwise: what Kubernetes clusters call themselves."""

#: Only URIs: the list of all names mixes the types, and a DNS name may spell a URI.
_URIS: Final = "peer_uri"
_NAME: Final = r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?"
_PATH: Final = re.compile(rf"/ns/(?P<namespace>{_NAME})/gateway/(?P<name>{_NAME})")
_GATEWAY: Final = re.compile(rf"(?P<namespace>{_NAME})/(?P<name>{_NAME})")
_TRUST_DOMAIN: Final = re.compile(r"[a-z0-9._-]{1,255}")
_SHOWN: Final = 3
_LONGEST: Final = 300


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a peer is, by a certificate that was verified.

    Attributes:
        uris: all that its certificate names, of any kind.
        gateways: those that it may serve, `namespace/name`.
        trust_domain: in which they had to be.
    """

    uris: tuple[str, ...]
    gateways: frozenset[str]
    trust_domain: str

    def objection(self, gateway: str) -> str:
        """Say in one line why it may not serve a gateway; empty when it may."""
        if gateway in self.gateways:
            return ""
        named = ", ".join(uri[:_LONGEST] for uri in self.uris[:_SHOWN])
        if len(self.uris) > _SHOWN:
            named += f" and {len(self.uris) - _SHOWN} more"
        return (
            f"the proxy asks for gateway {gateway[:_LONGEST]!r}, but its certificate names "
            f"{named or 'no URI'}: it needs the URI SAN {self._wanted(gateway)}"
        )

    def _wanted(self, gateway: str) -> str:
        fits = _GATEWAY.fullmatch(gateway)
        namespace, name = (fits["namespace"], fits["name"]) if fits else ("NAMESPACE", "NAME")
        return gateway_uri(self.trust_domain, namespace, name)


def gateway_uri(trust_domain: str, namespace: str, name: str) -> str:
    """Give the URI by which a certificate names a gateway."""
    return f"spiffe://{trust_domain}/ns/{namespace}/gateway/{name}"


def is_trust_domain(text: str) -> bool:
    """Whether a text can be a trust domain (SPIFFE-ID, 2.1)."""
    return _TRUST_DOMAIN.fullmatch(text) is not None


def identify(authentication: Mapping[str, Iterable[bytes]], trust_domain: str) -> Identity:
    """Read what gRPC knows of a peer whose certificate it has verified."""
    uris = tuple(uri.decode(errors="replace") for uri in authentication.get(_URIS, ()))
    prefix = f"spiffe://{trust_domain}"
    found = (
        _PATH.fullmatch(uri.removeprefix(prefix)) for uri in uris if uri.startswith(f"{prefix}/")
    )
    gateways = frozenset(f"{one['namespace']}/{one['name']}" for one in found if one)
    return Identity(uris, gateways, trust_domain)
