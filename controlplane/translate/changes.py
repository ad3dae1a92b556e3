"""Filters of a route: what they change about a request, a response or where it goes.

Whatever Envoy would refuse is refused here, for the one rule that asks for it. A rule whose filter
cannot be applied answers 500, as Gateway API demands: a request must never get past a filter that
somebody relied on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from envoy_data_plane.envoy.config.core.v3 import (
    HeaderValue,
    HeaderValueOption,
    HeaderValueOptionHeaderAppendAction,
)
from envoy_data_plane.envoy.config.route import v3 as route
from envoy_data_plane.envoy.type.matcher.v3 import RegexMatchAndSubstitute, RegexMatcher

from controlplane.translate import expressions
from controlplane.translate.matches import UnusableError, prefix

if TYPE_CHECKING:
    from collections.abc import Iterable

    from controlplane.model.route_filters import (
        HeaderModifier,
        HTTPRouteFilter,
        PathModifier,
        RequestRedirect,
        URLRewrite,
    )

_HOST: Final = "host"
_WELL_KNOWN: Final = {"http": 80, "https": 443}
_OVERWRITE: Final = HeaderValueOptionHeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD
_APPEND: Final = HeaderValueOptionHeaderAppendAction.APPEND_IF_EXISTS_OR_ADD
_STATUS: Final = {
    301: route.RedirectActionRedirectResponseCode.MOVED_PERMANENTLY,
    302: route.RedirectActionRedirectResponseCode.FOUND,
    303: route.RedirectActionRedirectResponseCode.SEE_OTHER,
    307: route.RedirectActionRedirectResponseCode.TEMPORARY_REDIRECT,
    308: route.RedirectActionRedirectResponseCode.PERMANENT_REDIRECT,
}


@dataclass(frozen=True, slots=True)
class Changes:
    """The filters of a rule or of a backend, by what they act on."""

    request: HeaderModifier | None = None
    response: HeaderModifier | None = None
    redirect: RequestRedirect | None = None
    rewrite: URLRewrite | None = None

    @property
    def header_fields(self) -> dict[str, Any]:
        """The fields for headers, which routes and weighted clusters have alike."""
        return {
            "request_headers_to_add": _additions(self.request),
            "request_headers_to_remove": _removals(self.request),
            "response_headers_to_add": _additions(self.response),
            "response_headers_to_remove": _removals(self.response),
        }


def read(filters: Iterable[HTTPRouteFilter]) -> Changes:
    """Sort filters by kind. `UnusableError` names the first that cannot be applied."""
    found: dict[str, Any] = {}
    for item in filters:
        if not item.is_supported:
            message = f"filter {item.type} is not supported"
            raise UnusableError(message)
        if item.request_header_modifier is not None:
            found["request"] = _checked(item.request_header_modifier)
        if item.response_header_modifier is not None:
            found["response"] = item.response_header_modifier
        if item.request_redirect is not None:
            found["redirect"] = item.request_redirect
        if item.url_rewrite is not None:
            found["rewrite"] = item.url_rewrite
    return Changes(**found)


def redirect_action(
    wanted: RequestRedirect, matched: str, scheme: str, port: int
) -> route.RedirectAction:
    """A redirect, seen from a listener that speaks `scheme` on `port`.

    `matched` is the prefix that the request was matched by. The rules for the port: the one that
    is asked for; else the well-known one of a scheme that is asked for; else the listener's own.
    A well-known port goes without saying.
    """
    action = route.RedirectAction(
        host_redirect=wanted.hostname or "",
        port_redirect=_redirect_port(wanted, scheme, port),
        response_code=_STATUS[wanted.status_code],
    )
    if wanted.scheme is not None:
        action.scheme_redirect = wanted.scheme
    if wanted.path is not None:
        _redirect_path(action, wanted.path, matched)
    return action


def rewrite_fields(wanted: URLRewrite, matched: str) -> dict[str, Any]:
    """The fields of a route action that change host and path."""
    fields: dict[str, Any] = {}
    if wanted.hostname is not None:
        fields["host_rewrite_literal"] = wanted.hostname
    if wanted.path is None:
        return fields
    if wanted.path.type == "ReplaceFullPath":
        fields["regex_rewrite"] = _substitute("^.*$", wanted.path.replace_full_path or "/")
        return fields
    substitute = _prefix_substitute(wanted.path, matched)
    if isinstance(substitute, str):
        fields["prefix_rewrite"] = substitute
    else:
        fields["regex_rewrite"] = substitute
    return fields


def header_value(value: str) -> str:
    """A value that Envoy sends as it stands: to it, a percent sign begins a command."""
    return value.replace("%", "%%")


def _redirect_port(wanted: RequestRedirect, scheme: str, port: int) -> int:
    if wanted.port is not None:
        is_known = _WELL_KNOWN[wanted.scheme or scheme] == wanted.port
        return 0 if is_known and wanted.hostname is not None else wanted.port
    if wanted.scheme is not None:
        # Without a host of its own the redirect keeps the port that the client named, which is
        # the listener's: only where that one is well-known is there none to get rid of.
        keeps_port = wanted.hostname is None and _WELL_KNOWN[scheme] != port
        return _WELL_KNOWN[wanted.scheme] if keeps_port else 0
    if wanted.hostname is not None and _WELL_KNOWN[scheme] != port:
        return port
    return 0


def _redirect_path(action: route.RedirectAction, path: PathModifier, matched: str) -> None:
    if path.type == "ReplaceFullPath":
        action.path_redirect = path.replace_full_path or "/"
        return
    substitute = _prefix_substitute(path, matched)
    if isinstance(substitute, str):
        action.prefix_rewrite = substitute
    else:
        action.regex_rewrite = substitute


def _prefix_substitute(path: PathModifier, matched: str) -> str | RegexMatchAndSubstitute:
    """What stands in place of a prefix: a text, or an expression where a text would not do.

    Envoy puts the text in place of the prefix and nothing else, so taking a prefix away would
    leave ``/a/b`` as ``//b`` or ``b``, and ``/a`` as nothing.
    """
    old, new = prefix(matched), prefix(path.replace_prefix_match or "")
    if not old:
        return f"{new}/"
    if new:
        return new
    return _substitute(f"^{expressions.quote(old)}/*", "/")


def _substitute(expression: str, text: str) -> RegexMatchAndSubstitute:
    return RegexMatchAndSubstitute(
        pattern=RegexMatcher(regex=expression), substitution=text.replace("\\", "\\\\")
    )


def _checked(modifier: HeaderModifier) -> HeaderModifier:
    named = [item.name for item in (*modifier.set, *modifier.add)] + list(modifier.remove)
    if any(name.lower() == _HOST for name in named):
        message = "RequestHeaderModifier cannot change Host: use URLRewrite with a hostname"
        raise UnusableError(message)
    return modifier


def _additions(modifier: HeaderModifier | None) -> list[HeaderValueOption]:
    if modifier is None:
        return []
    return [
        HeaderValueOption(
            header=HeaderValue(key=item.name, value=header_value(item.value)),
            append_action=action,
            keep_empty_value=True,
        )
        for action, items in ((_OVERWRITE, modifier.set), (_APPEND, modifier.add))
        for item in items
    ]


def _removals(modifier: HeaderModifier | None) -> list[str]:
    return list(modifier.remove) if modifier is not None else []
