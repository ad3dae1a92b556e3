"""The rights that tests give the control plane are those of the chart, to the last verb.

They stand in a file of their own, as those tests need no release, and no Helm.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest

from tests.cluster.chart.golden import NAMESPACE, RELEASE, documents, render
from tests.cluster.cluster import RBAC

if TYPE_CHECKING:
    from collections.abc import Iterable

pytestmark = pytest.mark.cluster


def rights(objects: Iterable[dict[str, Any]], account: str) -> set[tuple[str, ...]]:
    """Where (empty: everywhere), group, resource, name and verb of all that an account may do."""
    named = {(one["kind"], one["metadata"]["name"]): one for one in objects}
    found: set[tuple[str, ...]] = set()
    for (kind, _), binding in named.items():
        subjects = binding.get("subjects") or ()
        if not any((one["name"], one.get("namespace")) == (account, NAMESPACE) for one in subjects):
            continue
        role = named[binding["roleRef"]["kind"], binding["roleRef"]["name"]]
        place = "" if kind == "ClusterRoleBinding" else binding["metadata"]["namespace"]
        for rule in role["rules"]:
            found.update(
                (place, *one)
                for one in itertools.product(
                    rule["apiGroups"],
                    rule["resources"],
                    rule.get("resourceNames", [""]),
                    rule["verbs"],
                )
            )
    return found


def test_tests_have_the_rights_of_the_chart() -> None:
    options = ("--set", "redis.trial.enabled=true", "--set", "controlPlane.readSecrets=true")
    given = rights(documents(render(*options)), RELEASE)
    assert given
    assert rights(documents(RBAC.read_text()), "sluice") == given


def test_a_right_more_is_noticed() -> None:
    more = RBAC.read_text().replace("verbs: [create, patch]", "verbs: [create, patch, delete]")
    known = rights(documents(RBAC.read_text()), "sluice")
    assert rights(documents(more), "sluice") - known == {
        ("", "events.k8s.io", "events", "", "delete")
    }
