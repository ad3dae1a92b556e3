"""What an edge is, whatever its routes: TLS, headers nobody may send, hosts of listeners."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from controlplane.local.ports import LOOPBACK, free_port
from tests.contract.envoy.manifests import (
    gateway,
    listener,
    manifest,
    match,
    route,
    sale,
    service,
    text,
    to,
)
from tests.contract.envoy.proxy import GATEWAY, Echo, ask, built_filters, running_edge
from tests.testkit.waiting import eventually

if TYPE_CHECKING:
    from tests.testkit.fixtures import StartEnvoy

pytestmark = pytest.mark.envoy

TLS = Path(__file__).parents[1] / "contract" / "envoy" / "tls"
SHOP, WILD = "shop.example.com", "wild.example.org"


def secret(name: str, certificate: str) -> dict[str, Any]:
    data = {
        "tls.crt": (TLS / f"{certificate}.crt").read_text(),
        "tls.key": (TLS / f"{certificate}.key").read_text(),
    }
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": "shop"},
        "type": "kubernetes.io/tls",
        "stringData": data,
    }


def trusting(certificate: str, alpn: str = "http/1.1") -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(TLS / f"{certificate}.crt"))
    context.set_alpn_protocols([alpn])
    return context


async def test_headers_that_only_sluice_may_set_are_removed(start_envoy: StartEnvoy) -> None:
    port = free_port()
    async with Echo() as origin:
        manifests = text(
            gateway(listener(port)),
            route(
                "r",
                # If it were removed later than routes are matched, this rule would win.
                {
                    "matches": [match("/", headers=[{"name": "x-sluice-user", "value": "evil"}])],
                    "backendRefs": [to("missing")],
                },
                {"backendRefs": [to("echo")]},
            ),
            service("echo", origin.port),
        )
        async with running_edge(start_envoy, manifests):
            sent = {
                "X-Sluice-User": "evil",
                "x-sluice-permit": "1",
                "X-SLUICE-anything": "1",
                "x_sluice_user": "evil",
                "x-sluice": "kept",
                "x-envoy-upstream-rq-timeout-ms": "1",
                "x-envoy-external-address": "203.0.113.7",
            }
            answer = await ask(port, headers=sent)
    assert answer.status == 200
    seen = {name.lower(): value for name, value in answer.seen["headers"]}
    assert not [name for name in seen if name.startswith(("x-sluice-", "x_sluice"))]
    assert seen["x-sluice"] == "kept"
    # Set by Envoy itself, from the connection; no client can say it.
    own = {"x-envoy-external-address": "127.0.0.1"}
    assert {name: seen[name] for name in seen if name.startswith("x-envoy-")} == own
    assert not [name for name, _ in answer.headers if name.lower().startswith("x-envoy")]
    assert answer.header("server") == "echo"


@pytest.mark.parametrize(("hops", "client"), [(0, "127.0.0.1"), (1, "203.0.113.7")])
async def test_the_client_address_is_taken_from_trusted_hops_only(
    start_envoy: StartEnvoy, tmp_path: Path, hops: int, client: str
) -> None:
    port, log = free_port(), tmp_path / "access.log"
    settings = {
        "apiVersion": "sluice.dev/v1alpha1",
        "kind": "EdgeConfig",
        "metadata": {"name": "edge", "namespace": "shop"},
        "spec": {
            "proxy": {"trustedHops": hops},
            "accessLog": {"path": str(log), "format": "Json"},
        },
    }
    async with Echo() as origin:
        manifests = text(
            gateway(listener(port), settings="edge"),
            settings,
            route("r", {"backendRefs": [to("echo")]}),
            service("echo", origin.port),
        )
        async with running_edge(start_envoy, manifests) as (_, envoy):
            await ask(port, "/a?secret=1", headers={"x-forwarded-for": "203.0.113.7"})
            await envoy.stop()  # writes out the log
    line = yaml.safe_load(log.read_text().splitlines()[0])
    assert line["client"] == client
    assert line["path"] == "/a"
    assert line["route"] == "httproute/shop/r/0"
    assert line["status"] == 200


async def test_certificates_are_chosen_by_name(start_envoy: StartEnvoy) -> None:
    plain, secure = free_port(), free_port()
    async with AsyncExitStack() as stack:
        origins = {name: await stack.enter_async_context(Echo(name)) for name in ("shop", "wild")}
        manifests = text(
            gateway(
                listener(plain),
                listener(secure, name="shop", hostname=SHOP, secret="shop"),
                listener(secure, name="wild", hostname="*.example.org", secret="wild"),
            ),
            secret("shop", SHOP),
            secret("wild", WILD),
            route(
                "shop",
                {"backendRefs": [to("shop")]},
                parents=[{"name": "edge", "sectionName": "shop"}],
            ),
            route(
                "wild",
                {"backendRefs": [to("wild")]},
                parents=[{"name": "edge", "sectionName": "wild"}],
            ),
            service("shop", origins["shop"].port),
            service("wild", origins["wild"].port),
        )
        edge, _ = await stack.enter_async_context(running_edge(start_envoy, manifests))
        assert edge.translation.report.problems == ()
        shop = await ask(secure, tls=trusting(SHOP), server_name=SHOP)
        assert shop.seen["origin"] == "shop"
        assert ["x-forwarded-proto", "https"] in shop.seen["headers"]
        wild = await ask(secure, tls=trusting(WILD), server_name="a.example.org")
        assert wild.seen["origin"] == "wild"
        with pytest.raises(OSError):  # noqa: PT011 - no chain for that name: the connection is closed
            await ask(secure, tls=trusting(SHOP), server_name="other.net")
        old = trusting(SHOP)
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        assert (await ask(secure, tls=old, server_name=SHOP)).status == 200
        # Nothing is attached to the plain port: it is there, and says so.
        assert (await ask(plain)).status == 404
        # A renewed certificate replaces the old one, and no listener changes for it.
        before = dict(edge.translation.snapshots[GATEWAY].resources)
        edge.apply(manifests.replace((TLS / f"{SHOP}.crt").read_text(), ""))
        changed = edge.translation.snapshots[GATEWAY].resources
        assert {url for url in changed if dict(changed[url]) != dict(before[url])} == set()


async def test_listeners_of_one_port_keep_their_hosts_apart(start_envoy: StartEnvoy) -> None:
    port = free_port()
    async with AsyncExitStack() as stack:
        names = ("wide", "close")
        origins = {name: await stack.enter_async_context(Echo(name)) for name in names}
        manifests = text(
            gateway(
                listener(port, name="wide", hostname="*.example.com"),
                listener(port, name="close", hostname="shop.example.com"),
                listener(port, name="quiet", hostname="quiet.example.com"),
            ),
            route(
                "wide",
                {"backendRefs": [to("wide")]},
                parents=[{"name": "edge", "sectionName": "wide"}],
            ),
            route(
                "close",
                {"matches": [match("/buy")], "backendRefs": [to("close")]},
                parents=[{"name": "edge", "sectionName": "close"}],
            ),
            *(service(name, origins[name].port) for name in names),
        )
        await stack.enter_async_context(running_edge(start_envoy, manifests))

        async def goes(host: str, path: str = "/") -> str | int:
            answer = await ask(port, path, headers={"Host": host})
            return str(answer.seen["origin"]) if answer.status == 200 else answer.status

        assert await goes("a.example.com", "/buy") == "wide"
        assert await goes("shop.example.com", "/buy") == "close"
        assert await goes("shop.example.com", "/x") == 404
        assert await goes("quiet.example.com") == 404
        assert await goes("example.net") == 404


async def test_an_edited_sale_reaches_envoy_as_one_extension(start_envoy: StartEnvoy) -> None:
    port = free_port()
    async with Echo() as origin:

        def manifests(stock: int) -> str:
            return text(
                gateway(listener(port)),
                route("r", {"name": "buy", "backendRefs": [to("echo")]}),
                service("echo", origin.port),
                sale(
                    "laptop", [{"name": "r", "sectionName": "buy"}], stock=stock, suspend=stock > 1
                ),
            )

        async with running_edge(start_envoy, manifests(1)) as (edge, envoy):
            before = await envoy.stats(r"update_success|lds\.|config_reload$")
            edge.apply(manifests(2))
            await edge.settled()
            after = await envoy.stats(r"update_success|lds\.|config_reload$")
    changed = {name for name, value in after.items() if value != before.get(name)}
    assert changed
    assert all("extension_config_discovery" in name for name in changed), changed
    assert not [name for name in changed if "redis-bridge" in name]


async def test_code_from_the_control_plane_is_fetched_by_its_hash(start_envoy: StartEnvoy) -> None:
    port = free_port()
    asked: list[str] = []
    code = built_filters()
    files = {
        item.sha256: Path(item.path) for item in (code.flash_sale, code.quota, code.redis_bridge)
    }

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        target = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
        path = target.partition("?")[0]
        asked.append(path)
        body = files[path.removeprefix("/filters/").removesuffix(".wasm")].read_bytes()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    web = await asyncio.start_server(serve, LOOPBACK, 0)
    settings = manifest("EdgeConfig", "edge", {"filters": {"source": "Remote"}})
    settings["spec"]["redis"] = {"address": f"127.0.0.1:{free_port()}"}
    manifests = text(
        gateway(listener(port), settings="edge"),
        settings,
        route("r", {"backendRefs": [to("echo")]}),
        service("echo", free_port()),
        sale("laptop", [{"name": "r"}]),
    )
    web_port = web.sockets[0].getsockname()[1]
    async with web, running_edge(start_envoy, manifests, web_port=web_port):

        async def filter_answers() -> bool:
            # Nobody keeps books here, so the filter lets nobody in, and says so in its own words.
            answer = await ask(port, headers={"authorization": "me"})
            return answer.status == 503 and "sale cannot answer" in answer.body

        await eventually(filter_answers, what="the filter to answer")
    assert set(asked) == {f"/filters/{sha256}.wasm" for sha256 in files}


async def test_routes_without_a_sale_need_no_filter(start_envoy: StartEnvoy) -> None:
    port = free_port()
    async with Echo() as origin:
        manifests = text(
            gateway(listener(port)),
            route("r", {"backendRefs": [to("echo")]}),
            service("echo", origin.port),
        )
        async with running_edge(start_envoy, manifests):
            answer = await ask(port)
    assert answer.status == 200
    assert answer.all("set-cookie") == ["own=1"]
