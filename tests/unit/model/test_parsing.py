"""Objects parse, or say all that is wrong with them; secrets keep theirs."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, strategies as st

from controlplane.model import (
    KINDS,
    Gateway,
    HTTPRoute,
    Invalid,
    Location,
    ObjectRef,
    Problem,
    Secret,
    identify,
    parse,
    unsupported_fields,
)
from controlplane.model.problems import Lines
from tests.unit.model.sales import sale

if TYPE_CHECKING:
    from collections.abc import Callable

SECRET = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "tls", "namespace": "shop"},
    "type": "kubernetes.io/tls",
    "data": {"tls.crt": "Y2Vy\ndA==", "tls.key": "b2xk"},
    "stringData": {"tls.key": "hunter2"},
}


def route(*rules: dict[str, Any]) -> HTTPRoute:
    parsed = parse(
        {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "HTTPRoute",
            "metadata": {"name": "shop", "namespace": "shop"},
            "spec": {"rules": list(rules)},
        }
    )
    assert isinstance(parsed, HTTPRoute)
    return parsed


def test_a_secret_reads_both_forms() -> None:
    secret = parse(SECRET)

    assert isinstance(secret, Secret)
    assert secret.certificate == b"cert"
    assert secret.private_key == b"hunter2"


def test_a_secret_shows_nothing() -> None:
    secret = parse(SECRET)

    for shown in (repr(secret), str(secret), str(secret.ref)):
        assert "hunter2" not in shown
        assert "cert" not in shown


@pytest.mark.parametrize(
    "broken",
    [
        {"data": {"a": "hunter2!"}},
        {"data": {"a": ["hunter2"]}},
        {"stringData": {"a": 5, "b": ["hunter2"]}},
        {"stringData": "hunter2"},
        {"hunters": "hunter2"},
        {"metadata": {"name": "hunter2 "}},
    ],
)
def test_a_broken_secret_shows_nothing_but_its_names(broken: dict[str, Any]) -> None:
    with pytest.raises(Invalid) as caught:
        parse({**SECRET, **broken})

    told = "".join(traceback.format_exception(caught.value))
    if "metadata" in broken:
        assert all("hunter2" not in problem.message for problem in caught.value.problems)
    else:
        assert "hunter2" not in told


def test_every_problem_is_told() -> None:
    with pytest.raises(Invalid) as caught:
        sale(stock="3", suspnd=True, admission={"blockRatio": 7}, epoch=4)

    assert [problem.field for problem in caught.value.problems] == [
        "spec.stock",
        "spec.admission.blockRatio",
        "spec.epoch",
        "spec.suspnd",
    ]
    assert {problem.ref for problem in caught.value.problems} == {
        ObjectRef("FlashSale", "shop", "laptop")
    }


def test_problems_stand_where_their_field_stands() -> None:
    lines = Lines(1, {"spec": Lines(4, {"stock": Lines(6)})})

    with pytest.raises(Invalid) as caught:
        parse(
            {
                "apiVersion": "sluice.dev/v1alpha1",
                "kind": "FlashSale",
                "metadata": {"name": "laptop"},
                "spec": {"stock": 0},
            },
            source=Location("a.yaml", lines),
        )

    told = {problem.field: problem.line for problem in caught.value.problems}
    assert told["spec.stock"] == 6
    assert told["spec.identity"] == 4
    assert str(caught.value.problems[-1]).startswith("a.yaml:6: FlashSale default/laptop: spec.")


def test_python_names_are_no_names_of_fields() -> None:
    with pytest.raises(Invalid, match="did you mean targetRefs"):
        sale(target_refs=[{"name": "shop"}])


def test_what_is_not_for_us_is_no_error() -> None:
    with pytest.raises(Invalid) as caught:
        parse({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}})

    assert caught.value.skipped


def test_a_gateway_class_has_no_namespace() -> None:
    parsed = parse(
        {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "GatewayClass",
            "metadata": {"name": "sluice"},
            "spec": {"controllerName": "sluice.dev/controller"},
        }
    )

    assert parsed.ref == ObjectRef("GatewayClass", "", "sluice")
    assert str(parsed.ref) == "GatewayClass sluice"
    assert identify({"kind": "GatewayClass", "metadata": {"name": "sluice"}}) == parsed.ref


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        "x",
        {},
        {"kind": "Service"},
        {"kind": 1, "metadata": {}},
        {"metadata": {"name": 1}},
    ],
)
def test_what_names_nothing_has_no_identity(document: object) -> None:
    assert identify(document) is None


def test_fields_that_are_legal_and_not_acted_on_are_listed() -> None:
    mirror = {"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "a"}}}
    made = route({"filters": [mirror], "retry": {"attempts": 2}})

    assert unsupported_fields(made) == (
        "spec.rules[0].filters[0].requestMirror",
        "spec.rules[0].retry",
    )
    assert unsupported_fields(sale()) == ()


def test_a_rule_is_known_by_its_name_or_its_place() -> None:
    assert route({"name": "buy"}).rule_key(0) == "httproute/shop/shop/buy"
    assert route({}).rule_key(0) == "httproute/shop/shop/0"
    assert route({"name": "0"}).rule_key(0) == "httproute/shop/shop/name=0"


def test_a_rule_without_matches_matches_everything() -> None:
    rules: list[dict[str, Any]] = [{}, {"matches": []}, {"matches": None}, {"matches": [{}]}]
    for rule in rules:
        (match,) = route(rule).spec.rules[0].effective_matches
        assert (match.path.type, match.path.value) == ("PathPrefix", "/")


def test_a_label_selector_chooses_as_kubernetes_does() -> None:
    requirements = [
        {"key": "tier", "operator": "In", "values": ["a", "b"]},
        {"key": "old", "operator": "DoesNotExist"},
        {"key": "shop", "operator": "Exists"},
        {"key": "tier", "operator": "NotIn", "values": ["b"]},
    ]
    listener = {
        "name": "http",
        "protocol": "HTTP",
        "port": 80,
        "allowedRoutes": {
            "namespaces": {
                "from": "Selector",
                "selector": {"matchLabels": {"env": "prod"}, "matchExpressions": requirements},
            }
        },
    }
    parsed = parse(
        {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "Gateway",
            "metadata": {"name": "edge"},
            "spec": {"gatewayClassName": "sluice", "listeners": [listener]},
        }
    )
    assert isinstance(parsed, Gateway)
    selector = parsed.spec.listeners[0].allowed_routes.namespaces.selector
    assert selector is not None
    good = {"env": "prod", "tier": "a", "shop": ""}

    assert selector.matches(good)
    for change in ({"env": "test"}, {"tier": "b"}, {"tier": "c"}, {"old": ""}):
        assert not selector.matches({**good, **change})
    assert not selector.matches({"env": "prod", "tier": "a"})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(st.sampled_from(sorted(KINDS)), JSON, JSON, JSON)
def test_no_document_breaks_the_parser(kind: str, metadata: Any, spec: Any, extra: Any) -> None:
    version = KINDS[kind].API_VERSIONS[0]
    document = {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}
    if isinstance(extra, dict):
        document = {**extra, **document}
    assert all(str(problem) for problem in problems_of(lambda: parse(document)))


def problems_of(make: Callable[[], object]) -> tuple[Problem, ...]:
    """All problems of what cannot be made; any other exception is a failure."""
    try:
        make()
    except Invalid as error:
        return error.problems
    return ()


PLACES = (
    (), ("targetRefs",), ("schedule",), ("admission",), ("identity",), ("pass",), ("access",),
    ("responses",), ("responses", "soldOut"),
)  # fmt: skip
FIELDS = st.one_of(
    st.sampled_from(["stock", "epoch", "suspend", "startTime", "endTime", "blockRatio", "draw"]),
    st.sampled_from(["maxPermits", "minInterval", "redrawInterval", "header", "cookie", "ttl"]),
    st.sampled_from(["clientAddress", "cookieName", "deny", "denyCIDRs", "status", "headers"]),
    st.sampled_from(["body", "redirect", "soldOut", "durability"]),
)


@given(st.lists(st.tuples(st.sampled_from(PLACES), FIELDS, JSON), max_size=4))
def test_no_field_breaks_the_parser(edits: list[tuple[tuple[str, ...], str, Any]]) -> None:
    spec: dict[str, Any] = {}
    for place, name, value in edits:
        target: Any = spec
        for step in place:
            target = target.setdefault(step, {}) if isinstance(target, dict) else {}
        if isinstance(target, dict):
            target[name] = value
    told = [str(problem) for problem in problems_of(lambda: sale(**spec))]
    assert all(line.startswith("FlashSale shop/laptop: ") for line in told)
