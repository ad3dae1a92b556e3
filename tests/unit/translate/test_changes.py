from __future__ import annotations

from typing import Any

import pytest

from controlplane.model.route_filters import HTTPRouteFilter, RequestRedirect
from controlplane.translate.changes import header_value, read, redirect_action
from controlplane.translate.matches import UnusableError


def filter_of(kind: str, field: str, **spec: Any) -> HTTPRouteFilter:
    return HTTPRouteFilter.model_validate({"type": kind, field: spec})


# What is asked for, scheme and port of the listener, port of the location: 0 is none.
PORTS: tuple[tuple[dict[str, Any], str, int, int], ...] = (
    ({"hostname": "new.org"}, "http", 80, 0),
    ({"hostname": "new.org"}, "https", 443, 0),
    ({"hostname": "new.org"}, "http", 8080, 8080),
    ({"hostname": "new.org"}, "https", 80, 80),
    ({"scheme": "https", "hostname": "new.org"}, "http", 8080, 0),
    ({"scheme": "https"}, "http", 80, 0),
    ({"scheme": "https"}, "http", 8080, 443),
    ({"scheme": "http"}, "https", 8443, 80),
    ({"scheme": "http", "hostname": "new.org", "port": 80}, "https", 443, 0),
    ({"scheme": "https", "hostname": "new.org", "port": 80}, "http", 80, 80),
    ({"port": 8443}, "http", 80, 8443),
    ({"path": {"type": "ReplaceFullPath", "replaceFullPath": "/x"}}, "http", 8080, 0),
)


@pytest.mark.parametrize(("wanted", "scheme", "port", "expected"), PORTS)
def test_the_port_of_a_redirect(
    wanted: dict[str, Any], scheme: str, port: int, expected: int
) -> None:
    action = redirect_action(RequestRedirect.model_validate(wanted), "/", scheme, port)
    assert action.port_redirect == expected


def test_percent_signs_are_no_commands() -> None:
    assert header_value("100%") == "100%%"
    assert header_value("%REQ(x)%") == "%%REQ(x)%%"


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (filter_of("RequestMirror", "requestMirror", a=1), "RequestMirror is not supported"),
        (
            filter_of("RequestHeaderModifier", "requestHeaderModifier", remove=["Host"]),
            "cannot change Host",
        ),
        (
            filter_of(
                "RequestHeaderModifier",
                "requestHeaderModifier",
                set=[{"name": "host", "value": "x"}],
            ),
            "use URLRewrite",
        ),
    ],
)
def test_what_envoy_would_refuse_is_refused(wanted: HTTPRouteFilter, message: str) -> None:
    with pytest.raises(UnusableError, match=message):
        read([wanted])
