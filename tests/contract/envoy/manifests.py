"""Manifests for tests, short to write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from controlplane.local.ports import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

API = "gateway.networking.k8s.io/v1"
CLASS = {
    "apiVersion": API,
    "kind": "GatewayClass",
    "metadata": {"name": "sluice"},
    "spec": {"controllerName": "sluice.dev/controller"},
}
_VERSIONS = {
    "Service": "v1",
    "EndpointSlice": "discovery.k8s.io/v1",
    "FlashSale": "sluice.dev/v1alpha1",
    "QuotaPolicy": "sluice.dev/v1alpha1",
    "EdgeConfig": "sluice.dev/v1alpha1",
    "ReferenceGrant": "gateway.networking.k8s.io/v1beta1",
}

Manifest = dict[str, Any]


def manifest(kind: str, name: str, spec: Mapping[str, Any], **metadata: Any) -> Manifest:
    """An object in the namespace of the tests."""
    return {
        "apiVersion": _VERSIONS.get(kind, API),
        "kind": kind,
        "metadata": {"name": name, "namespace": "shop", **metadata},
        "spec": dict(spec),
    }


def listener(
    port: int, *, name: str = "http", hostname: str = "", secret: str = "", **more: Any
) -> Manifest:
    """A listener; with a secret it speaks TLS."""
    found = {"name": name, "port": port, "protocol": "HTTPS" if secret else "HTTP", **more}
    if hostname:
        found["hostname"] = hostname
    if secret:
        found["tls"] = {"certificateRefs": [{"name": secret}]}
    return found


def gateway(*listeners: Manifest, settings: str = "") -> Manifest:
    """The gateway `edge`; `settings` names an EdgeConfig."""
    spec: Manifest = {"gatewayClassName": "sluice", "listeners": list(listeners)}
    if settings:
        reference = {"group": "sluice.dev", "kind": "EdgeConfig", "name": settings}
        spec["infrastructure"] = {"parametersRef": reference}
    return manifest("Gateway", "edge", spec)


def route(
    name: str,
    *rules: Mapping[str, Any],
    hosts: Iterable[str] = (),
    parents: Iterable[Mapping[str, Any]] = ({"name": "edge"},),
    **metadata: Any,
) -> Manifest:
    """A route, on the gateway `edge` unless told otherwise."""
    spec = {"parentRefs": list(parents), "hostnames": list(hosts), "rules": list(rules)}
    return manifest("HTTPRoute", name, spec, **metadata)


def service(name: str, port: int) -> list[Manifest]:
    """A Service with port 80 and one endpoint on this machine."""
    slice_ = manifest("EndpointSlice", f"{name}-1", {})
    del slice_["spec"]
    slice_["metadata"]["labels"] = {"kubernetes.io/service-name": name}
    slice_ |= {
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": port}],
        "endpoints": [{"addresses": [LOOPBACK]}],
    }
    return [manifest("Service", name, {"ports": [{"name": "http", "port": 80}]}), slice_]


def grant(
    kind: str,
    target: str,
    *,
    name: str = "",
    source: str = "shop",
    namespace: str = "web",
    title: str = "grant",
) -> Manifest:
    """Leave for a kind of the namespace `source` to refer to a core kind of `namespace`."""
    what = {"group": "", "kind": target, **({"name": name} if name else {})}
    who = {"group": API.partition("/")[0], "kind": kind, "namespace": source}
    return manifest("ReferenceGrant", title, {"from": [who], "to": [what]}, namespace=namespace)


def sale(name: str, targets: Iterable[Mapping[str, Any]], **spec: Any) -> Manifest:
    """A sale of one unit that began long ago."""
    defaults = {
        "targetRefs": list(targets),
        "schedule": {"startTime": "2020-01-01T00:00:00Z"},
        "stock": 1,
        "identity": {"header": "Authorization"},
    }
    return manifest("FlashSale", name, {**defaults, **spec})


def quota(
    name: str, targets: Iterable[Mapping[str, Any]], *limits: Mapping[str, Any], **metadata: Any
) -> Manifest:
    """A quota policy; without limits, one of a hundred requests a minute."""
    one = {"name": "all", "requests": 100, "per": "1m"}
    spec = {"targetRefs": list(targets), "limits": list(limits) or [one]}
    return manifest("QuotaPolicy", name, spec, **metadata)


def to(name: str, **more: Any) -> Manifest:
    """A reference to port 80 of a Service."""
    return {"name": name, "port": 80, **more}


def match(path: str, kind: Any = "PathPrefix", **more: Any) -> Manifest:
    """A match on a path."""
    return {"path": {"type": kind, "value": path}, **more}


def text(*documents: Any) -> str:
    """Documents, and lists of them, as one YAML text; the GatewayClass comes with it."""
    flat: list[Manifest] = [CLASS]
    for found in documents:
        flat.extend(found if isinstance(found, list) else [found])
    return yaml.safe_dump_all(flat)
