"""Filter code on a cluster: every replica serves what one of them was told to, or came with."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import random
import re
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Self

import httpx
import pytest

from controlplane.kube import CONFIG_MAPS
from controlplane.local import EnvoyProcess
from controlplane.local.ports import free_port
from controlplane.translate import BootstrapOptions, ProxyTls, bootstrap, secret_files
from controlplane.web import code_objects, shared_filters
from controlplane.web.code_objects import CHOICE, KEPT, LABEL, SHA256, USED, name_of
from controlplane.web.filter_store import STEMS, built_folder
from controlplane.xds.credentials import TlsFiles
from tests.cluster.cluster import OTHERS, Objects, cluster, edge, prepare, sale
from tests.cluster.proxy import proxy
from tests.testkit.certificates import SERVER, Authority, gateway
from tests.testkit.fixtures import LOGS
from tests.testkit.load import get
from tests.testkit.waiting import alongside, eventually, holds
from tests.unit.app.control_plane import Running, control_plane
from tests.unit.web.modules import built, module, section

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from controlplane.local import RedisServer
    from tests.cluster.api_server import ApiServer

pytestmark = [pytest.mark.cluster, pytest.mark.redis]
LONG = 60.0
PLACE = "sluice-system"
_REQUESTS = re.compile(r"^apiserver_request_total\{(.*)\} (\S+)$", re.MULTILINE)


class Replica:
    """A control plane on the cluster, and what one asks of it about filters."""

    def __init__(self, running: Running) -> None:
        self.running = running
        self._client = httpx.AsyncClient(
            base_url=running.server,
            trust_env=False,
            timeout=20.0,
            headers={"x-sluice-client": "test"},
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def get(self, path: str) -> Any:
        return (await self._client.get(f"/api/v1{path}")).json()

    async def in_force(self, stem: str = "flash-sale") -> dict[str, Any]:
        found = (await self.get("/status"))["filters"]
        return dict(next(one for one in found if one["filter"] == stem))

    async def code(self, stem: str = "flash-sale") -> str:
        return str((await self.in_force(stem))["sha256"])

    async def listed(self, sha256: str) -> dict[str, Any] | None:
        found = (await self.get("/filters"))["filters"]
        return next((one for one in found if one["sha256"] == sha256), None)

    async def reload(self, status: int = 200, **body: str) -> dict[str, Any]:
        answer = await self._client.post("/api/v1/filters/reload", json=body)
        assert answer.status_code == status, answer.text
        return dict(answer.json())

    async def download(self, sha256: str) -> httpx.Response:
        return await self._client.get(f"/filters/{sha256}.wasm")

    async def serves(self, sha256: str, stem: str = "flash-sale") -> None:
        """Waits until it tells proxies of this code."""

        async def served() -> None:
            assert await self.code(stem) == sha256

        await holds(served, deadline=LONG)

    def port(self, of: str) -> int:
        return int(self.running.about[of].rpartition(":")[2])

    async def ready(self) -> bool:
        return (await self._client.get("/readyz")).is_success

    def ever_told(self) -> set[str]:
        """Each code of the flash sale's filter that went into a configuration."""
        return {codes["flash-sale"] for codes in self.running.app._rollouts._code.values()}


class Crew:
    """Replicas on one cluster; each with the code of its own image."""

    def __init__(self, server: ApiServer, objects: Objects, folder: Path) -> None:
        self.server = server
        self.objects = objects
        self.folder = folder
        self.stack = AsyncExitStack()
        self._count = 0

    async def start(self, image: str = "", **options: Any) -> Replica:
        """Starts one, and waits until it serves; the code of an image is named by a word."""
        self._count += 1
        folder = self.folder / f"replica-{self._count}"
        folder.mkdir()
        options.setdefault("built", built(self.folder / f"image-{image}", salt=image))
        running = await self.stack.enter_async_context(
            control_plane(None, folder, cluster=cluster(self.server), **options)
        )
        replica = await self.stack.enter_async_context(Replica(running))
        await eventually(replica.ready, what="a replica is ready", deadline=LONG)
        return replica

    async def make(self, obj: dict[str, Any]) -> None:
        await self.server.call("POST", CONFIG_MAPS.path(PLACE), obj)

    async def config_map(self, name: str) -> dict[str, Any]:
        return dict(await self.server.call("GET", CONFIG_MAPS.path(PLACE, name)))

    async def codes(self, stem: str) -> set[str]:
        path = f"{CONFIG_MAPS.path(PLACE)}?labelSelector={LABEL}%3D{stem}"
        found = (await self.server.call("GET", path))["items"]
        return {one["metadata"]["annotations"][SHA256] for one in found}

    async def marked(self, sha256: str) -> str:
        """When code of the flash sale's filter was last in use."""
        found = await self.config_map(name_of("flash-sale", sha256))
        return str(found["metadata"]["annotations"][USED])

    async def asked(self, verb: str) -> int:
        """How often the server was asked to GET or LIST ConfigMaps so far."""
        text = await self.server.call("GET", "/metrics")
        return sum(
            int(float(number))
            for labels, number in _REQUESTS.findall(text)
            if 'resource="configmaps"' in labels and f'verb="{verb}"' in labels
        )


@pytest.fixture
async def crew(
    api_server: ApiServer, redis_server: RedisServer, tmp_path: Path
) -> AsyncIterator[Crew]:
    objects = await prepare(api_server)
    await objects.make_all(edge(redis_server.address))
    await objects.make_all(sale())
    made = Crew(api_server, objects, tmp_path)
    async with made.stack:
        yield made


def digest(code: bytes) -> str:
    return hashlib.sha256(code).hexdigest()


def sent(code: bytes) -> str:
    return base64.b64encode(code).decode()


# -------------------------------------------------------------------------------- choosing
async def test_what_one_is_told_all_serve(crew: Crew) -> None:
    first, second = await crew.start(), await crew.start()
    own = await first.code()
    code = module(salt="by hand")
    await first.reload(code=sent(code))
    assert await first.code() == digest(code)
    await second.serves(digest(code))
    found = await second.in_force()
    assert (found["chosen"], found["image"], found["problem"]) == (digest(code), own, "")
    assert found["chosenAt"]
    listed = await second.listed(digest(code))
    assert listed is not None
    assert listed["current"]
    assert listed["chosen"]
    assert listed["shared"]
    assert (await second.download(digest(code))).content == code
    assert (await crew.config_map(name_of("flash-sale", digest(code))))["immutable"]

    # Back, by the other one: to code that it knows from the shelf and has never had.
    other = module(salt="another")
    await first.reload(code=sent(other), filter="flash-sale")
    await second.serves(digest(other))
    await second.reload(to=digest(code)[:12])
    for replica in (first, second):
        await replica.serves(digest(code))
    assert "names no single code" in str(await second.reload(422, to="0" * 12))

    # And back to the image's own.
    await second.reload()
    for replica in (first, second):
        await replica.serves(own)
        assert (await replica.in_force())["chosen"] is None
    assert not (await crew.config_map(CHOICE)).get("data")


async def test_the_way_back_to_the_images_code_stays(crew: Crew) -> None:
    """Also when so much else was tried that it is neither in a store nor on the shelf."""
    first, second = await crew.start("old"), await crew.start("new")
    olds, own = await first.code(), await second.code()
    for number in range(KEPT + 2):
        await first.reload(code=sent(module(salt=str(number))))
    await second.serves(digest(module(salt=str(KEPT + 1))))
    if own in await crew.codes("flash-sale"):
        await crew.server.call("DELETE", CONFIG_MAPS.path(PLACE, name_of("flash-sale", own)))
    assert second.running.app._filters.find(own) is None
    await first.reload()
    await first.serves(olds)
    await second.serves(own)
    assert {olds, own} <= await crew.codes("flash-sale")


async def test_a_choice_outlives_restarts_and_upgrades(crew: Crew) -> None:
    first = await crew.start()
    code = module(salt="by hand")
    await first.reload(code=sent(code))
    second, upgraded = await crew.start(), await crew.start("newer")
    for replica in (second, upgraded):
        assert await replica.code() == digest(code)
        # Not for a moment was a proxy told of anything else.
        assert replica.ever_told() == {digest(code)}
    found = await upgraded.in_force()
    assert found["image"] not in {digest(code), await second.code()}
    assert await upgraded.code("quota") == (await upgraded.in_force("quota"))["image"]


async def test_two_replicas_choose_at_once(crew: Crew) -> None:
    first, second = await crew.start(), await crew.start()
    sale_code, quota_code = module(salt="s"), module(salt="q")
    await asyncio.gather(
        first.reload(code=sent(sale_code), filter="flash-sale"),
        second.reload(code=sent(quota_code), filter="quota"),
    )
    for replica in (first, second):
        await replica.serves(digest(sale_code))
        await replica.serves(digest(quota_code), "quota")


# ------------------------------------------------------------------------------ downloading
async def test_each_has_the_code_of_the_others_image(crew: Crew) -> None:
    first, second = await crew.start("old"), await crew.start("new")
    codes = [await one.code() for one in (first, second)]
    assert len(set(codes)) == 2
    for replica in (first, second):
        for code in codes:
            answer = await replica.download(code)
            assert answer.status_code == 200
            assert digest(answer.content) == code
    # Nobody chose anything: each goes on with its own.
    assert [await one.code() for one in (first, second)] == codes
    # The one that is gone has left its code behind: proxies may still ask for it.
    await crew.stack.aclose()
    third = await crew.start("newest")
    assert (await third.download(codes[0])).status_code == 200


async def test_hashes_by_chance_cost_nothing(crew: Crew) -> None:
    replica = await crew.start()
    before = await crew.asked("LIST")
    hashes = [digest(str(number).encode()) for number in range(60)]
    hashes += ["A" * 64, "g" * 64, "0" * 63, "..%2f..%2fetc", "%00" * 64]
    began = asyncio.get_running_loop().time()
    answers = await asyncio.gather(*(replica.download(one) for one in hashes))
    took = asyncio.get_running_loop().time() - began
    assert {answer.status_code for answer in answers} == {404}
    # One look a second at the most, whatever is asked for.
    assert await crew.asked("LIST") - before <= 2 + took


async def test_code_of_another_is_fetched_once(crew: Crew) -> None:
    first, second = await crew.start("old"), await crew.start("new")
    code, before = await first.code(), await crew.asked("GET")
    answers = await asyncio.gather(*(second.download(code) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert await crew.asked("GET") == before + 1


# ---------------------------------------------------------------------------- what is wrong
async def test_tampered_code_is_refused(crew: Crew) -> None:
    genuine, foreign = module(salt="flash-sale" + "old"), module(salt="foreign")
    obj = code_objects.write("flash-sale", genuine, PLACE, datetime.now(UTC))
    other = code_objects.write("flash-sale", foreign, PLACE, datetime.now(UTC))
    await crew.make({**obj, "binaryData": other["binaryData"]})
    replica = await crew.start("new")
    own, code = await replica.code(), digest(genuine)
    assert (await replica.download(code)).status_code == 404

    # Chosen by somebody, past us: what is in force stays, and it is told why.
    await crew.make(code_objects.choice_object({"data": {"flash-sale": code}}, PLACE))

    async def told() -> None:
        found = await replica.in_force()
        assert found["sha256"] == own
        assert f"does not hold the code {code[:12]}" in found["problem"]
        problems = [one["message"] for one in (await replica.get("/status"))["problems"]]
        assert any("delete it" in one for one in problems), problems

    await holds(told, deadline=LONG)
    assert await replica.code("quota") == (await replica.in_force("quota"))["image"]

    # Who has the genuine code writes it, once the false one is gone.
    await crew.server.call("DELETE", CONFIG_MAPS.path(PLACE, name_of("flash-sale", code)))
    await crew.start("old")
    await replica.serves(code)
    assert not (await replica.in_force())["problem"]
    assert (await replica.download(code)).content == genuine


async def test_code_that_is_deleted_is_written_again(crew: Crew) -> None:
    replica = await crew.start()
    name = name_of("flash-sale", await replica.code())
    uid = (await crew.config_map(name))["metadata"]["uid"]
    await crew.server.call("DELETE", CONFIG_MAPS.path(PLACE, name))

    async def again() -> bool:
        found = await crew.server.call("GET", CONFIG_MAPS.path(PLACE))
        uids = {one["metadata"]["name"]: one["metadata"]["uid"] for one in found["items"]}
        return bool(uids.get(name, uid) != uid)

    await eventually(again, what="it is written again", deadline=LONG)


async def test_what_does_not_fit_is_refused(crew: Crew) -> None:
    replica = await crew.start()
    before = await replica.code()
    letters = "".join(map(chr, range(33, 127)))
    large = module(salt="".join(random.Random(1).choices(letters, k=1_600_000)))
    said = str(await replica.reload(422, code=sent(large)))
    assert "flash-sale is too large, 1.5 MiB and packed 1." in said
    assert "holds 1.0 MiB" in said
    assert await replica.code() == before
    assert await replica.listed(digest(large)) is None
    assert await crew.codes("flash-sale") == {before}


async def test_without_the_right_each_serves_its_own(crew: Crew) -> None:
    binding = OTHERS["RoleBinding"].path(PLACE, "sluice-replicas")
    granted = await crew.server.call("GET", binding)
    await crew.server.call("DELETE", binding)
    replica = await crew.start()
    own = await replica.code()
    assert (await replica.download(own)).status_code == 200
    (problem,) = {
        one["message"]
        for one in (await replica.get("/status"))["problems"]
        if "filter code" in one["message"]
    }
    assert "a Role or ClusterRole has to grant it" in problem
    refused = await replica.reload(503, code=sent(module(salt="by hand")))
    assert "replicas cannot share filter code now" in refused["error"]["message"]
    assert await replica.code() == own

    metadata = {name: granted["metadata"][name] for name in ("name", "namespace")}
    await crew.objects.make({**granted, "metadata": metadata})

    async def shared() -> bool:
        return own in await crew.codes("flash-sale")

    await eventually(shared, what="it is shared after all", deadline=LONG)
    await replica.reload(code=sent(module(salt="by hand")))


async def test_an_api_server_that_is_away_changes_nothing(crew: Crew) -> None:
    replica = await crew.start()
    code = module(salt="by hand")
    await replica.reload(code=sent(code))
    crew.server.kill()
    assert (await replica.download(digest(code))).status_code == 200
    assert (await replica.download("0" * 64)).status_code == 404
    refused = await replica.reload(503, code=sent(module(salt="too late")))
    assert "is away" in refused["error"]["message"]
    assert await replica.code() == digest(code)
    await crew.server.restart()

    async def again() -> bool:
        return "error" not in await replica.reload(to=digest(code)[:12])

    await eventually(again, what="it can choose again", deadline=LONG)
    await replica.serves(digest(code))


async def test_the_leader_deletes_what_is_too_much(crew: Crew) -> None:
    replica = await crew.start()
    publisher = replica.running.app._publisher
    assert publisher is not None
    await eventually(lambda: publisher.leading, what="it leads", deadline=LONG)
    made = [module(salt=str(number)) for number in range(KEPT + 4)]
    for code in made:
        await replica.reload(code=sent(code))
    chosen, before, oldest = made[-1], made[-2], made[0]

    async def few() -> bool:
        codes = await crew.codes("flash-sale")
        assert {digest(chosen), digest(before)} <= codes
        return len(codes) <= KEPT + 1 and digest(oldest) not in codes

    await eventually(few, what="old code is deleted", deadline=LONG)
    assert len(await crew.codes("quota")) == 1
    assert (await replica.download(digest(chosen))).status_code == 200


async def test_code_in_use_is_marked(crew: Crew, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that nobody deletes it: neither what a replica serves, nor what a proxy still runs."""
    monkeypatch.setattr(shared_filters, "MARK_EVERY", timedelta(seconds=1))
    monkeypatch.setattr(shared_filters, "ROUND", 1.0)
    replica = await crew.start()
    own = await replica.code()
    async with proxy(replica.port("xds")) as edge_1:

        async def runs() -> bool:
            proxies = (await replica.get("/proxies"))["proxies"]
            return any(one["code"].get("flash-sale") == own for one in proxies)

        await eventually(runs, what="a proxy runs it", deadline=LONG)
        edge_1.confirming.clear()
        code = module(salt="by hand")
        await replica.reload(code=sent(code))
        for used in (own, digest(code)):
            before = await crew.marked(used)

            async def marked(used: str = used, before: str = before) -> bool:
                return await crew.marked(used) > before

            await eventually(marked, what=f"{used} is marked", deadline=LONG)


# ------------------------------------------------------------------------------ with a proxy
@pytest.mark.envoy
async def test_a_proxy_of_one_runs_what_the_other_was_told(
    request: pytest.FixtureRequest, crew: Crew, tmp_path: Path
) -> None:
    """Configuration from one replica and code from the other, by mutual TLS, as a Service deals."""
    authority = Authority(tmp_path / "ca")
    pair = authority.issue(*SERVER)
    tls = {
        "xds_tls": TlsFiles(pair.certificate, pair.key, authority.certificate),
        "filters_port": 0,
    }
    first = await crew.start("first", built=salted(tmp_path / "first", b"1"), **tls)
    second = await crew.start("second", built=salted(tmp_path / "second", b"2"), **tls)
    listener = free_port()
    await crew.objects.edit("EdgeConfig", "edge", filters={"source": "Remote"})
    listeners = [{"name": "http", "protocol": "HTTP", "port": listener}]
    await crew.objects.edit("Gateway", "edge", listeners=listeners)

    async def says(text: str) -> None:
        responses = {"suspended": {"status": 503, "body": text}}
        await crew.objects.edit("FlashSale", "laptop", suspend=True, responses=responses)

        async def said() -> None:
            assert (await get(listener, "/", authorization="me")).text == text

        await holds(said, deadline=LONG)

    own = authority.issue(gateway("edge"))
    files = ProxyTls(
        certificate=PurePosixPath(own.certificate),
        key=PurePosixPath(own.key),
        ca=PurePosixPath(authority.certificate),
        secrets=PurePosixPath(tmp_path),
        server_name="127.0.0.1",
    )
    for name, text in secret_files(files).items():
        (tmp_path / name).write_text(text)
    options = BootstrapOptions(
        gateway="shop/edge",
        xds=("127.0.0.1", second.port("xds")),
        web=("127.0.0.1", first.port("filters")),
        tls=files,
    )
    envoy = EnvoyProcess(bootstrap(options), concurrency=1, name="edge", directory=tmp_path)
    request.node.stash.setdefault(LOGS, []).append(envoy.log)
    try:
        await envoy.launch()
        # The code of the second's image, from the first, which has another.
        await eventually(envoy.ready, what="a ready Envoy", deadline=LONG)
        await says("one")
        await runs(second, await second.code())
        assert await second.code() != await first.code()

        # New code, told to the one that the proxy is not connected to; edits while it is fetched;
        # then back. At no moment does a request get past the filter.
        old = await second.code()
        code = (built_folder() / "flash-sale.wasm").read_bytes() + section(0, b"\x01x3")
        async with asking(listener) as answers:
            await first.reload(code=sent(code))
            await says("two")
            await runs(second, digest(code))
            await first.reload(to=old)
            await runs(second, old)
            await says("three")
        assert answers <= {"one", "two", "three"}
        # Of the codes of both, and of the one that was sent, each was fetched once or twice.
        stats = await envoy.stats("wasm")
        assert stats["wasm.remote_load_cache_entries"] == len(STEMS) + 1
        assert stats["wasm.remote_load_fetch_failures"] == 0
    finally:
        await envoy.stop()


@asynccontextmanager
async def asking(port: int) -> AsyncIterator[set[str]]:
    """What everybody is answered while the context is open."""
    answers: set[str] = set()

    async def ask() -> None:
        while True:
            answers.add((await get(port, "/", authorization="me")).text)
            await asyncio.sleep(0.01)

    async with alongside(ask()) as task:
        yield answers
        assert not task.done(), task


async def runs(replica: Replica, sha256: str) -> None:
    """Waits until the only proxy of a replica runs this code, by its own word."""

    async def so() -> None:
        (proxy,) = (await replica.get("/proxies"))["proxies"]
        assert proxy["code"].get("flash-sale") == sha256, proxy

    await holds(so, deadline=LONG)


def salted(folder: Path, salt: bytes) -> Path:
    """The real filters, each with a section that says nothing: the same code by another hash."""
    folder.mkdir()
    for stem in STEMS:
        code = (built_folder() / f"{stem}.wasm").read_bytes()
        (folder / f"{stem}.wasm").write_bytes(code + section(0, b"\x01x" + salt))
    return folder
