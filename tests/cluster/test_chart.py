"""The Helm chart, against a real API server: what it renders is taken, and does what it says."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.cluster.api_server import ADMIN, ApiServer
from tests.cluster.chart.golden import (
    CASES,
    CHART,
    HINT,
    NAMESPACE,
    RELEASE,
    ROOT,
    documents,
    golden_of,
    helm,
    render,
    values_of,
)
from tests.cluster.kubectl import Kubectl
from tests.testkit.waiting import eventually

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.cluster
# Not where the other tests would put the same things with other values.
INSTALLED = "installed"
SLUICE = ROOT / ".venv" / "bin" / "sluice"
TRIAL = ("--set", "redis.trial.enabled=true")
# Kinds of others that the chart can make: taken as they are.
FOREIGN = {
    ("gateway.networking.k8s.io", "v1"): ["GatewayClass", "Gateway", "HTTPRoute"],
    ("gateway.networking.k8s.io", "v1beta1"): ["ReferenceGrant"],
    ("cert-manager.io", "v1"): ["Certificate", "Issuer"],
    ("monitoring.coreos.com", "v1"): ["ServiceMonitor", "PodMonitor"],
}
HTTPS = """
redis: {address: "a:1"}
gateway: {listeners: [{name: a, protocol: HTTPS, port: 443}]}
"""
NO_REPLICAS = """
redis: {address: "a:1"}
controlPlane: {scaling: true}
edge: {kind: DaemonSet, scaledBy: [shop]}
"""
CLASS_ALONE = """
redis: {address: "a:1"}
controlPlane: {watchNamespaces: [shop]}
gateway: {create: false}
edge: {service: {ports: [{port: 80}]}}
"""
NAMESPACE_CONTROLLER = "system:serviceaccount:kube-system:namespace-controller"
SALE = """
apiVersion: sluice.dev/v1alpha1
kind: FlashSale
metadata: {name: %s, namespace: shop}
spec:
  targetRefs: [{name: shop}]
  schedule: {startTime: "2026-01-01T00:00:00Z"}
  stock: 100
  identity: {header: Authorization}
"""


class Cluster(Kubectl):
    """kubectl and Helm as somebody on an API server."""

    def helm(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        options = ("--kubeconfig", self.server.kubeconfig(), "--namespace", INSTALLED)
        return helm(*arguments, *options, home=self._home)

    def namespace(self, name: str, **labels: str) -> None:
        body = {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": name}}
        body["metadata"] = {"name": name, "labels": labels}
        self.do("apply", "-f", "-", text=json.dumps(body))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster with the kinds of others, and not yet ours."""
    # Its own: a policy of admission holds for all of a cluster.
    users = (f"system:serviceaccount:{NAMESPACE}:sluice", NAMESPACE_CONTROLLER)
    server = ApiServer(tmp_path_factory.mktemp("api"), service_accounts=users)
    try:
        asyncio.run(server.start())
        made = Cluster(server, tmp_path_factory.mktemp("home"))
        for definition in _foreign():
            made.do("apply", "-f", "-", text=json.dumps(definition))
        for name in (NAMESPACE, INSTALLED, "shop"):
            made.namespace(name)
        yield made
    finally:
        asyncio.run(server.close())


def _foreign() -> Iterator[dict[str, Any]]:
    for (group, version), kinds in FOREIGN.items():
        for kind in kinds:
            plural = f"{kind.lower()}es" if kind.endswith("s") else f"{kind.lower()}s"
            anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
            schema = {"type": "object", "properties": {"spec": anything, "status": anything}}
            served = {"name": version, "served": True, "storage": True}
            yield {
                "apiVersion": "apiextensions.k8s.io/v1",
                "kind": "CustomResourceDefinition",
                "metadata": {
                    "name": f"{plural}.{group}",
                    "annotations": {"api-approved.kubernetes.io": "unapproved, for tests"},
                },
                "spec": {
                    "group": group,
                    "scope": "Cluster" if kind == "GatewayClass" else "Namespaced",
                    "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
                    "versions": [
                        {
                            **served,
                            "subresources": {"status": {}},
                            "schema": {"openAPIV3Schema": schema},
                        }
                    ],
                },
            }


@pytest.fixture(scope="module")
def installed(cluster: Cluster) -> Iterator[Cluster]:
    """The chart in the cluster. No controller runs here, so the Job's hook cannot be waited for."""
    done = cluster.helm("install", RELEASE, CHART, *TRIAL, "--no-hooks")
    assert done.returncode == 0, done.stderr
    yield cluster
    # CRDs and what users made of them must stay; only then they are gone, with the cluster.
    done = cluster.helm("uninstall", RELEASE, "--no-hooks")
    assert done.returncode == 0, done.stderr
    assert "flashsales.sluice.dev" in cluster.do("get", "crds", "--output=name")


# --------------------------------------------------------------------------------- what it renders
def test_lint_finds_nothing() -> None:
    done = helm("lint", "--strict", CHART, *TRIAL)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[WARNING]" not in done.stdout


@pytest.mark.parametrize("case", CASES)
def test_it_renders_what_it_did(case: str) -> None:
    assert render("--values", values_of(case)) == golden_of(case).read_text(), HINT


@pytest.mark.parametrize("case", CASES)
def test_the_api_server_takes_every_document(installed: Cluster, case: str) -> None:
    text = render("--values", values_of(case))
    out = installed.do("apply", "--dry-run=server", "--validate=strict", "-f", "-", text=text)
    assert len(out.splitlines()) == len(documents(text)) >= 10


@pytest.mark.parametrize("case", CASES)
def test_every_pod_is_restricted(installed: Cluster, case: str) -> None:
    restricted = {"pod-security.kubernetes.io/enforce": "restricted"}
    installed.namespace("restricted", **restricted)
    pods = 0
    for document in documents(render("--values", values_of(case))):
        spec = document.get("spec") or {}
        template = spec.get("jobTemplate", {}).get("spec", spec).get("template")
        if template is None:
            continue
        metadata = {"name": f"pod-{pods}", "namespace": "restricted"}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
        installed.do("apply", "--dry-run=server", "-f", "-", text=json.dumps(pod))
        pods += 1
    assert pods >= 2
    bad = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "namespace": "restricted"}}
    bad["spec"] = {"containers": [{"name": "x", "image": "x"}]}
    refused = installed.kubectl("apply", "--dry-run=server", "-f", "-", text=json.dumps(bad))
    assert "violates PodSecurity" in refused.stderr


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ("controlPlane: {replicas: -1}", "/controlPlane/replicas"),
        ("controlPlane: {replica: 2}", "replica"),
        ("controlPlane: {logLevel: loud}", "/controlPlane/logLevel"),
        ("controlPlane: {watchNamespaces: [Shop]}", "/controlPlane/watchNamespaces/0"),
        ("tls: {mode: None}", "/tls/mode"),
        ("tls: {trustDomain: A B}", "/tls/trustDomain"),
        ("redis: {address: redis}", "/redis/address"),
        ("redis: {timeout: soon}", "/redis/timeout"),
        ("redis: {password: secret}", "/redis/password"),
        ("gateway: {name: Edge}", "/gateway/name"),
        ("gateway: {listeners: []}", "/gateway/listeners"),
        ("gateway: {listeners: [{name: a, protocol: HTTP, port: 0}]}", "/gateway/listeners/0/port"),
        ("edge: {kind: StatefulSet}", "/edge/kind"),
        ("edge: {workers: 0}", "/edge/workers"),
        ("edge: {image: {digest: latest}}", "/edge/image/digest"),
        ("edge: {service: {type: ExternalName}}", "/edge/service/type"),
        ("edge: {podDisruptionBudget: {maxUnavailable: few}}", "podDisruptionBudget"),
        ("metrics: {enabled: maybe}", "/metrics/enabled"),
        ("admissionPolicy: {action: Shout}", "/admissionPolicy/action"),
        ("surprise: {}", "surprise"),
    ],
)
def test_the_schema_refuses(tmp_path: Path, values: str, named: str) -> None:
    file = tmp_path / "values.yaml"
    file.write_text(values)
    done = helm("template", RELEASE, CHART, "--kube-version", "1.34.2", *TRIAL, "--values", file)
    assert done.returncode != 0
    assert "values don't meet the specifications of the schema" in done.stderr
    assert named.rsplit("/", maxsplit=1)[-1] in done.stderr, done.stderr


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ("{}", "Redis is needed: set redis.address"),
        ("redis: {address: 'a:1', trial: {enabled: true}}", "only one of both"),
        ("{redis: {address: 'a:1'}, tls: {mode: Secret}}", "tls.secret.proxy is needed"),
        (
            "{redis: {address: 'a:1'}, edge: {drainSeconds: 60}}",
            "terminationGracePeriodSeconds must be more",
        ),
        (
            "{redis: {address: 'a:1'}, edge: {kind: DaemonSet, autoscaling: {enabled: true}}}",
            "edge.autoscaling is for edge.kind Deployment",
        ),
        ("{redis: {address: 'a:1'}, gateway: {create: false}}", "edge.service.ports is needed"),
        (
            "{redis: {address: 'a:1'}, controlPlane: {watchNamespaces: [shop]}}",
            "watchNamespaces must contain default",
        ),
        (
            CLASS_ALONE,
            "watchNamespaces must contain default",
        ),
        (
            HTTPS,
            "set controlPlane.readSecrets=true",
        ),
        (
            "{redis: {address: 'a:1'}, edge: {scaledBy: [shop]}}",
            "edge.scaledBy needs controlPlane.scaling=true",
        ),
        (
            NO_REPLICAS,
            "edge.scaledBy is for edge.kind Deployment",
        ),
        (
            "{redis: {address: 'a:1'}, edge: {podDisruptionBudget: {minAvailable: 1}}}",
            "of minAvailable and maxUnavailable one must be null",
        ),
    ],
)
def test_what_cannot_work_is_refused_with_a_reason(tmp_path: Path, values: str, said: str) -> None:
    file = tmp_path / "values.yaml"
    file.write_text(values)
    done = helm("template", RELEASE, CHART, "--kube-version", "1.34.2", "--values", file)
    assert done.returncode != 0
    assert said in done.stderr


# ------------------------------------------------------------------------------------- what it does
def test_an_upgrade_goes_through(installed: Cluster) -> None:
    done = installed.helm(
        "upgrade", RELEASE, CHART, *TRIAL, "--set", "edge.replicas=3", "--no-hooks"
    )
    assert done.returncode == 0, done.stderr
    edge = json.loads(
        installed.do("get", "deployment", "sluice-edge", "-n", INSTALLED, "--output=json")
    )
    assert edge["spec"]["replicas"] == 3
    assert "WARNING: Redis is the small one for trials" in done.stdout


class TestDeletingSales:
    """The policy of admission."""

    @pytest.fixture
    def sale(self, installed: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
        name = f"sale-{abs(hash(request.node.name)) % 10**9}"
        installed.do("apply", "-f", "-", text=SALE % name)
        yield name
        self._annotate(installed, name, "true")
        installed.kubectl("delete", "flashsale", name, "-n", "shop")

    def _annotate(self, cluster: Cluster, name: str, value: str) -> None:
        note = f"sluice.dev/allow-delete={value}"
        cluster.kubectl("annotate", "flashsale", name, "-n", "shop", "--overwrite", note)

    def _set_state(self, cluster: Cluster, name: str, state: str) -> None:
        cluster.do(
            *("patch", "flashsale", name, "-n", "shop", "--subresource=status"),
            *("--type=merge", "-p", json.dumps({"status": {"state": state}})),
        )

    async def _refused(self, cluster: Cluster, *what: str, user: str = ADMIN) -> str:
        """The policy is in force a moment after it is made."""

        def tried() -> str:
            command = ("delete", "flashsale", *what, "-n", "shop", "--dry-run=server")
            done = cluster.kubectl(*command, user=user)
            return done.stderr if done.returncode else ""

        return str(await eventually(tried, what="the policy refuses"))

    async def test_an_open_one_is_refused_until_it_is_meant(
        self, installed: Cluster, sale: str
    ) -> None:
        self._set_state(installed, sale, "Open")
        message = await self._refused(installed, sale)
        assert f"the sale shop/{sale} is open: set the annotation" in message
        self._annotate(installed, sale, "no")
        await self._refused(installed, sale)
        self._annotate(installed, sale, "true")
        installed.do("delete", "flashsale", sale, "-n", "shop")

    async def test_one_of_many_is_refused_too(self, installed: Cluster, sale: str) -> None:
        self._set_state(installed, sale, "Open")
        await self._refused(installed, sale)
        path = "/apis/sluice.dev/v1alpha1/namespaces/shop/flashsales"
        done = installed.kubectl("delete", "--raw", path)
        assert "is open" in done.stderr
        assert sale in installed.do("get", "flashsales", "-n", "shop", "--output=name")

    @pytest.mark.parametrize("state", ["Scheduled", "SoldOut", "Ended", "Suspended"])
    async def test_others_go(self, installed: Cluster, sale: str, state: str) -> None:
        self._set_state(installed, sale, "Open")
        await self._refused(installed, sale)
        self._set_state(installed, sale, state)
        installed.do("delete", "flashsale", sale, "-n", "shop")

    async def test_a_namespace_that_goes_is_not_held_up(
        self, installed: Cluster, sale: str
    ) -> None:
        self._set_state(installed, sale, "Open")
        await self._refused(installed, sale)
        done = installed.kubectl(
            *("delete", "flashsale", sale, "-n", "shop", "--as", NAMESPACE_CONTROLLER),
            *("--as-group", "system:masters"),
        )
        assert done.returncode == 0, done.stderr


async def test_the_job_may_make_certificates_and_nothing_else(
    installed: Cluster, tmp_path: Path
) -> None:
    rendered = documents(render(*TRIAL))
    hooks = [one for one in rendered if "helm.sh/hook" in one["metadata"].get("annotations", {})]
    rights = [one for one in hooks if one["kind"] != "Job"]
    (job,) = (one for one in hooks if one["kind"] == "Job")
    installed.do("apply", "-f", "-", text=yaml.safe_dump_all(rights))
    pod = job["spec"]["template"]["spec"]
    token = await installed.server.service_account_token(NAMESPACE, pod["serviceAccountName"])
    kubeconfig = installed.server.kubeconfig("job", token=token)
    (container,) = pod["containers"]
    for expected in ("made", "kept"):
        done = await asyncio.create_subprocess_exec(
            *("sluice", *container["args"], f"--kubeconfig={kubeconfig}"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={"PATH": f"{SLUICE.parent}:{os.environ['PATH']}", "TMPDIR": str(tmp_path)},
        )
        out, err = await asyncio.wait_for(done.communicate(), 60)
        assert done.returncode == 0, err.decode()
        assert out.decode().count(expected) == (3 if expected == "made" else 2)
    used = {
        volume["secret"]["secretName"]
        for one in rendered
        if one["kind"] == "Deployment"
        for volume in one["spec"]["template"]["spec"].get("volumes", [])
        if "secret" in volume
    }
    for name in used:
        secret = json.loads(installed.do("get", "secret", name, "-n", NAMESPACE, "--output=json"))
        assert secret["data"].keys() == {"tls.crt", "tls.key", "ca.crt"}
        assert b"BEGIN CERTIFICATE" in base64.b64decode(secret["data"]["tls.crt"])
    assert used == {"sluice-xds-server", "sluice-xds-proxy"}
    for what in (("get", "secrets"), ("get", "secret", "other"), ("delete", "secret", used.pop())):
        refused = installed.kubectl(*what, "-n", NAMESPACE, user="job", token=token)
        assert "forbidden" in refused.stderr.lower()
