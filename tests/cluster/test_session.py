from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from controlplane.kube import (
    CONFIG_MAPS,
    JSON_PATCH,
    AlreadyExistsError,
    Call,
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    Session,
    UnauthorizedError,
    UnavailableError,
    find_access,
)
from tests.cluster.api_server import SERVICE_ACCOUNT, ApiServer
from tests.cluster.widgets import WIDGETS, install_widgets, widget

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cluster.conftest import OpenSession

pytestmark = pytest.mark.cluster
VERSION = Call("read the version", "GET", "/version")


@pytest.fixture
async def widgets(shared_api_server: ApiServer) -> None:
    await install_widgets(shared_api_server)


async def test_the_server_is_the_one_that_go_mod_names(session: Session) -> None:
    assert (await session.request(VERSION))["gitVersion"] == "v1.34.2"


@pytest.mark.usefixtures("widgets")
async def test_objects_are_made_read_changed_and_deleted(session: Session, namespace: str) -> None:
    made = await session.create(WIDGETS, widget("one", namespace, size=1))
    made["spec"]["size"] = 2
    replaced = await session.replace(WIDGETS, made)
    assert replaced["spec"] == {"size": 2}
    await session.patch(WIDGETS, "one", namespace, body={"spec": {"text": "x"}})
    operations = [{"op": "replace", "path": "/spec/size", "value": 3}]
    await session.patch(WIDGETS, "one", namespace, body=operations, content_type=JSON_PATCH)
    read = await session.get(WIDGETS, "one", namespace)
    assert read["spec"] == {"size": 3, "text": "x"}
    await session.delete(WIDGETS, "one", namespace, uid=read["metadata"]["uid"])
    with pytest.raises(NotFoundError) as caught:
        await session.get(WIDGETS, "one", namespace)
    text = str(caught.value)
    assert text.startswith(f"cannot read widgets.test.sluice.dev one in {namespace}: ")
    assert text.endswith('"one" not found')


@pytest.mark.usefixtures("widgets")
async def test_errors_have_their_kind_and_name_the_thing(session: Session, namespace: str) -> None:
    made = await session.create(WIDGETS, widget("one", namespace, size=1))
    with pytest.raises(AlreadyExistsError, match="already exists"):
        await session.create(WIDGETS, widget("one", namespace))
    await session.replace(WIDGETS, {**made, "spec": {"size": 2}})
    with pytest.raises(ConflictError, match="has been modified"):
        await session.replace(WIDGETS, {**made, "spec": {"size": 3}})
    with pytest.raises(InvalidError, match=r"spec\.size"):
        await session.create(WIDGETS, widget("two", namespace, size=-1))
    with pytest.raises(ConflictError):
        await session.delete(WIDGETS, "one", namespace, uid="another")


async def test_who_has_no_right_is_told_which_one(
    shared_api_server: ApiServer, open_session: OpenSession
) -> None:
    session = await open_session(shared_api_server, SERVICE_ACCOUNT)
    with pytest.raises(ForbiddenError) as caught:
        await session.page(CONFIG_MAPS)
    text = str(caught.value)
    assert text.startswith("cannot list configmaps: ")
    assert f'User "{SERVICE_ACCOUNT}" cannot list resource "configmaps"' in text
    assert text.endswith("(a Role or ClusterRole has to grant it)")
    assert "\n" not in text


async def test_a_wrong_token_is_told_as_such(
    shared_api_server: ApiServer, open_session: OpenSession
) -> None:
    session = await open_session(shared_api_server, "nobody", token="wrong")
    with pytest.raises(UnauthorizedError, match="token or certificate") as caught:
        await session.request(VERSION)
    assert "wrong" not in str(caught.value)


async def test_a_token_that_was_replaced_is_read_again(
    shared_api_server: ApiServer, open_session: OpenSession
) -> None:
    session = await open_session(shared_api_server, "nobody", token="outdated")
    shared_api_server.kubeconfig("nobody", token=shared_api_server.token())
    assert await session.request(VERSION)


async def test_a_pod_finds_the_server_by_its_service_account(
    shared_api_server: ApiServer, tmp_path: Path
) -> None:
    accounts = "/api/v1/namespaces/default/serviceaccounts"
    body = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "in-a-pod"}}
    await shared_api_server.call("POST", accounts, body)
    token = await shared_api_server.service_account_token("default", "in-a-pod")
    (tmp_path / "token").write_text(token)
    (tmp_path / "ca.crt").write_bytes(shared_api_server.ca.read_bytes())
    (tmp_path / "namespace").write_text("default")
    environ = {
        "KUBERNETES_SERVICE_HOST": "127.0.0.1",
        "KUBERNETES_SERVICE_PORT": str(shared_api_server.port),
    }
    access = await find_access(environ=environ, pod=tmp_path)
    async with Session(access) as session:
        assert session.namespace == "default"
        # Not anonymous: the server knows the name.
        with pytest.raises(ForbiddenError, match="system:serviceaccount:default:in-a-pod"):
            await session.page(CONFIG_MAPS)


async def test_a_paused_server_costs_no_more_than_the_deadline(
    api_server: ApiServer, open_session: OpenSession
) -> None:
    session = await open_session(api_server, deadline=0.5)
    assert await session.request(VERSION)
    api_server.pause()
    with pytest.raises(UnavailableError, match="did not answer in time"):
        await session.request(VERSION)
    api_server.kill()
    with pytest.raises(UnavailableError, match="cannot read the version: the API server at https"):
        await session.request(VERSION)
    await api_server.restart()
    assert await session.request(VERSION)


async def test_a_certificate_that_is_not_trusted_is_named(
    shared_api_server: ApiServer, tmp_path: Path
) -> None:
    kubeconfig = shared_api_server.kubeconfig()
    other = tmp_path / "kubeconfig"
    lines = kubeconfig.read_text().splitlines()
    other.write_text("\n".join(line for line in lines if "certificate-authority" not in line))
    async with await Session.open(other) as session:
        with pytest.raises(UnavailableError, match="certificate is not trusted"):
            await session.request(VERSION)
