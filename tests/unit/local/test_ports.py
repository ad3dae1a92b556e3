from __future__ import annotations

import random
import socket

import pytest

from controlplane.local import free_port


@pytest.fixture
def draws(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What chance draws next."""
    numbers: list[int] = []
    monkeypatch.setattr(random, "randint", lambda *_: numbers.pop(0))
    return numbers


def test_a_free_port_can_be_listened_on() -> None:
    port = free_port()
    with socket.create_server(("127.0.0.1", port)) as server:
        assert server.getsockname()[1] == port


def test_free_ports_are_outside_of_the_ephemeral_range() -> None:
    with socket.create_server(("127.0.0.1", 0)) as ephemeral:
        chosen = {free_port() for _ in range(20)}
        assert ephemeral.getsockname()[1] not in chosen
        assert max(chosen) < 32_768


def test_a_port_that_somebody_listens_on_is_not_free(draws: list[int]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        draws += [taken, 9_999]
        assert free_port() == 9_999


def test_a_port_is_not_handed_out_twice(draws: list[int]) -> None:
    """Its server may not listen yet."""
    draws += [9_998, 9_998, 9_997]
    assert (free_port(), free_port()) == (9_998, 9_997)
