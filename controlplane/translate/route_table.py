"""The route table of one port: a virtual host for each hostname, its routes in order.

Envoy chooses a virtual host by name and then takes the first route that matches, so the order is
worked out here. A request belongs to the most specific listener for its host, and there to every
route whose hostname covers it, the more specific hostname first: a wildcard route still gets what
the routes of a full name leave over.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from envoy_data_plane.envoy.config.route import v3 as envoy

from controlplane.translate import hostnames, names
from controlplane.translate.targets import age
from controlplane.translate.wire import encode

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from controlplane.model import HTTPRoute, ObjectRef
    from controlplane.translate.attachment import Attachment
    from controlplane.translate.fragments import Fragments
    from controlplane.translate.gateways import EdgeListener
    from controlplane.translate.rules import RuleRoutes

_RETRIES: Final = 2
# Nothing has reached a backend in any of these cases, so trying another one is always safe.
_RETRY_ON: Final = "connect-failure,refused-stream,reset-before-request"

RouteRules = tuple["RuleRoutes", ...]
"""The encoded rules of one route, in its order."""


@dataclass(frozen=True, slots=True)
class Table:
    """What a route table is made from."""

    edge: str
    port: int
    listeners: tuple[EdgeListener, ...]
    attachments: tuple[Attachment, ...]


def encode_table(
    table: Table, rules: Mapping[tuple[str, str], RouteRules], fragments: Fragments
) -> bytes:
    """The route configuration; `rules` holds the encoded rules of each route."""
    hosts = [
        _virtual_host(table, domain, routes, rules, fragments)
        for domain, routes in sorted(_domains(table).items())
    ]
    configuration = envoy.RouteConfiguration(
        name=names.route_table(table.port),
        # A client may name the port; hostnames never do.
        ignore_port_in_host_matching=True,
        # Clusters come on another path; a route must not be refused for being early.
        validate_clusters=False,
    )
    return encode(configuration, virtual_hosts=hosts)


_Placed = tuple[str, "HTTPRoute"]
"""The hostname by which a route covers a domain, and the route."""


def _domains(table: Table) -> dict[str, list[_Placed]]:
    found: dict[str, list[_Placed]] = {}
    for listener in table.listeners:
        by_name: dict[str, list[HTTPRoute]] = {}
        for item in table.attachments:
            if item.listener is listener:
                for name in item.hostnames:
                    by_name.setdefault(name, []).append(item.route)
        for domain in _own_domains(listener, by_name, table.listeners):
            found[domain] = list(_placed(domain, by_name))
    return found


def _own_domains(
    listener: EdgeListener, names_: Iterable[str], listeners: Sequence[EdgeListener]
) -> Iterator[str]:
    found = set(names_)
    rivals = [item.hostname for item in listeners if item is not listener]
    if any(hostnames.covers(rival, listener.hostname) for rival in rivals):
        found.add(listener.hostname)  # its hosts must not fall to a listener that covers them
    closer = [rival for rival in rivals if hostnames.covers(listener.hostname, rival)]
    for name in found:
        if not any(hostnames.covers(rival, name) for rival in closer):
            yield name


def _placed(domain: str, by_name: Mapping[str, Sequence[HTTPRoute]]) -> Iterator[_Placed]:
    seen: set[ObjectRef] = set()
    for name in hostnames.covering(domain):
        for route in by_name.get(name, ()):
            if route.ref not in seen:
                seen.add(route.ref)
                yield name, route


def _virtual_host(
    table: Table,
    domain: str,
    placed: Sequence[_Placed],
    rules: Mapping[tuple[str, str], RouteRules],
    fragments: Fragments,
) -> bytes:
    ranked: dict[tuple[Any, ...], bytes] = {}
    for name, route in placed:
        specific, oldest = hostnames.specificity(name), age(route)
        for index, rule in enumerate(rules[route.namespace, route.name]):
            for place, (rank, body) in enumerate(rule.routes):
                ranked[specific, rank, oldest, index, place] = body
    routes = tuple(ranked[key] for key in sorted(ranked))
    return fragments.get(
        ("host", table.edge, table.port, domain), (routes,), lambda: _encode_host(domain, routes)
    )


def _encode_host(domain: str, routes: Sequence[bytes]) -> bytes:
    host = envoy.VirtualHost(
        name=domain,
        domains=[domain],
        retry_policy=envoy.RetryPolicy(retry_on=_RETRY_ON, num_retries=_RETRIES),
    )
    return encode(host, routes=routes)
