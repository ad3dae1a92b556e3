"""An API server with our CRDs refuses what `sluice validate` refuses, by the same rules.

Both are asked about every sale, quota and edge in the tables (see testkit/manifest_tables.py), the
API server by a dry run with strict fields, as `kubectl apply --dry-run=server` does it. Where a
rule is in CEL, the messages are the same too. Where the two cannot agree, the table says why.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import httpx
import pytest
import yaml

from controlplane.model import Condition, parse
from controlplane.model.crds import definitions
from controlplane.model.quota_limits import Limit
from controlplane.model.rules import rules_of
from controlplane.sources.loading import assemble, digest_file
from tests.testkit.manifest_tables import Case, cases
from tests.testkit.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from controlplane.model import Problem
    from tests.cluster.api_server import ApiServer

pytestmark = pytest.mark.cluster

PLURALS: Final = {
    crd["spec"]["names"]["kind"]: crd["spec"]["names"]["plural"] for crd in definitions().values()
}
TABLES: Final = ("flash-sale", "quota-policy", "edge-config", "edges")
CASES: Final = tuple(case for case in cases() if case.table in TABLES)
_KIND: Final = re.compile(r"^kind: (\w+)$", re.MULTILINE)
_NAMESPACE: Final = re.compile(r"\bnamespace: (\w+)")

ACCEPTS: Final = "accepts"
STOPPED: Final = "(not all was checked)"
_UNKNOWN: Final = re.compile(r'unknown field "(?P<field>[^"]+)"')
_OWN_WORDS: Final = re.compile(
    r" in body |^Unsupported value|^Required value(: name or .*)?$|^Too many|^Duplicate value"
    r"|lowercase RFC 1123|^unknown field"
)
"""What a schema says: the field alone tells what is meant."""
_AROUND: Final = re.compile(
    r'^(Invalid value: "(object|string|number)"|Forbidden|Required value): (.* evaluating rule: )?'
)
"""What an API server puts in front of the message of a rule."""
_WORDED: Final = {
    rule.without_words: re.compile(re.sub(r"\\{\w+\\}", ".*", re.escape(rule.message)))
    for rule in rules_of(Limit)
    if rule.without_words
}
"""Rules whose message is shorter in CEL, and what the longer one looks like."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What an API server says of a manifest."""

    lines: tuple[str, ...]

    @property
    def accepts(self) -> bool:
        return self.lines == (ACCEPTS,)

    @property
    def is_whole(self) -> bool:
        """Whether it looked at everything: an unknown field or a wrong type ends that early."""
        return not any(line == STOPPED or _UNKNOWN.match(line) for line in self.lines)

    @property
    def causes(self) -> Iterator[tuple[str, str]]:
        """Field and message of each cause."""
        for line in self.lines:
            unknown = _UNKNOWN.match(line)
            field, _, message = line.partition(": ")
            if unknown is not None:
                yield unknown["field"], line
            elif line not in {ACCEPTS, STOPPED}:
                yield field, message


@pytest.fixture(scope="session")
def http(shared_api_server: ApiServer) -> Iterator[httpx.Client]:
    """A client of an API server that serves our kinds."""
    context = ssl.create_default_context(cafile=str(shared_api_server.ca))
    headers = {"Authorization": f"Bearer {shared_api_server.token()}"}
    with httpx.Client(
        base_url=shared_api_server.url, verify=context, headers=headers, timeout=30, trust_env=False
    ) as client:
        create(client, "/api/v1/namespaces", {"metadata": {"name": "shop"}})
        for crd in definitions().values():
            create(client, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", crd)
        for plural in PLURALS.values():
            asyncio.run(served(client, f"/apis/sluice.dev/v1alpha1/{plural}"))
        yield client


def create(client: httpx.Client, path: str, body: dict[str, Any]) -> None:
    answer = client.post(path, json=body)
    assert answer.is_success or answer.json()["reason"] == "AlreadyExists", answer.text


async def served(client: httpx.Client, path: str) -> None:
    await eventually(lambda: client.get(path).is_success, what=f"{path} is served")


def ask(client: httpx.Client, manifest: str) -> Answer:
    """Create an object, but not really."""
    kind, namespace = _KIND.search(manifest), _NAMESPACE.search(manifest)
    assert kind is not None
    where = f"namespaces/{namespace[1] if namespace else 'default'}/{PLURALS[kind[1]]}"
    answer = client.post(
        f"/apis/sluice.dev/v1alpha1/{where}",
        params={"dryRun": "All", "fieldValidation": "Strict"},
        content=manifest.encode(),
        headers={"Content-Type": "application/yaml"},
    )
    if answer.is_success:
        return Answer((ACCEPTS,))
    status = answer.json()
    causes = status.get("details", {}).get("causes", ())
    told = [_line(cause) for cause in causes] or _unread(status["message"])
    return Answer(tuple(sorted(told)))


def _line(cause: dict[str, str]) -> str:
    if "some validation rules were not checked" in cause["message"]:
        return STOPPED
    return f"{cause['field']}: {cause['message']}"


def _unread(message: str) -> list[str]:
    """What is said of a document that is not even looked at, without the bytes of it."""
    unknown = [found[0] for found in _UNKNOWN.finditer(message)]
    return unknown or [" ".join(message.partition(" (61")[0].split())]


def differences(problems: tuple[Problem, ...], answer: Answer) -> list[str]:
    """Where the two say different things; empty when they agree."""
    if answer.accepts or not problems:
        return [] if answer.accepts and not problems else ["one accepts, the other refuses"]
    causes = list(answer.causes)
    found = [
        f"only the API server: {field}: {message}"
        for field, message in causes
        if not any(is_same(problem, field, message) for problem in problems)
    ]
    if answer.is_whole:
        found += [
            f"only Sluice: {problem}"
            for problem in problems
            if not any(is_same(problem, field, message) for field, message in causes)
        ]
    return found


def is_same(problem: Problem, field: str, message: str) -> bool:
    """Whether both mean the same rule, at the same field or at one that it is part of."""
    shorter, longer = sorted((field, problem.field), key=len)
    if not re.match(rf"{re.escape(shorter)}($|[.\[])", longer):
        return False
    if _OWN_WORDS.search(message):
        return True
    core = _AROUND.sub("", message)
    worded = _WORDED.get(core)
    return problem.message.startswith(core) or bool(worded and worded.match(problem.message))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_both_accept_or_both_refuse_by_the_same_rule(case: Case, http: httpx.Client) -> None:
    update = assemble([digest_file("shop.yaml", case.manifest.encode())])
    problems = tuple(problem for problem in update.problems if problem.is_error)

    answer = ask(http, case.manifest)

    assert answer.lines == case.server
    found = differences(problems, answer)
    if case.why:
        assert found, "they agree by now: remove the reason (===) from the table"
    else:
        assert found == []


def test_an_object_lives_on_the_server_by_the_same_rules(http: httpx.Client) -> None:
    manifest = next(case.manifest for case in CASES if str(case) == "flash-sale: the least")
    path = "/apis/sluice.dev/v1alpha1/namespaces/shop/flashsales"
    made = http.post(
        path, content=manifest.encode(), headers={"Content-Type": "application/yaml"}
    ).json()
    merge = {"Content-Type": "application/merge-patch+json"}

    grown = http.patch(f"{path}/laptop", json={"spec": {"epoch": "2"}}, headers=merge)
    wrong = http.patch(
        f"{path}/laptop",
        json={"spec": {"schedule": {"endTime": "2020-01-01T00:00:00Z"}}},
        headers=merge,
    )
    accepted = Condition("Accepted", "True", "Accepted", "", 2)
    told: dict[str, Any] = {"conditions": [accepted.as_json()]}
    told |= {"state": "Open", "admitted": 1, "remaining": 2}
    told |= {"proxies": {"programmed": 2, "total": 3, "summary": "2/3"}}
    status = http.patch(f"{path}/laptop/status", json={"status": told}, headers=merge)
    shown = http.get(path, headers={"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"})
    http.delete(f"{path}/laptop")

    assert made["spec"]["admission"] == {"blockRatio": 0, "draw": "PerUser", "minInterval": "0s"}
    assert grown.json()["metadata"]["generation"] == 2
    assert "spec.schedule.endTime" in wrong.json()["message"]
    assert "must be after startTime" in wrong.json()["message"]
    assert status.json()["metadata"]["generation"] == 2
    cells = shown.json()["rows"][0]["cells"]
    assert cells[:6] == ["laptop", "Open", 1, 2, "2/3", "2026-01-01T00:00:00Z"]


def large_sale() -> dict[str, Any]:
    headers = [{"name": f"h{number}" + "x" * 200, "value": "v" * 500} for number in range(16)]
    outcomes = ("notStarted", "ended", "soldOut", "blocked", "throttled", "denied", "suspended")
    spec = {
        "targetRefs": [{"name": f"r{number}", "sectionName": "s" * 253} for number in range(16)],
        "schedule": {"startTime": "2026-01-01T00:00:00Z", "endTime": "2026-01-02T00:00:00Z"},
        "stock": 3,
        "identity": {"cookie": "c" * 256},
        "pass": {"cookieName": "c" * 64},
        "access": {
            "deny": [f"user-{number:0250}" for number in range(1000)],
            "denyCIDRs": [f"2001:db8:{number:x}:aaaa:bbbb:cccc::/96" for number in range(1, 1001)],
        },
        "responses": {outcome: {"headers": headers} for outcome in outcomes},
        "scaling": {
            "targets": [
                {"kind": "Deployment", "name": f"w{number:0252}", "replicas": 9}
                for number in range(16)
            ]
        },
    }
    return {"kind": "FlashSale", "spec": spec}


def large_quota() -> dict[str, Any]:
    key = [{"clientAddress": {"ipv6Prefix": 128}}, {"path": {}}, {"literal": "l" * 256}]
    key += [{"header": f"h{number}"} for number in range(5)]
    overrides = [
        {
            "consumer": [f"2001:db8::{number + 1:x}", "/p", "l" * 256, *["c" * 50] * 5],
            "windows": [{"requests": 5}] * 4,
        }
        for number in range(64)
    ]
    windows = [{"requests": 10, "per": f"{hours}h", "burst": 5} for hours in (1, 2, 3, 4)]
    match = {"path": {"type": "RegularExpression", "value": "/" + "[a-z]+" * 150}}
    limit = {
        "key": key,
        "algorithm": "TokenBucket",
        "windows": windows,
        "cost": {"number": 2},
        "when": [match] * 8,
        "overrides": overrides,
    }
    limits = [{"name": f"l{number}", **limit} for number in range(4)]
    return {"kind": "QuotaPolicy", "spec": {"targetRefs": [{"name": "shop"}], "limits": limits}}


@pytest.mark.parametrize("made", [large_sale(), large_quota()], ids=lambda made: str(made["kind"]))
def test_a_large_object_stays_inside_the_cost_of_rules(
    made: dict[str, Any], http: httpx.Client
) -> None:
    named = {"metadata": {"name": "large", "namespace": "shop"}}
    whole = {"apiVersion": "sluice.dev/v1alpha1", **made, **named}

    parse(whole)
    assert ask(http, yaml.safe_dump(whole, sort_keys=False)).lines == (ACCEPTS,)


def rules(schema: dict[str, Any]) -> Iterator[dict[str, str]]:
    yield from schema.get("x-kubernetes-validations", ())
    for inner in schema.get("properties", {}).values():
        yield from rules(inner)
    if "items" in schema:
        yield from rules(schema["items"])


def known_by(rule: dict[str, str]) -> str:
    """The message of a rule, or the longest text in it that is always the same."""
    if "message" in rule:
        return rule["message"]
    texts: list[str] = re.findall(r"'([^']*)'", rule["messageExpression"])
    return max(texts, key=len)


@pytest.mark.parametrize("crd", definitions().values(), ids=definitions())
def test_every_rule_is_broken_by_some_manifest(crd: dict[str, Any]) -> None:
    (version,) = crd["spec"]["versions"]
    known = {known_by(rule) for rule in rules(version["schema"]["openAPIV3Schema"])}
    told = [line for case in CASES for line in case.server]

    assert known
    assert {words for words in known if not any(words in line for line in told)} == set()


def test_the_tables_are_worth_reading() -> None:
    bad = [case for case in CASES if case.server != (ACCEPTS,)]

    assert len(CASES) >= 150
    assert len(bad) >= 100
    assert [str(case) for case in CASES if not case.server] == []
