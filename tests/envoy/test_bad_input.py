"""Wrong input of every kind: a clear error that names the thing, and nothing is lost."""

from __future__ import annotations

import socket
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from controlplane.local import RedisServer, Shop
from controlplane.local.errors import StartError
from tests.envoy.stack import SALE, Stack, flash_sale, in_
from tests.testkit.load import get
from tests.testkit.waiting import holds

if TYPE_CHECKING:
    from pathlib import Path

    from tests.envoy.conftest import StartStack

pytestmark = [pytest.mark.envoy, pytest.mark.redis]

HOUR = timedelta(hours=1)


async def said(stack: Stack, *words: str) -> None:
    """Waits until `sluice status` names all of these."""

    async def shown() -> None:
        status = await stack.sluice("status")
        missing = [word for word in words if word not in status.out]
        assert not missing, f"{missing} not in:\n{status.out}"

    await holds(shown, every=0.2)


async def still_decides(stack: Stack) -> None:
    """The sale goes on as it was: one was let in, there is no room for another."""
    port = stack.ports["edge-a"]
    assert (await get(port, "/sale", authorization="anna")).status == 200
    assert (await get(port, "/sale", authorization="bob")).status == 410


async def test_a_broken_manifest_keeps_the_last_good_one(start_stack: StartStack) -> None:
    stack = await start_stack()
    stack.write_sale(stock=1)
    await stack.open()
    await stack.answers("200", user="anna")
    await stack.answers("410", user="bob")
    sale = stack.manifests / "sale.yaml"
    good = sale.read_text()

    wrong: list[tuple[str, tuple[str, ...]]] = [
        ("kind: FlashSale\n  metadata: [", ("sale.yaml:2", "YAML")),
        (
            good.replace("stock: 1", "stock: 1\n  admision: {}"),
            ("sale.yaml:", "spec.admision", "did you mean admission"),
        ),
        (good.replace("stock: 1", "stock: -1"), ("spec.stock",)),
    ]
    for text, words in wrong:
        sale.write_text(text)
        await said(stack, *words)
        await still_decides(stack)

    stack.write_sale(stock=1, schedule={"startTime": in_(HOUR), "endTime": in_(-HOUR)})
    await said(stack, "endTime", "must be after startTime")
    await still_decides(stack)

    # Another file that is bad takes nothing of this one away; mended, all is well again.
    (stack.manifests / "other.yaml").write_text("[")
    sale.write_text(good)
    await said(stack, "other.yaml")
    await still_decides(stack)
    (stack.manifests / "other.yaml").unlink()

    async def clean() -> None:
        assert "PROBLEMS" not in (await stack.sluice("status")).out

    await holds(clean, every=0.2)
    await still_decides(stack)


async def test_a_target_that_is_not_there(start_stack: StartStack) -> None:
    stack = await start_stack()
    stack.write("sale.yaml", flash_sale("laptop", route="nowhere"))
    await said(stack, "FlashSale shop/laptop", "HTTPRoute shop/nowhere is not there")
    shown = await stack.sale()
    accepted = next(one for one in shown["conditions"] if one["type"] == "Accepted")
    assert (accepted["status"], accepted["reason"]) == ("False", "TargetNotFound")
    stack.write_sale()
    await stack.open()


async def test_a_wrong_redis_address(start_stack: StartStack) -> None:
    stack = await start_stack(redis_spec={"address": "127.0.0.1:1"})
    stack.write_sale()
    await stack.answers("503 The sale cannot answer", user="anna")
    await said(stack, "127.0.0.1:1", "cannot be reached")
    stack.redis_spec = {}
    stack.write_edge()
    await stack.open()


async def test_a_wrong_redis_password(start_stack: StartStack) -> None:
    env = {"SLUICE_REDIS_PASSWORD": "not-the-one"}
    stack = await start_stack(redis={"password": "right"}, env=env)
    stack.write_sale()
    await stack.answers("503 The sale cannot answer", user="anna")
    await said(stack, "SLUICE_REDIS_PASSWORD")

    async def logged() -> None:
        text = stack.envoys["edge-a"].log.read_text()
        assert "password" in text.lower()
        assert text.lower().count("wrongpass") <= 2 * stack.workers, "once, not on every try"

    await holds(logged)
    for file in (stack.log, stack.envoys["edge-a"].log):
        assert "not-the-one" not in file.read_text()
    assert "not-the-one" not in await stack.envoys["edge-a"].admin("/config_dump")


async def test_a_right_redis_password(start_stack: StartStack) -> None:
    env = {"SLUICE_REDIS_PASSWORD": "open sesame"}
    stack = await start_stack(redis={"password": "open sesame"}, env=env)
    stack.write_sale()
    await stack.open()
    assert "open sesame" not in await stack.envoys["edge-a"].admin("/config_dump")
    assert "open sesame" not in stack.log.read_text()


async def refused_to_start(tmp_path: Path, **change: Any) -> str:
    """What `sluice serve` says when it cannot start."""
    stack = Stack(tmp_path / "stack", RedisServer(port=1), Shop(port=1))
    stack.write_sale()
    for name, value in change.items():
        setattr(stack, name, value)
    with pytest.raises(StartError) as caught:
        await stack.serve()
    text = stack.log.read_text()
    assert "Traceback" not in text
    assert "status 1" in str(caught.value)
    return text


@pytest.mark.parametrize("which", ["xds_port", "web_port"])
async def test_a_port_in_use(tmp_path: Path, which: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        text = await refused_to_start(tmp_path, **{which: port})
    assert f"127.0.0.1:{port}" in text
    assert "--" + which.replace("_", "-") in text


async def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    text = await refused_to_start(tmp_path, manifests=tmp_path / "nowhere")
    assert str(tmp_path / "nowhere") in text


async def test_envoy_missing(tmp_path: Path) -> None:
    missing = str(tmp_path / "no-envoy")
    stack = Stack(tmp_path, RedisServer(port=1), Shop(port=1), env={"SLUICE_ENVOY": missing})
    ended = await stack.sluice("demo", "--once")
    assert ended.code == 1
    assert missing in ended.err
    assert len(ended.err.strip().splitlines()) == 1


async def test_a_filter_that_is_no_filter(start_stack: StartStack) -> None:
    stack = await start_stack()
    stack.write_sale(stock=1)
    await stack.open()
    await stack.answers("200", user="anna")
    junk = stack.folder / "junk.wasm"
    junk.write_bytes(b"\x00asm\x01\x00\x00\x00")
    reload = ("filters", "reload", "--filter", "flash-sale")
    for file, word in ((junk, "junk.wasm"), (stack.folder / "gone.wasm", "gone.wasm")):
        ended = await stack.sluice(*reload, "--file", str(file))
        assert ended.code == 1, ended.out
        assert ended.err.startswith("error: "), ended.err
        assert len(ended.err.strip().splitlines()) == 1
        assert word in ended.err or "flash-sale" in ended.err
    await still_decides(stack)


async def test_commands_say_what_is_wrong_in_one_line(start_stack: StartStack) -> None:
    stack = await start_stack()
    wrong: list[tuple[tuple[str, ...], int, str]] = [
        (("sale", "show", "shop/nothing"), 1, "shop/nothing"),
        (("sale", "show", "nothing"), 2, "NAMESPACE/NAME"),
        (("sale", "set-limit", SALE, "many"), 2, "many"),
        (("data", "list", "shop/nothing"), 1, "shop/nothing"),
        (("serve",), 2, "PATH"),
        (("nonsense",), 2, "nonsense"),
    ]
    for arguments, code, word in wrong:
        ended = await stack.sluice(*arguments)
        assert ended.code == code, (arguments, ended)
        assert word in ended.err, (arguments, ended)
        assert "Traceback" not in ended.err
    await stack.stop_serving()
    ended = await stack.sluice("status")
    assert ended.code == 1
    assert f"127.0.0.1:{stack.web_port}" in ended.err
