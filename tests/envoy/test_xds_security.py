"""Mutual TLS as its users set it up: `sluice serve`, `sluice bootstrap`, real Envoys.

Files are rotated as cert-manager does, by moving new ones into their place. The filter's code comes
over TLS too: a sale that answers proves that it came.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from controlplane.local import EnvoyProcess, free_port
from controlplane.local.errors import LocalError
from tests.envoy.stack import IN_A_ROW, START_DEADLINE, Stack
from tests.testkit.certificates import SERVER, Authority, Pair, gateway, put
from tests.testkit.fixtures import LOGS
from tests.testkit.load import get
from tests.testkit.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from controlplane.local import RedisServer, Shop

pytestmark = [pytest.mark.envoy, pytest.mark.redis, pytest.mark.slow]

EDGE, OTHER = "edge-a", "edge-b"
REFUSALS = 3
"""So often at least a proxy must have been sent away, for a test to say that it is refused."""


class Secure(Stack):
    """A stack in which proxies come by TLS, and get filter code by TLS too."""

    def __init__(self, folder: Path, redis: RedisServer, shop: Shop) -> None:
        code = {"filters": {"source": "Remote"}}
        super().__init__(folder, redis, shop, gateways=(EDGE, OTHER), edge_spec=code)
        self.filters_port = free_port()
        self.authority = Authority(folder / "ca")
        tls = self.rotate("server", self.authority.issue(*SERVER), self.authority)
        self.serve_options = (
            *("--xds-tls-cert", str(tls / "tls.crt"), "--xds-tls-key", str(tls / "tls.key")),
            *("--xds-tls-client-ca", str(tls / "ca.crt")),
            *("--filters-port", str(self.filters_port)),
        )

    def rotate(self, whose: str, pair: Pair, authority: Authority) -> Path:
        """Puts new files into the folder of the server, or of a proxy."""
        folder = self.folder / f"{whose}-tls"
        pair.moved_to(folder)
        put(authority.certificate.read_bytes(), folder / "ca.crt")
        return folder

    def say(self, text: str) -> None:
        """Lets the sale answer everybody with this, on every gateway."""
        self.write_sale(suspend=True, responses={"suspended": {"status": 503, "body": text}})

    async def launch(
        self, name: str, pair: Pair | None, authority: Authority | None = None
    ) -> EnvoyProcess:
        """Starts a gateway's Envoy without waiting for anything; without a pair it knows no TLS."""
        output = self.folder / f"{name}-envoy"
        options: tuple[str, ...] = ()
        if pair is not None:
            tls = self.rotate(name, pair, authority or self.authority)
            options = (
                *("--tls-cert", str(tls / "tls.crt"), "--tls-key", str(tls / "tls.key")),
                *("--tls-ca", str(tls / "ca.crt")),
            )
        made = await self.sluice(
            "bootstrap",
            *("--gateway", f"shop/{name}", "--node-id", name, "--workers", str(self.workers)),
            *("--xds-address", f"127.0.0.1:{self.xds_port}"),
            *("--web-address", f"127.0.0.1:{self.filters_port}"),
            *("--output", str(output), *options),
        )
        assert made.code == 0, made.err
        bootstrap = (output / "envoy.yaml").read_text()
        envoy = EnvoyProcess(
            bootstrap, concurrency=self.workers, name=name, directory=self.folder, env=self.env
        )
        self.envoys[name] = envoy
        await envoy.launch()
        return envoy

    async def configured(self, name: str, text: str) -> None:
        """Waits until a gateway's Envoy runs the sale."""
        await eventually(self.envoys[name].ready, deadline=START_DEADLINE, what="a ready Envoy")
        await self.answers(text, gateway=name)

    async def connected(self) -> list[str]:
        """The node ids of the proxies that `sluice status` shows."""
        status: dict[str, Any] = (await self.sluice("status", "--output", "json")).json()
        return sorted(proxy["node"] for proxy in status["proxies"])

    def denials(self) -> list[str]:
        lines = self.log.read_text().splitlines()
        return [line for line in lines if "Proxy denied" in line]

    async def connections(self, name: str) -> int:
        stat = "cluster.sluice-xds.upstream_cx_total"
        return (await self.envoys[name].stats(stat))[stat]


@pytest.fixture
async def secure(
    request: pytest.FixtureRequest, tmp_path: Path, redis_server: RedisServer, shop: Shop
) -> AsyncIterator[Secure]:
    stack = Secure(tmp_path / "stack", redis_server, shop)
    logs = request.node.stash.setdefault(LOGS, [])
    logs.extend([stack.log, *(stack.folder / f"{name}.log" for name in stack.gateways)])
    stack.write_edge()
    stack.say("first")
    try:
        await stack.serve()
        yield stack
    finally:
        await stack.close()


async def sent_away(envoy: EnvoyProcess) -> None:
    """Waits until a proxy came some times, and makes sure that it got nothing."""

    async def again() -> bool:
        try:
            stats = await envoy.stats(r"^cluster_manager\.cds\.update|sluice-xds\.upstream_cx_tot")
        except LocalError:
            return False  # it has not opened its admin page yet
        assert stats["cluster_manager.cds.update_success"] == 0
        return stats["cluster.sluice-xds.upstream_cx_total"] >= REFUSALS

    await eventually(again, what="some attempts")
    assert not await envoy.ready()
    assert not await envoy.admin("/listeners")


async def test_a_proxy_begins_when_it_has_its_filters(secure: Secure) -> None:
    await secure.launch(EDGE, secure.authority.issue(gateway(EDGE)))
    answers: list[str] = []

    async def answered() -> bool:
        answer = await get(secure.ports[EDGE], "/sale/1", authorization="me")
        answers.extend([] if answer.error else [f"{answer.status} {answer.text}"])
        return len(answers) > IN_A_ROW

    await eventually(answered, every=0.01, deadline=START_DEADLINE, what="answers")
    assert set(answers) == {"503 first"}


async def test_a_proxy_with_its_certificate_is_configured(secure: Secure) -> None:
    await secure.launch(EDGE, secure.authority.issue(gateway(EDGE)))
    await secure.launch(OTHER, secure.authority.issue(gateway(OTHER), gateway("more")))
    await secure.configured(EDGE, "first")
    await secure.configured(OTHER, "first")
    assert await secure.connected() == [EDGE, OTHER]
    assert secure.denials() == []


@pytest.mark.parametrize("case", ["none", "expired", "stranger", "wrong-server"])
async def test_a_proxy_that_proves_nothing_gets_nothing(secure: Secure, case: str) -> None:
    authority, trusted = secure.authority, secure.authority
    pair: Pair | None = None
    if case == "expired":
        pair = authority.issue(gateway(EDGE), expired=True)
    elif case == "stranger":
        pair = Authority(secure.folder / "stranger").issue(gateway(EDGE))
    elif case == "wrong-server":
        # The proxy, for its part, hands itself to nobody else.
        secure.rotate("server", authority.issue("DNS:somebody.else.test"), authority)
        pair = authority.issue(gateway(EDGE))
    await sent_away(await secure.launch(EDGE, pair, trusted))
    assert await secure.connected() == []


async def test_with_the_certificate_of_another_it_keeps_what_it_has(secure: Secure) -> None:
    authority = secure.authority
    envoy = await secure.launch(EDGE, authority.issue(gateway(EDGE)))
    await secure.configured(EDGE, "first")
    secure.rotate(EDGE, authority.issue(gateway(OTHER)), authority)
    await secure.stop_serving()
    secure.say("second")
    await secure.serve()
    await eventually(lambda: len(secure.denials()) >= REFUSALS)
    assert f"needs the URI SAN spiffe://cluster.local/ns/shop/gateway/{EDGE}" in secure.denials()[0]
    assert "it needs the URI SAN" in envoy.log.read_text()
    assert await secure.connected() == []
    await secure.answers("first", gateway=EDGE)
    # Its own again, and it catches up by itself.
    secure.rotate(EDGE, authority.issue(gateway(EDGE)), authority)
    await secure.answers("second", gateway=EDGE)
    assert await secure.connected() == [EDGE]


async def test_both_sides_change_their_ca_while_they_run(secure: Secure) -> None:
    old = secure.authority
    await secure.launch(EDGE, old.issue(gateway(EDGE)))
    await secure.configured(EDGE, "first")
    before = await secure.connections(EDGE)
    new = Authority(secure.folder / "new-ca")
    secure.rotate("server", new.issue(*SERVER), new)
    # Who comes now meets the new files, in the same process.
    await secure.launch(OTHER, new.issue(gateway(OTHER)), new)
    await secure.configured(OTHER, "first")
    # Who was there is still there, on its old connection.
    secure.say("second")
    await secure.answers("second", gateway=EDGE)
    assert await secure.connections(EDGE) == before
    # And comes back with its own new files, without a restart.
    secure.rotate(EDGE, new.issue(gateway(EDGE)), new)
    await secure.stop_serving()
    secure.say("third")
    await secure.serve()
    await secure.answers("third", gateway=EDGE)
    await secure.answers("third", gateway=OTHER)
    assert await secure.connected() == [EDGE, OTHER]
