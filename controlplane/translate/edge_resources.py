"""All resources of one edge, and which objects are in each of them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from controlplane.translate import (
    certificates,
    clusters,
    listeners,
    names,
    parameters,
    quota_parameters,
    redis_link,
    route_table,
    wasm,
)
from controlplane.translate.options import locate
from controlplane.translate.quotas import EdgeQuotas
from controlplane.translate.route_table import Table
from controlplane.translate.rules import Rule, RuleRoutes, Site, translate_rule
from controlplane.translate.wire import encode
from controlplane.xds import kinds
from controlplane.xds.resource import Resource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    from betterproto2 import Message

    from controlplane.model import FlashSale, ObjectRef, QuotaPolicy
    from controlplane.translate.backends import Upstream
    from controlplane.translate.fragments import Fragments
    from controlplane.translate.gateways import Edge
    from controlplane.translate.options import Code, Options
    from controlplane.translate.quotas import Quotas
    from controlplane.translate.report import Findings
    from controlplane.translate.routing import EndpointIndex, Routed
    from controlplane.translate.targets import RuleKey


class EdgeResources:
    """Builds the resources of one edge, which serves these routes; `all` is the result."""

    def __init__(
        self,
        edge: Edge,
        routed: Iterable[Routed],
        guards: Mapping[RuleKey, FlashSale],
        quotas: Quotas,
        options: Options,
        fragments: Fragments,
        findings: Findings,
    ) -> None:
        self._edge = edge
        self._routed = list(routed)
        self._guards = guards
        self._quotas = quotas
        self._options = options
        self._fragments = fragments
        self._findings = findings
        self._rules: dict[ObjectRef, tuple[RuleRoutes, ...]] = {}
        self._made: list[Resource] = []

    def all(self, endpoints: EndpointIndex) -> list[Resource]:
        """Every resource, in no particular order."""
        self._add_link()
        self._add_filters()
        self._add_backends(endpoints)
        self._add_certificates()
        for port in self._edge.ports:
            self._add_port(port)
        return self._made

    def rules(self, routed: Routed) -> tuple[RuleRoutes, ...]:
        """The encoded rules of a route, as one of the ports serves them; after `all`."""
        return self._rules.get(routed.route.ref, ())

    @property
    def guarded(self) -> Mapping[str, FlashSale]:
        """The sale that guards each Envoy route of this edge."""
        return {
            item.route.rule_key(place): sale
            for item in self._routed
            for place in range(len(item.route.spec.rules))
            if (sale := self._guards.get((item.route.ref, place))) is not None
        }

    @property
    def limited(self) -> EdgeQuotas:
        """The quota policies in force on this edge."""
        routes = {
            item.route.rule_key(key[1]): held
            for item in self._routed
            for key in _keys(item)
            if (held := self._quotas.on(self._edge.key, key))
        }
        return EdgeQuotas(self._quotas.on(self._edge.key), routes)

    # What an edge has whatever its routes are.

    def _add_link(self) -> None:
        redis = self._edge.settings.redis
        owners = self._edge.refs
        environment = self._options.environment
        made = self._kept(
            "link", (redis, environment), lambda: _link(redis_link.clusters(redis, environment))
        )
        for name, body in made:
            self._add(kinds.CLUSTER, name, body, owners)
        for name, body in self._kept(
            "link-listeners", (redis,), lambda: _link(redis_link.listeners(redis))
        ):
            self._add(kinds.LISTENER, name, body, owners)

    def _add_filters(self) -> None:
        settings, code = self._edge.settings, self._options.filters
        bridge = locate(code.redis_bridge, "redis-bridge", settings.filters)
        self._add_extension(names.REDIS_BRIDGE, bridge, self._edge.refs)
        guarded = self.guarded
        sales = parameters.document(self._edge.key, settings.redis, self._options.poll_ms, guarded)
        self._add_filter(
            names.FLASH_SALE,
            locate(code.flash_sale, "flash-sale", settings.filters),
            parameters.to_json(sales),
            guarded.values(),
        )
        limited, today, workers = self.limited, self._options.today, self._options.workers
        quotas = self._kept(
            "quotas",
            (settings.redis, workers, today, limited),
            lambda: parameters.to_json(
                quota_parameters.document(self._edge.key, settings.redis, workers, today, limited)
            ),
        )
        self._add_filter(
            names.QUOTA,
            locate(code.quota, "quota", settings.filters),
            quotas,
            limited.policies,
        )

    def _add_filter(
        self, name: str, code: Code, text: str, policies: Iterable[FlashSale | QuotaPolicy]
    ) -> None:
        """Add a filter that decides; `policies` are those in its parameters."""
        redis = self._edge.settings.redis
        environment = (redis.password_env,) if redis.via == "Direct" else ()
        owners = (*self._edge.refs, *(policy.ref for policy in policies))
        self._add_extension(name, code, owners, parameters=text, environment=environment)

    def _add_extension(
        self,
        name: str,
        code: Code,
        owners: Iterable[ObjectRef],
        *,
        parameters: str = "",
        environment: tuple[str, ...] = (),
    ) -> None:
        make = partial(wasm.extension, name, code, parameters=parameters, environment=environment)

        def bodies() -> tuple[bytes, bytes | None]:
            return encode(make()), encode(make(opening=True)) if code.uri else None

        self._add_made(kinds.EXTENSION, name, (code, parameters, environment), bodies, owners)

    # Backends.

    def _add_backends(self, endpoints: EndpointIndex) -> None:
        users: dict[str, list[ObjectRef]] = {}
        upstreams: dict[str, Upstream] = {}
        for item in self._routed:
            for upstream in item.upstreams:
                upstreams[upstream.cluster] = upstream
                users.setdefault(upstream.cluster, []).append(item.route.ref)
        for name in sorted(upstreams):
            self._add_backend(upstreams[name], users[name], endpoints)

    def _add_backend(
        self, upstream: Upstream, users: Iterable[ObjectRef], endpoints: EndpointIndex
    ) -> None:
        limit = self._edge.settings.proxy.max_connections
        self._add_message(
            kinds.CLUSTER,
            upstream.cluster,
            (upstream, limit),
            lambda: clusters.cluster(upstream, limit),
            (upstream.service.ref, *users),
        )
        if upstream.service.spec.type == "ExternalName":
            return
        ready = endpoints.of(upstream)
        self._add_message(
            kinds.ENDPOINTS,
            upstream.cluster,
            (ready,),
            lambda: clusters.assignment(upstream.cluster, ready),
            (upstream.service.ref, *endpoints.slices(upstream)),
        )

    # Ports.

    def _add_certificates(self) -> None:
        secrets = {item.ref: item for found in self._edge.listeners for item in found.secrets}
        for ref, secret in sorted(secrets.items()):
            self._add_message(
                kinds.SECRET,
                names.secret(ref.namespace, ref.name),
                (secret,),
                partial(certificates.envoy_secret, secret),
                (self._edge.gateway.ref, ref),
            )

    def _add_port(self, port: int) -> None:
        edge = self._edge
        on_port = edge.on_port(port)
        self._add_message(
            kinds.LISTENER,
            names.edge_listener(port),
            (on_port, edge.settings.proxy.trusted_hops, edge.settings.access_log),
            lambda: listeners.edge_listener(port, on_port, edge.settings),
            edge.refs,
        )
        self._add_routes(port)

    def _add_routes(self, port: int) -> None:
        on_port = self._edge.on_port(port)
        site = Site("https" if on_port[0].encrypted else "http", port)
        attachments = tuple(
            found
            for item in self._routed
            for found in item.attachments(self._edge.key)
            if found.listener.spec.port == port
        )
        here = {found.route.ref for found in attachments}
        routes = [item for item in self._routed if item.route.ref in here]
        rules = {
            (item.route.namespace, item.route.name): self._encoded(item, site) for item in routes
        }
        table = Table(self._edge.key, port, on_port, attachments)
        body = route_table.encode_table(table, rules, self._fragments)
        keys = [key for item in routes for key in _keys(item)]
        policies = [
            *(self._guards[key] for key in keys if key in self._guards),
            *(policy for key in keys for policy in self._quotas.on(self._edge.key, key)),
        ]
        self._add(
            kinds.ROUTES,
            names.route_table(port),
            body,
            (self._edge.gateway.ref, *here, *(policy.ref for policy in policies)),
        )

    def _encoded(self, item: Routed, site: Site) -> tuple[RuleRoutes, ...]:
        encoded = []
        for key, resolved in zip(_keys(item), item.backends, strict=True):
            rule = Rule.of(
                item.route,
                key[1],
                resolved,
                sale=self._guards.get(key),
                quotas=self._quotas.on(self._edge.key, key),
            )
            encoded.append(
                self._fragments.get(
                    ("rule", self._edge.key, site, item.route.ref, key[1]),
                    rule.inputs,
                    partial(translate_rule, rule, site),
                )
            )
        self._rules[item.route.ref] = tuple(encoded)
        return tuple(encoded)

    # Keeping and adding.

    def _kept(self, what: str, inputs: tuple[Any, ...], make: Callable[[], Any]) -> Any:
        return self._fragments.get((what, self._edge.key), inputs, make)

    def _add_message(
        self,
        type_url: str,
        name: str,
        inputs: tuple[Any, ...],
        make: Callable[[], Message],
        owners: Iterable[ObjectRef],
    ) -> None:
        """Add a resource of its own, encoded anew only when its inputs changed."""
        self._add_made(type_url, name, inputs, lambda: (encode(make()), None), owners)

    def _add(self, type_url: str, name: str, body: bytes, owners: Iterable[ObjectRef]) -> None:
        self._add_made(type_url, name, (body,), lambda: (body, None), owners)

    def _add_made(
        self,
        type_url: str,
        name: str,
        inputs: tuple[Any, ...],
        bodies: Callable[[], tuple[bytes, bytes | None]],
        owners: Iterable[ObjectRef],
    ) -> None:
        """Add a resource, made anew of its bodies only when its inputs changed."""
        key = (self._edge.key, type_url, name)
        resource = self._fragments.get(key, inputs, lambda: Resource.of(type_url, name, *bodies()))
        self._made.append(resource)
        self._findings.own(key, *owners)


def _keys(item: Routed) -> list[RuleKey]:
    return [(item.route.ref, place) for place in range(len(item.route.spec.rules))]


def _link(messages: Iterable[Any]) -> tuple[tuple[str, bytes], ...]:
    return tuple((message.name, encode(message)) for message in messages)
