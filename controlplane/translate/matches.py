"""Conditions of a route: their form in Envoy, and which of two that both hold goes first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from envoy_data_plane.envoy.config.route import v3 as route
from envoy_data_plane.envoy.type.matcher.v3 import RegexMatcher, StringMatcher

from controlplane.translate import expressions

if TYPE_CHECKING:
    from controlplane.model.route import HeaderMatch, PathMatch, QueryParamMatch, RouteMatch

Rank = tuple[int, int, int, int, int]

_EXACT, _PREFIX, _EXPRESSION, _EVERYTHING = range(4)
_KINDS: Final = {"Exact": _EXACT, "PathPrefix": _PREFIX, "RegularExpression": _EXPRESSION}


class UnusableError(Exception):
    """A part of a route that Envoy could not take; says why in words for its writer."""


def rank(match: RouteMatch) -> Rank:
    """Sorts conditions as Gateway API wants it: the lower one goes first.

    Exact path, then the longest prefix, then a method, then the most headers, then the most query
    parameters. Where expressions stand among paths is left to us: behind every prefix but ``/``,
    which holds for every path and would otherwise leave them nothing.
    """
    kind, value = _KINDS[match.path.type], match.path.value
    if kind == _PREFIX:
        value = value.rstrip("/")
        if not value:
            kind = _EVERYTHING
    method = 0 if match.method is not None else 1
    return (kind, -len(value), method, -len(match.headers), -len(match.query_params))


def envoy_match(match: RouteMatch) -> route.RouteMatch:
    """The conditions in Envoy's form. `UnusableError` when it would refuse them."""
    # Of several conditions on one header or parameter, only the first counts.
    headers = {item.name.lower(): item for item in reversed(match.headers)}
    parameters = {item.name: item for item in reversed(match.query_params)}
    found = _path(match.path)
    found.headers = [_method(match.method)] if match.method is not None else []
    found.headers += [_header(name, headers[name]) for name in sorted(headers)]
    found.query_parameters = [_parameter(parameters[name]) for name in sorted(parameters)]
    return found


def prefix(value: str) -> str:
    """A prefix as Envoy compares it: without the slash at its end; empty for ``/``."""
    return value.rstrip("/")


def _path(path: PathMatch) -> route.RouteMatch:
    if path.type == "RegularExpression":
        return route.RouteMatch(safe_regex=_expression("path", path.value))
    if path.type == "Exact":
        return route.RouteMatch(path=path.value)
    compared = prefix(path.value)
    if not compared:
        return route.RouteMatch(prefix="/")
    return route.RouteMatch(path_separated_prefix=compared)


def _method(method: str) -> route.HeaderMatcher:
    return route.HeaderMatcher(name=":method", string_match=StringMatcher(exact=method))


def _header(name: str, match: HeaderMatch) -> route.HeaderMatcher:
    return route.HeaderMatcher(name=name, string_match=_text(f"header {name}", match))


def _parameter(match: QueryParamMatch) -> route.QueryParameterMatcher:
    return route.QueryParameterMatcher(
        name=match.name, string_match=_text(f"query parameter {match.name}", match)
    )


def _text(what: str, match: HeaderMatch | QueryParamMatch) -> StringMatcher:
    if match.type == "RegularExpression":
        return StringMatcher(safe_regex=_expression(what, match.value))
    return StringMatcher(exact=match.value)


def _expression(what: str, value: str) -> RegexMatcher:
    fault = expressions.fault(value)
    if fault:
        message = f"{what}: expression {value!r}: {fault}"
        raise UnusableError(message)
    return RegexMatcher(regex=value)
