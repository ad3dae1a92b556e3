from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

from controlplane.kube import ConfigurationError, find_access

if TYPE_CHECKING:
    from pathlib import Path


def _config(**changes: Any) -> dict[str, Any]:
    contexts = [
        {"name": "one", "context": {"cluster": "one", "user": "me", "namespace": "shop"}},
        {"name": "two", "context": {"cluster": "two", "user": "me"}},
    ]
    clusters = [
        {"name": name, "cluster": {"server": f"http://{name}.example:6443"}}
        for name in ("one", "two")
    ]
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "contexts": contexts,
        "clusters": clusters,
        "users": [{"name": "me", "user": {"token": "t"}}],
        "current-context": "one",
        **changes,
    }


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Path:
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(_config()))
    return path


async def test_a_kubeconfig_tells_server_and_namespace(kubeconfig: Path) -> None:
    before = kubeconfig.read_bytes()
    access = await find_access(kubeconfig, environ={})
    assert access.configuration.host == "http://one.example:6443"
    assert access.namespace == "shop"
    other = await find_access(kubeconfig, "two", environ={})
    assert (other.configuration.host, other.namespace) == ("http://two.example:6443", "default")
    assert kubeconfig.read_bytes() == before


async def test_kubeconfig_goes_before_the_pod(kubeconfig: Path, tmp_path: Path) -> None:
    environ = {"KUBECONFIG": str(kubeconfig), "KUBERNETES_SERVICE_HOST": "10.0.0.1"}
    access = await find_access(environ=environ, pod=tmp_path)
    assert access.configuration.host == "http://one.example:6443"


async def test_several_kubeconfigs_are_one(kubeconfig: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text(
        yaml.safe_dump({"apiVersion": "v1", "kind": "Config", "current-context": "two"})
    )
    access = await find_access(f"{kubeconfig}:{other}", environ={})
    assert access.configuration.host == "http://two.example:6443"


async def test_a_token_file_is_read_again_when_asked(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("first\n")
    users = [{"name": "me", "user": {"tokenFile": str(token)}}]
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(_config(users=users)))
    access = await find_access(path, environ={})
    assert access.configuration.api_key == {"BearerToken": "Bearer first\n"}
    token.write_text("second\n")
    await access.refresh()
    assert access.configuration.api_key == {"BearerToken": "Bearer second\n"}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "- 1",
        "{",
        "a: b",
        yaml.safe_dump(_config(contexts=[])),
    ],
)
async def test_a_kubeconfig_that_cannot_be_used_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "config"
    path.write_text(content)
    with pytest.raises(ConfigurationError) as caught:
        await find_access(path, environ={})
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_no_kubeconfig_and_no_pod_is_told_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="name one"):
        await find_access(tmp_path / "none", environ={})
    environ = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}
    with pytest.raises(ConfigurationError, match="automountServiceAccountToken"):
        await find_access(environ=environ, pod=tmp_path)
