from __future__ import annotations

from datetime import timedelta

import pytest
import yaml
from envoy_data_plane.envoy.config.core.v3 import DataSource
from envoy_data_plane.envoy.config.route.v3 import (
    FilterConfig,
    RedirectAction,
    RedirectActionRedirectResponseCode,
    Route,
    RouteAction,
    RouteMatch,
)
from envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 import Secret, TlsCertificate
from envoy_data_plane.envoy.type.v3 import DoubleRange, Int64Range
from envoy_data_plane.google.protobuf import Any, StringValue
from hypothesis import given, strategies as st

from controlplane.translate.describe import REDACTED, describe, to_yaml
from controlplane.translate.wire import encode, pack


def test_names_and_values_are_those_of_envoys_documentation() -> None:
    found = Route(
        name="r",
        match=RouteMatch(prefix="", case_sensitive=False),
        redirect=RedirectAction(response_code=RedirectActionRedirectResponseCode.FOUND),
        typed_per_filter_config={"f": pack(FilterConfig(config=Any(), disabled=True))},
    )
    assert describe(Route, encode(found)) == {
        "name": "r",
        "match": {"prefix": "", "case_sensitive": False},
        "redirect": {"response_code": "FOUND"},
        "typed_per_filter_config": {
            "f": {
                "@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig",
                "config": {},
                "disabled": True,
            }
        },
    }


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (timedelta(0), "0s"),
        (timedelta(milliseconds=1), "0.001s"),
        (timedelta(seconds=90), "90s"),
        (timedelta(seconds=1, microseconds=1), "1.000001s"),
    ],
)
def test_durations(value: timedelta, text: str) -> None:
    assert describe(RouteAction, encode(RouteAction(timeout=value))) == {"timeout": text}


def test_numbers_keep_their_sign() -> None:
    assert describe(Int64Range, encode(Int64Range(start=-5))) == {"start": -5}
    assert describe(DoubleRange, encode(DoubleRange(end=-0.25))) == {"end": -0.25}


def test_private_keys_show_only_when_asked_for() -> None:
    certificate = TlsCertificate(
        certificate_chain=DataSource(inline_string="c"), private_key=DataSource(inline_string="k")
    )
    body = encode(Secret(name="s", tls_certificate=certificate))
    assert describe(Secret, body)["tls_certificate"]["private_key"] == REDACTED
    shown = describe(Secret, body, reveal=True)
    assert shown["tls_certificate"]["private_key"] == {"inline_string": "k"}


def test_where_a_secret_is_found_shows() -> None:
    for place in (DataSource(filename="/key.pem"), DataSource(environment_variable="KEY")):
        body = encode(TlsCertificate(private_key=place))
        assert describe(TlsCertificate, body) == describe(TlsCertificate, body, reveal=True)


def test_what_is_packed_in_an_unknown_type_is_shown_as_it_is() -> None:
    body = encode(FilterConfig(config=Any(type_url="example.org/Foo", value=b"x")))
    assert describe(FilterConfig, body) == {"config": {"@type": "example.org/Foo", "value": "eA=="}}
    body = encode(FilterConfig(config=pack(StringValue(value="x"))))
    assert describe(FilterConfig, body)["config"]["value"] == "x"


AMBIGUOUS = r"""
y n No off ON true null ~ 1 0x1f 1e3 1_000 .5 2026-01-01 1:30 a:b - # * &a %x @a << ' " \ {} [] !
"""


@pytest.mark.parametrize("text", ["", "a: b", "a #b", "- a", *AMBIGUOUS.split()])
def test_text_that_yaml_would_take_for_something_else_is_quoted(text: str) -> None:
    written = to_yaml({"value": text})
    assert written.startswith('value: "')
    assert yaml.safe_load(written) == {"value": text}


@given(st.recursive(st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_what_is_written_is_read_back(value: object) -> None:
    assert yaml.safe_load(to_yaml({"value": value})) == {"value": value}
