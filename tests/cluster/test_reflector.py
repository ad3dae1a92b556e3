from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from controlplane.kube import (
    CONFIG_MAPS,
    Bookmark,
    ForbiddenError,
    Key,
    Listed,
    NotFoundError,
    Put,
    ResourceType,
    Resumed,
    Session,
    Target,
    UnavailableError,
    reflect,
    targets,
    watching,
)
from tests.cluster.api_server import SERVICE_ACCOUNT, ApiServer
from tests.cluster.conftest import make_namespace
from tests.cluster.follower import QUICK, Follower
from tests.cluster.unsteady_path import UnsteadyPath
from tests.cluster.widgets import WIDGETS, install_widgets, widget
from tests.testkit.waiting import eventually

if TYPE_CHECKING:
    from tests.cluster.conftest import OpenSession

pytestmark = pytest.mark.cluster
ROLES = ResourceType("rbac.authorization.k8s.io", "v1", "roles", "Role")
BINDINGS = ResourceType("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding")


@pytest.fixture
async def widgets(shared_api_server: ApiServer) -> None:
    await install_widgets(shared_api_server)


@pytest.fixture
async def hurt(api_server: ApiServer) -> ApiServer:
    """An API server of the test's own that knows widgets."""
    await install_widgets(api_server)
    return api_server


async def _size(session: Session, name: str, size: int, namespace: str = "default") -> None:
    await session.patch(WIDGETS, name, namespace, body={"spec": {"size": size}})


@pytest.mark.usefixtures("widgets")
async def test_all_pages_of_a_list_come_as_one(session: Session, namespace: str) -> None:
    for number in range(10):  # pages of three
        await session.create(WIDGETS, widget(f"w{number}", namespace, size=number))
    async with aclosing(reflect(session, WIDGETS, namespace, rhythm=QUICK)) as changes:
        first = await anext(changes)
    assert isinstance(first, Listed)
    assert first.objects.keys() == {(namespace, f"w{number}") for number in range(10)}
    assert first.changed == first.objects.keys()
    assert all("managedFields" not in obj["metadata"] for obj in first.objects.values())


@pytest.mark.usefixtures("widgets")
async def test_changes_follow_the_list(session: Session, namespace: str) -> None:
    await session.create(WIDGETS, widget("old", namespace, size=1))
    # Shorter, and the server has no time for the bookmark that it sends before it ends a watch.
    rhythm = replace(QUICK, lifetime=(5.0, 5.0))
    async with Follower(session, namespace, rhythm) as follower:
        await eventually(lambda: follower.sizes == {"old": 1})
        await session.create(WIDGETS, widget("new", namespace, size=2))
        await eventually(lambda: follower.sizes == {"old": 1, "new": 2})
        await _size(session, "old", 5, namespace)
        await eventually(lambda: follower.sizes == {"old": 5, "new": 2})
        await session.delete(WIDGETS, "old", namespace)
        await eventually(lambda: follower.sizes == {"new": 2})
        await eventually(lambda: follower.count(Bookmark) >= 1)
        await _size(session, "new", 3, namespace)
        await eventually(lambda: follower.sizes == {"new": 3})
    assert follower.count(Listed) == 1
    assert follower.count(Put) == 3
    assert not follower.interruptions


@pytest.mark.usefixtures("widgets")
async def test_several_targets_are_one_stream(
    session: Session, shared_api_server: ApiServer
) -> None:
    places = [await make_namespace(shared_api_server) for _ in range(2)]
    followed = targets([WIDGETS, CONFIG_MAPS], places)
    assert len(followed) == 4
    async with watching(session, followed, rhythm=QUICK) as changes:
        seen: set[Target] = set()
        async for target, change in changes:
            if isinstance(change, Listed):
                seen.add(target)
            if len(seen) == len(followed):
                break
        await session.create(WIDGETS, widget("one", places[1]))
        told: list[tuple[Target, Key]] = []
        async for place, change in changes:
            if isinstance(change, Put):
                told.append((place, change.key))
                break
    assert told == [(Target(WIDGETS, places[1]), (places[1], "one"))]


async def test_objects_of_core_kinds_tell_their_kind(session: Session, namespace: str) -> None:
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "x", "namespace": namespace},
    }
    await session.create(CONFIG_MAPS, body)
    async with aclosing(reflect(session, CONFIG_MAPS, namespace)) as changes:
        first = await anext(changes)
    assert isinstance(first, Listed)
    (found,) = first.objects.values()
    assert (found["apiVersion"], found["kind"]) == ("v1", "ConfigMap")


async def test_after_compaction_the_list_tells_what_was_missed(
    hurt: ApiServer, open_session: OpenSession
) -> None:
    admin = await open_session(hurt)
    for name in ("kept", "changed", "deleted"):
        await admin.create(WIDGETS, widget(name, size=1))
    async with UnsteadyPath(hurt.port) as path:
        mine = await open_session(hurt, url=path.url, deadline=1.0)
        async with Follower(mine) as follower:
            await eventually(lambda: len(follower.sizes) == 3)
            # Away: only a server that has just started knows no more than etcd does.
            targets, path._targets = path._targets, (1,)
            path.cut()
            await eventually(lambda: follower.interruptions)
            await _size(admin, "changed", 2)
            await admin.delete(WIDGETS, "deleted", "default")
            await admin.create(WIDGETS, widget("new", size=9))
            for size in range(50):
                await _size(admin, "new", size)
            await hurt.compact()
            hurt.kill()
            await hurt.restart()
            path._targets = targets
            expected = {"kept": 1, "changed": 2, "new": 49}
            await eventually(lambda: follower.sizes == expected, what="missed changes are told")
            await eventually(lambda: follower.count(Resumed) >= 1)
            await _size(admin, "kept", 7)
            await eventually(lambda: follower.sizes["kept"] == 7)
    assert follower.count(Listed) == 2
    again = [change for change in follower.told if isinstance(change, Listed)][-1]
    assert again.changed == {("default", "changed"), ("default", "new")}
    assert again.deleted == {("default", "deleted")}


async def test_a_server_that_is_killed_and_comes_back_is_followed_again(
    hurt: ApiServer, open_session: OpenSession
) -> None:
    admin = await open_session(hurt)
    await admin.create(WIDGETS, widget("one", size=1))
    async with Follower(await open_session(hurt)) as follower:
        await eventually(lambda: follower.sizes == {"one": 1})
        for size in (2, 3):
            hurt.kill()
            await eventually(lambda: follower.interruptions)
            assert follower.sizes  # what was known stays
            await hurt.restart()
            await _size(admin, "one", size)
            expected = {"one": size}
            await eventually(lambda: follower.sizes == expected)  # noqa: B023 - awaited here
            follower.told.clear()
    assert not follower.told_wrong


async def test_a_server_that_is_paused_counts_as_dead_after_the_silence(
    hurt: ApiServer, open_session: OpenSession
) -> None:
    admin = await open_session(hurt)
    await admin.create(WIDGETS, widget("one", size=1))
    # A watch that lives for minutes: only its silence can tell that something is wrong.
    rhythm = replace(QUICK, lifetime=(240.0, 300.0), silence=1.0)
    async with Follower(await open_session(hurt, deadline=1.0), rhythm=rhythm) as follower:
        await eventually(lambda: follower.sizes == {"one": 1})
        hurt.pause()
        await eventually(lambda: len(follower.interruptions) >= 2)
        assert all(isinstance(one.error, UnavailableError) for one in follower.interruptions)
        hurt.resume()
        await eventually(lambda: follower.count(Resumed) >= 1)
        await _size(admin, "one", 2)
        await eventually(lambda: follower.sizes == {"one": 2})


@pytest.mark.usefixtures("widgets")
async def test_silence_alone_is_no_interruption(session: Session, namespace: str) -> None:
    # No bookmark comes while nothing changes, so the watch is replaced again and again.
    rhythm = replace(QUICK, lifetime=(240.0, 300.0), silence=0.2)
    async with Follower(session, namespace, rhythm) as follower:
        await eventually(lambda: follower.told)
        await asyncio.sleep(1.0)
        await session.create(WIDGETS, widget("one", namespace, size=1))
        await eventually(lambda: follower.sizes == {"one": 1})
    assert [type(change) for change in follower.told if not isinstance(change, Bookmark)] == [
        Listed,
        Put,
    ]


async def test_nothing_is_lost_while_connections_are_cut_all_the_time(
    shared_api_server: ApiServer, open_session: OpenSession, session: Session, namespace: str
) -> None:
    await install_widgets(shared_api_server)
    expected: dict[str, int] = {}
    async with UnsteadyPath(shared_api_server.port) as path:
        unsteady = await open_session(shared_api_server, url=path.url, deadline=2.0)
        async with Follower(unsteady, namespace) as follower:
            for round_ in range(40):
                name = f"w{round_ % 7}"
                if round_ % 5 == 4 and name in expected:
                    await session.delete(WIDGETS, name, namespace)
                    del expected[name]
                elif name in expected:
                    await _size(session, name, round_, namespace)
                    expected[name] = round_
                else:
                    text = "x" * 200_000  # so that a cut falls into an event
                    await session.create(WIDGETS, widget(name, namespace, size=round_, text=text))
                    expected[name] = round_
                if round_ % 2:
                    await asyncio.sleep(0.01)
                    path.cut()
            await eventually(lambda: follower.sizes == expected)
    assert path.cuts >= 10
    assert follower.interruptions


async def test_watches_that_the_server_ends_each_second_lose_nothing(
    hurt: ApiServer, open_session: OpenSession
) -> None:
    admin = await open_session(hurt)
    rhythm = replace(QUICK, lifetime=(1.0, 1.0))
    async with Follower(await open_session(hurt), rhythm=rhythm) as follower:
        await eventually(lambda: follower.told)
        await admin.create(WIDGETS, widget("one"))
        for size in range(1, 31):
            await _size(admin, "one", size)
            await asyncio.sleep(0.1)
        await eventually(lambda: follower.sizes == {"one": 30})
    assert follower.count(Listed) == 1
    assert follower.count(Put) == 31
    assert not follower.interruptions


async def test_rights_that_are_missing_are_named_and_used_once_granted(
    shared_api_server: ApiServer, open_session: OpenSession, session: Session, namespace: str
) -> None:
    await install_widgets(shared_api_server)
    mine = await open_session(shared_api_server, SERVICE_ACCOUNT)
    async with Follower(mine, namespace) as follower:
        await eventually(lambda: len(follower.interruptions) >= 2)
        error = follower.interruptions[0].error
        assert isinstance(error, ForbiddenError)
        assert f'in the namespace "{namespace}"' in str(error)
        assert not follower.count(Listed)
        metadata = {"name": "follow", "namespace": namespace}
        rules = [
            {"apiGroups": [WIDGETS.group], "resources": ["widgets"], "verbs": ["list", "watch"]}
        ]
        await session.create(
            ROLES,
            {
                "apiVersion": ROLES.api_version,
                "kind": "Role",
                "metadata": metadata,
                "rules": rules,
            },
        )
        await session.create(
            BINDINGS,
            {
                "apiVersion": BINDINGS.api_version,
                "kind": "RoleBinding",
                "metadata": metadata,
                "roleRef": {"apiGroup": ROLES.group, "kind": "Role", "name": "follow"},
                "subjects": [
                    {"kind": "ServiceAccount", "namespace": "sluice-system", "name": "sluice"}
                ],
            },
        )
        await eventually(lambda: follower.count(Listed) == 1)
        await eventually(lambda: follower.count(Resumed) == 1)


async def test_a_kind_that_is_not_installed_is_named(session: Session) -> None:
    gadgets = ResourceType("test.sluice.dev", "v1", "gadgets", "Gadget")
    async with aclosing(reflect(session, gadgets, rhythm=QUICK)) as changes:
        first = await anext(changes)
    assert isinstance(first.error, NotFoundError)  # type: ignore[union-attr]
    assert "gadgets.test.sluice.dev" in str(first.error)  # type: ignore[union-attr]
    assert "CRDs" in str(first.error)  # type: ignore[union-attr]
