"""Objects of an API server: fields of newer versions are read past, but not in our own kinds."""

from __future__ import annotations

import pytest

from controlplane.model import HTTPRoute, Service
from controlplane.model.parsing import parse, parse_served
from controlplane.model.problems import Invalid
from tests.unit.model.sales import sale

SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "shop", "namespace": "shop", "newMetadata": 1},
    "spec": {"ports": [{"port": 80, "newer": {}}, {"port": 81, "name": "x"}], "newest": True},
}
ROUTE = {
    "apiVersion": "gateway.networking.k8s.io/v1",
    "kind": "HTTPRoute",
    "metadata": {"name": "shop", "namespace": "shop"},
    "spec": {"rules": [{"name": "buy", "matches": [{"path": {"value": "/a", "newer": 1}}]}]},
}


def test_core_kinds_are_read_as_far_as_they_are_known() -> None:
    ports = [{"port": 80, "name": "http", "newer": {}}]
    resource, problems = parse_served({**SERVICE, "spec": {"ports": ports, "newest": True}})
    assert isinstance(resource, Service)
    assert resource.spec.ports[0].port == 80
    assert not problems


def test_what_is_wrong_stays_wrong() -> None:
    with pytest.raises(Invalid) as caught:
        parse_served(SERVICE)
    assert [problem.field for problem in caught.value.problems] == ["spec.ports[0].name"]


def test_gateway_api_is_told_of() -> None:
    resource, [warning] = parse_served(ROUTE)
    assert isinstance(resource, HTTPRoute)
    assert resource.spec.rules[0].matches[0].path.value == "/a"
    assert (warning.field, warning.severity) == ("spec.rules[0].matches[0].path.newer", "warning")
    with pytest.raises(Invalid):
        parse(ROUTE)


def test_our_own_kinds_stay_strict() -> None:
    document = sale().model_dump(mode="json", by_alias=True, exclude_unset=True)
    document["spec"]["newer"] = 1
    with pytest.raises(Invalid, match="unknown field"):
        parse_served(document)
    del document["spec"]["newer"]
    document["metadata"]["newMetadata"] = 1
    assert parse_served(document) == (sale(), ())
