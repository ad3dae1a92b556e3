"""Short ways to write the manifests that lead to each reason, and what is to be said of them.

Each case has a namespace of its own, so that all of them can run at the same time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

Manifest: TypeAlias = dict[str, Any]
GATEWAY_API: Final = "gateway.networking.k8s.io"
VAULT: Final = "vault"
"""A namespace of somebody else, with a Service `pay` and a Secret `cert`."""
HTTP: Final = {"name": "http", "protocol": "HTTP", "port": 8080}
_PEM: Final = "-----BEGIN {0}-----\nAAAA\n-----END {0}-----\n"
_VERSIONS: Final = {
    "EdgeConfig": "sluice.dev/v1alpha1",
    "FlashSale": "sluice.dev/v1alpha1",
    "QuotaPolicy": "sluice.dev/v1alpha1",
    "Secret": "v1",
    "Service": "v1",
    "ReferenceGrant": f"{GATEWAY_API}/v1beta1",
}


@dataclass(frozen=True, slots=True)
class Says:
    """A condition to be reached.

    `about` is `Kind/name`, with `#listener` for a listener of a Gateway; of an HTTPRoute, what is
    said for its only parent (of ours) counts. `expected` is `Status/Reason`, `words` are in the
    message. With an empty `expected` the condition has to be gone.
    """

    about: str
    condition: str
    expected: str
    words: str = ""

    @property
    def kind(self) -> str:
        return self.about.partition("/")[0]

    @property
    def name(self) -> str:
        return self.about.partition("/")[2].partition("#")[0]

    @property
    def part(self) -> str:
        return self.about.partition("#")[2]

    @property
    def subject(self) -> str:
        """What kind of thing it is about, as the documentation names it."""
        if self.part:
            return "listener"
        return "parent of an HTTPRoute" if self.kind == "HTTPRoute" else self.kind

    @property
    def reason(self) -> str:
        return self.expected.partition("/")[2]


@dataclass(frozen=True, slots=True)
class Gone:
    """An object that is deleted."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class Step:
    """Changes, all at once, and what is said after them."""

    changes: tuple[Manifest | Gone, ...]
    says: tuple[Says, ...]


@dataclass(frozen=True, slots=True)
class Case:
    """A story in a namespace of its own; the last step is mostly the one that mends it."""

    name: str
    steps: tuple[Step, ...]


def case(name: str, *steps: tuple[list[Manifest | Gone], list[Says]]) -> Case:
    return Case(name, tuple(Step(tuple(changes), tuple(says)) for changes, says in steps))


def manifest(kind: str, name: str, spec: Any, *, at: str = "") -> Manifest:
    metadata = {"name": name, **({"namespace": at} if at else {})}
    version = _VERSIONS.get(kind, f"{GATEWAY_API}/v1")
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}


def gateway(
    *listeners: Mapping[str, Any], name: str = "edge", of: str = "sluice", settings: str = ""
) -> Manifest:
    spec: Manifest = {"gatewayClassName": of, "listeners": [*listeners] or [HTTP]}
    if settings:
        named = {"group": "sluice.dev", "kind": "EdgeConfig", "name": settings}
        spec["infrastructure"] = {"parametersRef": named}
    return manifest("Gateway", name, spec)


def gateway_class(name: str, /, **settings: str) -> Manifest:
    spec: Manifest = {"controllerName": "sluice.dev/controller"}
    if settings:
        spec["parametersRef"] = {"group": "sluice.dev", "kind": "EdgeConfig", **settings}
    return manifest("GatewayClass", name, spec)


def edge_config(name: str, redis: str = "127.0.0.1:1", **more: str) -> Manifest:
    return manifest("EdgeConfig", name, {"redis": {"address": redis, **more}})


def rule(name: str, *backends: Mapping[str, Any], **more: Any) -> Manifest:
    found = backends or ({"name": "shop", "port": 80},)
    return {"name": name, "backendRefs": [dict(one) for one in found], **more}


def route(
    name: str = "shop",
    *rules: Manifest,
    parents: tuple[Mapping[str, Any], ...] = ({"name": "edge"},),
    **more: Any,
) -> Manifest:
    found = list(rules) or [rule("buy")]
    spec = {"parentRefs": [dict(one) for one in parents], "rules": found, **more}
    return manifest("HTTPRoute", name, spec)


def service(name: str = "shop", **port: Any) -> Manifest:
    return manifest("Service", name, {"ports": [{"name": "http", "port": 80, **port}]})


def sale(name: str, *targets: Mapping[str, Any], **spec: Any) -> Manifest:
    known = {
        "targetRefs": [dict(one) for one in targets or ({"name": "shop"},)],
        "schedule": {"startTime": "2026-01-01T00:00:00Z"},
        "stock": 3,
        "identity": {"header": "Authorization"},
    }
    return manifest("FlashSale", name, {**known, **spec})


def quota(name: str, *targets: tuple[str, str], limit: str = "all") -> Manifest:
    refs = [
        {"group": GATEWAY_API, "kind": kind, "name": target}
        for kind, target in targets or (("HTTPRoute", "shop"),)
    ]
    limits = [{"name": limit, "requests": 10, "per": "1m"}]
    return manifest("QuotaPolicy", name, {"targetRefs": refs, "limits": limits})


def certificate(name: str, *, at: str = "") -> Manifest:
    made = manifest("Secret", name, None, at=at)
    del made["spec"]
    data = {"tls.crt": _PEM.format("CERTIFICATE"), "tls.key": _PEM.format("PRIVATE KEY")}
    return {**made, "type": "kubernetes.io/tls", "stringData": data}


def leave(kind: str, namespace: str, to: str, *, name: str) -> Manifest:
    """A ReferenceGrant in the vault, for objects of a kind in a namespace."""
    source = {"group": GATEWAY_API, "kind": kind, "namespace": namespace}
    spec = {"from": [source], "to": [{"group": "", "kind": to}]}
    return manifest("ReferenceGrant", name, spec, at=VAULT)
