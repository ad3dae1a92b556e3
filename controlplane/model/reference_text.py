"""What the reference pages say beyond the tables: how the kinds fit together, and by example."""

from __future__ import annotations

from typing import Final

from controlplane.model.reference_quota import INTRODUCTION as QUOTA_POLICY

INTRODUCTIONS: Final = {
    "index": """
Sluice reads Kubernetes manifests, from a folder or from an API server: kinds of Gateway API and
of Kubernetes itself, and three of its own. A field that is not known where it stands is an error
that names file, line, object and field; so is a value out of bounds. A manifest that is wrong
takes nothing down: the last good version of its object stays in force until it is right again.

Durations are written `100ms`, `60s`, `1m30s`; times as in RFC 3339, with their zone. Text that
looks like a number or like `true` needs quotes. `status` and what an API server adds to
`metadata` are read past, so what `kubectl get --output yaml` prints is good input. An object
without `metadata.namespace` is in the namespace `default`.
""",
    "FlashSale": """
Attached to an HTTPRoute, or to one named rule of it, in the same namespace. Of two sales on one
target the older wins, by `metadata.creationTimestamp`, then by namespace and name; the other
says so in its conditions.

Samples: [the least](../../manifests/samples/flash-sale-minimal/shop.yaml),
[the classic recipe](../../manifests/samples/classic-recipe/shop.yaml),
[every field](../../manifests/samples/flash-sale-full/shop.yaml),
[two sales](../../manifests/samples/two-sales/shop.yaml).
Each can be watched on one machine: `sluice demo --sample two-sales`.

A request is judged in this order: denied networks, suspended, window, identity, denied users,
known permit or pass (straight through), throttle, sold out, lottery, and last the books in Redis.
""",
    "QuotaPolicy": QUOTA_POLICY,
    "EdgeConfig": """
Named by `GatewayClass.spec.parametersRef` for all gateways of a class, or by
`Gateway.spec.infrastructure.parametersRef` for one. Without any, every field has its default,
which suits one machine.
""",
    "GatewayClass": """
Classes with another `controllerName` belong to other controllers, and are left alone.
""",
    "Gateway": """
Every proxy whose `node.cluster` is `<namespace>/<name>` of a gateway gets that gateway's
configuration. A changed listener replaces the old one without closing its connections at once.
""",
    "HTTPRoute": """
Of all matches that fit a request the most specific one counts, in the order of Gateway API:
host, exact path, longest prefix, method, number of headers, number of query parameters; then the
older route, then namespace and name, then the order of rules.
""",
    "ReferenceGrant": """
Stands in the namespace that is referred to. An HTTPRoute needs one for a Service of another
namespace, a Gateway for a Secret. Without it the reference is not followed: that share of the
requests gets a 500, that listener is left out, and `ResolvedRefs` says `RefNotPermitted`. A grant
taken away is taken away from running proxies too. See [Gateway API](../gateway-api.md).
""",
    "Namespace": """
Read for its labels alone, which `allowedRoutes.namespaces.selector` of a listener compares. In a
folder it can be left out; the namespace then has no label but `kubernetes.io/metadata.name`, its
name, which every namespace has.
""",
    "Service": """
A Service leads to the ready endpoints of its EndpointSlices, or with type `ExternalName` to a
name in DNS. Cluster addresses are not used: proxies talk to endpoints.
""",
    "EndpointSlice": """
Belongs to the Service that its label `kubernetes.io/service-name` names, in the same namespace.
""",
    "Secret": """
Given to proxies by SDS for HTTPS listeners that name it; `data` and `stringData` with `tls.crt`
and `tls.key` in PEM. No message, log or page ever shows what is in it. Other Secrets are read
and not used.
""",
}
