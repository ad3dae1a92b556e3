from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from controlplane.kube import LEASES, Elector, NotFoundError, Session, Terms
from controlplane.local.process import Process
from tests.cluster.api_server import ROOT, ApiServer
from tests.cluster.elector_process import NAME, TERMS
from tests.testkit.fixtures import LOGS
from tests.testkit.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from pathlib import Path

    from tests.cluster.conftest import OpenSession

pytestmark = pytest.mark.cluster


class Replica:
    """An elector in this process, and whether its work runs."""

    def __init__(
        self, session: Session, namespace: str, identity: str, terms: Terms = TERMS
    ) -> None:
        self.identity = identity
        self.elector = Elector(session, (namespace, NAME), identity, terms=terms)
        self.works = False
        self.times = 0
        self.fail = asyncio.Event()
        self.finish = asyncio.Event()

    async def lead(self) -> None:
        self.works = True
        self.times += 1
        try:
            waits = [asyncio.create_task(event.wait()) for event in (self.fail, self.finish)]
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in waits:
                    task.cancel()
            if self.fail.is_set():
                raise RuntimeError("the work failed")
        finally:
            self.works = False

    @asynccontextmanager
    async def standing(self) -> AsyncGenerator[asyncio.Task[None]]:
        """Stands for election in the meantime."""
        task = asyncio.create_task(self.elector.run(self.lead))
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert not self.works


async def _holder(session: Session, namespace: str) -> str | None:
    lease = await session.get(LEASES, NAME, namespace)
    holder: str | None = lease["spec"].get("holderIdentity")
    return holder


async def test_one_of_two_leads_and_the_other_follows_when_it_goes(
    session: Session, namespace: str
) -> None:
    first, second = (Replica(session, namespace, name) for name in ("first", "second"))
    with pytest.raises(NotFoundError):
        await session.get(LEASES, NAME, namespace)
    async with first.standing() as task:
        await eventually(lambda: first.works)
        async with second.standing():
            await eventually(lambda: second.elector.holder == "first")
            lease = await session.get(LEASES, NAME, namespace)
            assert lease["spec"]["leaseTransitions"] == 0
            renewed = lease["spec"]["renewTime"]
            assert len(renewed.partition(".")[2]) == len("123456Z")

            async def was_renewed() -> bool:
                now = await session.get(LEASES, NAME, namespace)
                return bool(now["spec"]["renewTime"] > renewed)

            await eventually(was_renewed)
            assert not second.works
            task.cancel()
            await eventually(lambda: second.works)
            assert not first.works
            lease = await session.get(LEASES, NAME, namespace)
            assert lease["spec"]["leaseTransitions"] == 1


async def test_a_lease_that_is_given_back_is_free_at_once(session: Session, namespace: str) -> None:
    # Terms under which nobody would get a lease that merely runs out in the time of a test.
    terms = Terms(duration=600.0, renew_deadline=300.0, retry=0.2)
    first, second = (Replica(session, namespace, name, terms) for name in ("first", "second"))
    async with first.standing():
        await eventually(lambda: first.works)
    assert not await _holder(session, namespace)
    async with second.standing():
        await eventually(lambda: second.works)


async def test_work_that_fails_ends_the_election_and_gives_the_lease_back(
    session: Session, namespace: str
) -> None:
    replica = Replica(session, namespace, "first")
    task = asyncio.create_task(replica.elector.run(replica.lead))
    await eventually(lambda: replica.works)
    replica.fail.set()
    with pytest.raises(ExceptionGroup) as caught:
        await task
    assert caught.group_contains(RuntimeError, match="the work failed")
    assert not replica.elector.leading
    assert not await _holder(session, namespace)


async def test_work_that_is_done_ends_the_election(session: Session, namespace: str) -> None:
    replica = Replica(session, namespace, "first")
    task = asyncio.create_task(replica.elector.run(replica.lead))
    await eventually(lambda: replica.works)
    replica.finish.set()
    await task
    assert not await _holder(session, namespace)


async def test_whoever_finds_the_lease_taken_stops_working(
    session: Session, namespace: str
) -> None:
    replica = Replica(session, namespace, "first")
    async with replica.standing():
        await eventually(lambda: replica.works)
        body = {"spec": {"holderIdentity": "usurper", "leaseDurationSeconds": 600}}
        await session.patch(LEASES, NAME, namespace, body=body)
        await eventually(lambda: not replica.works)
        assert not replica.elector.leading
        assert await _holder(session, namespace) == "usurper"
        body = {"spec": {"holderIdentity": ""}}
        await session.patch(LEASES, NAME, namespace, body=body)
        await eventually(lambda: replica.works, what="it stands for election again")


async def test_labels_of_others_stay_and_cost_no_term(session: Session, namespace: str) -> None:
    replica = Replica(session, namespace, "first")
    async with replica.standing():
        await eventually(lambda: replica.works)
        before = await session.get(LEASES, NAME, namespace)
        for number in range(5):
            labels = {"metadata": {"labels": {"number": str(number)}}}
            await session.patch(LEASES, NAME, namespace, body=labels)

        async def was_renewed() -> bool:
            now = await session.get(LEASES, NAME, namespace)
            assert now["metadata"]["labels"] == {"number": "4"}
            return bool(now["spec"]["renewTime"] > before["spec"]["renewTime"])

        await eventually(was_renewed)
        assert replica.times == 1


async def test_a_lease_that_was_deleted_is_made_again(session: Session, namespace: str) -> None:
    replica = Replica(session, namespace, "first")
    async with replica.standing():
        await eventually(lambda: replica.works)
        await session.delete(LEASES, NAME, namespace)

        async def there_again() -> bool:
            try:
                return await _holder(session, namespace) == "first"
            except NotFoundError:
                return False

        await eventually(there_again)
        assert replica.works


async def test_without_the_server_the_work_stops_and_goes_on_when_it_is_back(
    api_server: ApiServer, open_session: OpenSession
) -> None:
    replica = Replica(await open_session(api_server), "default", "first")
    async with replica.standing():
        await eventually(lambda: replica.works)
        api_server.pause()
        await eventually(lambda: not replica.works)
        assert not replica.elector.leading
        api_server.resume()
        await eventually(lambda: replica.works)
        api_server.kill()
        await eventually(lambda: not replica.works)
        await api_server.restart()
        await eventually(lambda: replica.works)
    assert replica.times >= 3


async def test_two_never_work_at_once_while_the_server_comes_and_goes(
    api_server: ApiServer, open_session: OpenSession
) -> None:
    replicas = [Replica(await open_session(api_server), "default", f"r{n}") for n in range(3)]
    both: list[list[str]] = []

    async def watch() -> None:
        while True:
            working = [one.identity for one in replicas if one.works]
            if len(working) > 1:
                both.append(working)
            await asyncio.sleep(0.005)

    watcher = asyncio.create_task(watch())
    async with replicas[0].standing(), replicas[1].standing(), replicas[2].standing():
        for _ in range(2):
            await eventually(lambda: any(one.works for one in replicas))
            api_server.pause()
            await eventually(lambda: not any(one.works for one in replicas))
            api_server.resume()
        await eventually(lambda: any(one.works for one in replicas))
    watcher.cancel()
    await asyncio.gather(watcher, return_exceptions=True)
    assert not both


class StartedReplica:
    """A replica in a process of its own."""

    def __init__(self, server: ApiServer, namespace: str, identity: str, folder: Path) -> None:
        self.log = folder / f"{identity}.log"
        kubeconfig = server.kubeconfig()
        command = [sys.executable, "-m", "tests.cluster.elector_process"]
        command += [str(kubeconfig), namespace, identity]
        self.process = Process(identity, command, log=self.log, env={"PYTHONPATH": str(ROOT)})

    def said(self, text: str) -> Callable[[], bool]:
        """Whether it has said that by now."""
        return lambda: text in self.log.read_text()


@pytest.fixture
def start_replica(
    shared_api_server: ApiServer, namespace: str, tmp_path: Path, request: pytest.FixtureRequest
) -> Callable[[str], StartedReplica]:
    def start(identity: str) -> StartedReplica:
        replica = StartedReplica(shared_api_server, namespace, identity, tmp_path)
        request.node.stash.setdefault(LOGS, []).append(replica.log)
        request.addfinalizer(replica.process.kill)
        return replica

    return start


async def test_a_leader_that_is_killed_is_followed_when_its_lease_has_run_out(
    start_replica: Callable[[str], StartedReplica], session: Session, namespace: str
) -> None:
    first = start_replica("first")
    await eventually(first.said("first leads"))
    second = start_replica("second")
    first.process.kill()
    await eventually(second.said("second leads"))
    assert "has stopped" not in first.log.read_text()
    assert await _holder(session, namespace) == "second"


async def test_a_leader_that_is_asked_to_end_stops_its_work_and_gives_the_lease_back(
    start_replica: Callable[[str], StartedReplica], session: Session, namespace: str
) -> None:
    first = start_replica("first")
    await eventually(first.said("first leads"))
    first.process.signal(signal.SIGTERM)
    await eventually(lambda: first.process.returncode == 0)
    assert "first has stopped" in first.log.read_text()
    assert not await _holder(session, namespace)


async def test_a_leader_that_slept_too_long_stops_when_it_wakes(
    start_replica: Callable[[str], StartedReplica],
) -> None:
    first = start_replica("first")
    await eventually(first.said("first leads"))
    second = start_replica("second")
    first.process.signal(signal.SIGSTOP)
    await eventually(second.said("second leads"))
    first.process.signal(signal.SIGCONT)
    await eventually(first.said("first has stopped"))
