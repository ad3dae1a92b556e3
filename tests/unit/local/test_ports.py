from __future__ import annotations

import socket

from controlplane.local import free_port


def test_a_free_port_can_be_listened_on() -> None:
    port = free_port()
    with socket.create_server(("127.0.0.1", port)) as server:
        assert server.getsockname()[1] == port


def test_free_ports_are_outside_of_the_ephemeral_range() -> None:
    with socket.create_server(("127.0.0.1", 0)) as ephemeral:
        chosen = {free_port() for _ in range(20)}
        assert ephemeral.getsockname()[1] not in chosen
        assert max(chosen) < 32_768


def test_a_port_that_somebody_listens_on_is_not_free() -> None:
    taken = free_port()
    with socket.create_server(("127.0.0.1", taken)):
        assert all(free_port() != taken for _ in range(50))
