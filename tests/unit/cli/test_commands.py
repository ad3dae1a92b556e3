"""Commands against a control plane that runs, with real books and no proxy."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import pytest
import structlog
import yaml

from controlplane.translate import render
from controlplane.web.filter_store import built_folder
from tests.testkit.waiting import eventually
from tests.unit.app.control_plane import Running, control_plane, write_manifests
from tests.unit.web.modules import module

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from controlplane.local import RedisServer
    from tests.testkit.fixtures import StartRedis
    from tests.unit.cli.conftest import AsyncSluice

pytestmark = pytest.mark.redis

SALE = "shop/laptop"


@pytest.fixture
async def running(
    tmp_path: Path, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Running]:
    manifests = write_manifests(tmp_path / "manifests", redis_server.address)
    async with control_plane(manifests, tmp_path) as made:
        monkeypatch.setenv("SLUICE_SERVER", made.server)
        # The control plane's log would stand between what commands print.
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
        await made.sale(state="Open", healing=False)
        yield made


@pytest.mark.usefixtures("running")
async def test_users_go_out_and_in_again(ask: AsyncSluice) -> None:
    assert (await ask("data", "list", SALE)).out == 'sale: "shop/laptop"\nusers: []\n'
    done = await ask("data", "apply", SALE, "Bearer alice", "--id", "Bearer bob")
    assert (done.code, done.out) == (0, "shop/laptop: 2 users let in\n")
    listed = await ask("data", "list", SALE)
    found = yaml.safe_load(listed.out)
    assert [(one["number"], one["how"], one["order"]) for one in found["users"]] == [
        (1, "granted", 1),
        (2, "granted", 2),
    ]
    gone = await ask("data", "delete", SALE, "--id", "Bearer alice")
    assert gone.out == "shop/laptop: 1 user forgotten\n"
    again = await ask("data", "apply", SALE, stdin=listed.out)
    assert (again.code, again.out) == (0, "shop/laptop: 2 users let in\n")
    numbers = [
        one["number"] for one in (await ask("data", "list", SALE, "-o", "json")).json["users"]
    ]
    assert numbers == [2, 3]
    table = (await ask("data", "list", SALE, "-o", "table")).out.splitlines()
    assert table[0] == "ORDER  NUMBER  HOW      USER"
    assert (await ask("data", "delete", SALE, "--all", "--yes")).out.endswith("2 users forgotten\n")
    assert (await ask("data", "delete", SALE)).out == "shop/laptop: 0 users forgotten\n"


@pytest.mark.usefixtures("running")
async def test_many_users(ask: AsyncSluice) -> None:
    text = "users:\n" + "".join(f"- id: user {n}\n" for n in range(2500))
    assert (await ask("data", "apply", SALE, stdin=text)).out.endswith("2500 users let in\n")
    users = (await ask("data", "list", SALE, "-o", "json")).json["users"]
    assert [one["order"] for one in users] == list(range(1, 2501))


async def test_a_sale_is_steered(ask: AsyncSluice, running: Running) -> None:
    assert (await ask("sale", "set-limit", SALE, "50")).out == "shop/laptop: limit 50 (by hand)\n"
    await running.sale(limit=50)
    assert "50 (by hand)" in (await ask("sale", "list")).out
    assert (await ask("sale", "suspend", SALE)).out == "shop/laptop: suspended\n"
    await running.sale(state="Suspended")
    assert (await ask("sale", "resume", SALE)).out == "shop/laptop: resumed\n"
    await running.sale(state="Open")
    assert (await ask("sale", "set-limit", SALE, "--clear")).code == 0
    await running.sale(limit=3, limitByHand=None)
    await ask("data", "apply", SALE, "--id", "a")
    assert (await ask("sale", "reset", SALE, "--yes")).out == "shop/laptop: books are empty\n"
    await running.sale(admitted=0)
    assert (await ask("sale", "restore", SALE)).code == 0
    assert "BooksLost" not in (await ask("sale", "show", SALE)).out


@pytest.mark.usefixtures("running")
async def test_a_sale_is_watched_until_a_state(ask: AsyncSluice) -> None:
    await ask("data", "apply", SALE, "--id", "a", "--id", "b", "--id", "c")
    watched = await ask("sale", "watch", SALE, "--until", "SoldOut", "--interval", "0.1")
    assert watched.code == 0
    last = watched.out.splitlines()[-1]
    assert last[10:] == "shop/laptop  SoldOut    let in 3/3  remaining 0  proxies 0/0"


@pytest.mark.usefixtures("running")
async def test_status_and_its_check(ask: AsyncSluice) -> None:
    shown = await ask("status")
    assert "FlashSale     shop/laptop" in shown.out
    assert shown.code == 0
    assert (await ask("status", "-o", "json")).json["ready"] is True
    assert yaml.safe_load((await ask("status", "-o", "yaml")).out)["problems"] == []
    assert (await ask("status", "--check")).code == 1  # no proxy is connected
    assert "there is no gateway" in (await ask("status", "--retry", "shop/frob")).err
    assert (await ask("status", "--retry", "shop/edge")).code == 0


@pytest.mark.usefixtures("running")
async def test_keys(ask: AsyncSluice) -> None:
    assert (await ask("keys", "list", "-o", "json")).json["rings"][0]["signing"] == 1
    rotated = await ask("keys", "rotate")
    assert rotated.out.splitlines()[1].split()[1:] == ["2", "1,", "2"]
    assert (await ask("keys", "rotate", "--redis", "frob")).code == 1


@pytest.mark.usefixtures("running")
async def test_filters_roll_out_and_back(ask: AsyncSluice, tmp_path: Path) -> None:
    first = (await ask("filters", "list", "-o", "json")).json["filters"][0]["sha256"]
    path = tmp_path / "new.wasm"
    path.write_bytes(module(salt="new"))
    done = await ask("filters", "reload", "--file", str(path))
    assert done.code == 0
    assert first[:12] not in done.out
    back = await ask("filters", "reload", "--to", first[:12])
    assert first[:12] in back.out
    path.write_bytes(b"no wasm")
    refused = await ask("filters", "reload", "--file", str(path))
    assert refused.code == 1
    assert "is no filter: it is not a Wasm module" in refused.err
    missing = await ask("filters", "reload", "--file", str(tmp_path / "none.wasm"))
    assert "none.wasm cannot be read" in missing.err


async def test_render_shows_what_is_served(
    tmp_path: Path, start_redis: StartRedis, ask: AsyncSluice, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await start_redis(password="s3cret")
    manifests = write_manifests(tmp_path / "manifests", server.address)
    edge = manifests / "edge.yaml"
    edge.write_text(edge.read_text().replace("redis: {", "redis: {via: Proxy, "))
    monkeypatch.setenv("SLUICE_REDIS_PASSWORD", "s3cret")
    newer = tmp_path / "newer.wasm"
    newer.write_bytes(module(salt="newer"))
    wanted = ("render", str(manifests), "--gateway", "shop/edge")
    async with control_plane(manifests, tmp_path, os.environ, built=built_folder()) as made:
        monkeypatch.setenv("SLUICE_SERVER", made.server)
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
        await made.sale(state="Open", healing=False)
        # Rolled out: what is in force is not what was built.
        assert (await ask("filters", "reload", "--file", str(newer))).code == 0

        async def the_same() -> bool:
            shown = await ask(*wanted, "--state-dir", str(tmp_path / "state"))
            assert shown.code == 0, shown.err
            served = made.app._store.snapshot("shop/edge")
            assert served is not None
            assert shown.out == render(served)
            return hashlib.sha256(newer.read_bytes()).hexdigest()[:12] in shown.out

        await eventually(the_same, every=0.2)
    shown = await ask(*wanted, "--state-dir", str(tmp_path / "state"))
    assert "environment_variable: SLUICE_REDIS_PASSWORD" in shown.out
    assert "s3cret" not in shown.out


@pytest.mark.usefixtures("running")
async def test_what_is_not_there(ask: AsyncSluice) -> None:
    shown = await ask("sale", "show", "shop/phone")
    assert shown.code == 1
    assert shown.err == "error: there is no sale 'shop/phone'; known: shop/laptop\n"
    for words in (("data", "list"), ("sale", "suspend"), ("sale", "watch")):
        assert (await ask(*words, "shop/phone")).code == 1
    assert (await ask("data", "apply", SALE, "--user", "frob")).code == 1
