"""Walks see when something is wrong, and are not misled by a new minute."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from controlplane.local import Shop, free_port
from controlplane.local.demo import RECIPES, quotas, steps
from controlplane.local.demo.ground import Ground
from controlplane.local.demo.staging import Sample
from controlplane.local.demo.steps import StepError, Steps

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=10.0) as running:
        yield running


def to(port: int, name: str, folder: Path, client: httpx.AsyncClient) -> Steps:
    """Steps against whatever listens there, without a control plane."""
    sample = Sample(name)
    ground = Ground(folder, sample.scene, print)
    ground.port = port
    return Steps(ground, sample, client, print)


@pytest.mark.parametrize("name", RECIPES)
async def test_a_shop_that_nobody_guards_fails(
    name: str,
    shop: Shop,
    tmp_path: Path,
    client: httpx.AsyncClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(steps, "_DEADLINE", 0.2)
    walked = to(shop.port, name, tmp_path, client)
    with pytest.raises(StepError, match=r"not so after 0\.2 s; the last answer was 200 "):
        await RECIPES[name].walk(walked)
    assert shop.requests > 1


async def test_no_answer_fails(tmp_path: Path, client: httpx.AsyncClient) -> None:
    walked = to(free_port(), "classic-recipe", tmp_path, client)
    with pytest.raises(StepError, match=r"no answer to POST /x of {'x-api-key': 'k'}"):
        await walked.ask("/x", body=b"", x_api_key="k")


async def test_until_wants_them_in_a_row(
    shop: Shop, tmp_path: Path, client: httpx.AsyncClient
) -> None:
    walked = to(shop.port, "classic-recipe", tmp_path, client)
    answers = iter((503, 200, 503, 200, 200, 200))
    last = await walked.until(
        "it is there",
        lambda: answered(next(answers)),
        lambda answer: answer.status_code == 200,
        in_a_row=3,
    )
    assert last.status_code == 200
    assert next(answers, None) is None


async def answered(status: int) -> httpx.Response:
    return httpx.Response(status)


class Clock:
    """A clock that is told what to show."""

    def __init__(self, *moments: float) -> None:
        self._moments = iter(moments)

    def time(self) -> float:
        return next(self._moments)


async def tries(fails: int) -> list[int]:
    """The numbers that a step was done with, when it fails so often at first."""
    done: list[int] = []

    async def step(number: int) -> None:
        done.append(number)
        if number < fails:
            raise StepError("one too many")

    await quotas._in_a_minute(step)
    return done


async def test_a_step_is_done_again_when_a_minute_began(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quotas, "time", Clock(59.0, 61.0, 62.0))
    assert await tries(1) == [0, 1]


async def test_a_step_that_fails_within_a_minute_has_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(quotas, "time", Clock(59.0, 61.0, 62.0, 63.0))
    with pytest.raises(StepError, match="one too many"):
        await tries(2)


async def test_a_step_is_not_done_again_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quotas, "time", Clock(*(number * 60.0 for number in range(100))))
    with pytest.raises(StepError, match="one too many"):
        await tries(100)
