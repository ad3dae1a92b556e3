"""Small types with their bounds: names, ports, header names.

The bounds are those of Kubernetes and Gateway API where they have one (a manifest accepted here
must be accepted by an API server too), and of HTTP (RFC 9110, RFC 6265) otherwise. Each pattern
is plain RE2, since CRDs carry the same ones.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import Field

DNS_NAME: Final = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
HOSTNAME: Final = r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
GROUP: Final = r"^$|^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
KIND: Final = r"^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$"
HEADER_NAME: Final = r"^[A-Za-z0-9!#$%&'*+\-.^_\x60|~]+$"
HEADER_VALUE: Final = r"^[^\x00-\x08\x0a-\x1f\x7f]*$"
NO_SPACE: Final = r"^[^\x00-\x20\x7f]+$"
ENVIRONMENT_VARIABLE: Final = r"^[A-Za-z_][A-Za-z0-9_]*$"
EPOCH: Final = r"^[A-Za-z0-9._-]+$"
PASS_COOKIE: Final = r"^(__Host-|__Secure-)?[A-Za-z0-9_-]{1,64}$"  # noqa: S105 a pattern
URL_PATH: Final = r"^([-A-Za-z0-9/._~!$&'()*+,;=:@]|%[0-9a-fA-F]{2})*$"
PRINTABLE: Final = r"^[^\x00-\x1f\x7f]*$"
ADDRESS: Final = r"^([A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}$"
CONTROLLER: Final = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[A-Za-z0-9/\-._~%!$&'()*+,;=:]+$"
PROTOCOL: Final = r"^[A-Za-z0-9/.\-]+$"
NAMESPACE: Final = r"^$|^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
LABEL: Final = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
JSON_POINTER: Final = r"^(/([^~/\x00-\x1f\x7f]|~[01])*){1,16}$"

MESSAGES: Final = {
    DNS_NAME: "must be lower-case letters, digits, '-' and '.', such as shop-1",
    HOSTNAME: "must be a host name such as shop.example.com or *.example.com",
    GROUP: "must be an API group such as gateway.networking.k8s.io, or empty for the core group",
    KIND: "must be a kind such as HTTPRoute",
    HEADER_NAME: "must be an HTTP token: letters, digits and !#$%&'*+-.^_`|~, such as X-User",
    HEADER_VALUE: "must not contain control characters such as line breaks",
    NO_SPACE: "must not contain spaces or control characters",
    ENVIRONMENT_VARIABLE: "must be a variable name: letters, digits and '_'",
    NAMESPACE: "must be lower-case letters, digits and '-', such as shop-1",
    EPOCH: "must be letters, digits, '.', '_' and '-', such as black-friday-2026",
    PASS_COOKIE: "must be 1 to 64 letters, digits, '_', '-', behind __Host- or __Secure- if any",
    URL_PATH: "must be a path of a URL, other characters written as %20",
    PRINTABLE: "must not contain control characters such as line breaks",
    ADDRESS: "must be a host and a port, such as 127.0.0.1:6379 or [::1]:6379",
    CONTROLLER: "must be a name such as sluice.dev/controller",
    PROTOCOL: "must be a protocol such as HTTP or HTTPS",
    LABEL: "must be lower-case letters, digits and '-', such as per-key",
    JSON_POINTER: "must be a JSON pointer such as /usage/total_tokens, of at most 16 steps",
}
"""What a pattern asks for, in words."""

Name = Annotated[str, Field(min_length=1, max_length=253, pattern=DNS_NAME)]
Namespace = Annotated[str, Field(max_length=63, pattern=NAMESPACE)]
PortName = Annotated[str, Field(max_length=63, pattern=NAMESPACE)]
SectionName = Annotated[str, Field(min_length=1, max_length=253, pattern=DNS_NAME)]
Hostname = Annotated[str, Field(min_length=1, max_length=253, pattern=HOSTNAME)]
PreciseHostname = Annotated[str, Field(min_length=1, max_length=253, pattern=DNS_NAME)]
Group = Annotated[str, Field(max_length=253, pattern=GROUP)]
Kind = Annotated[str, Field(min_length=1, max_length=63, pattern=KIND)]
Port = Annotated[int, Field(ge=1, le=65535)]
HeaderName = Annotated[str, Field(min_length=1, max_length=256, pattern=HEADER_NAME)]
HeaderValue = Annotated[str, Field(max_length=4096, pattern=HEADER_VALUE)]
CookieName = Annotated[str, Field(min_length=1, max_length=256, pattern=HEADER_NAME)]
Labels = Annotated[dict[str, Annotated[str, Field(max_length=63)]], Field(max_length=256)]
Annotations = Annotated[dict[str, Annotated[str, Field(max_length=262144)]], Field(max_length=256)]


def keyed_by(name: str) -> dict[str, Any]:
    """Mark a list whose entries differ in a field: an API server compares and merges by it."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [name]}


def distinct() -> dict[str, Any]:
    """Mark a list of values that all differ."""
    return {"x-kubernetes-list-type": "set"}


class NotSupported:
    """Marks a field that is legal where it stands and that Sluice does not act on."""


Unsupported = Annotated[Any, NotSupported()]
"""A legal field of Gateway API that is kept only to be reported; see `unsupported_fields`."""
