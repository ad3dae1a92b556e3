from __future__ import annotations

import itertools

import pytest

from tests.testkit.waiting import eventually


async def test_it_gives_the_first_true_value() -> None:
    numbers = itertools.count()
    assert await eventually(lambda: next(numbers), every=0) == 1


async def test_predicates_may_be_async_and_may_assert() -> None:
    numbers = itertools.count()

    async def predicate() -> str:
        assert next(numbers) > 2
        return "done"

    assert await eventually(predicate, every=0) == "done"


async def test_it_tells_what_was_waited_for_and_seen_last() -> None:
    with pytest.raises(AssertionError, match=r"^rain: not so after 0 s; last seen: 0$"):
        await eventually(lambda: 0, deadline=0, what="rain")


async def test_the_last_assertion_is_the_cause() -> None:
    def predicate() -> bool:
        message = "too dry"
        raise AssertionError(message)

    with pytest.raises(AssertionError, match=r"predicate: .* last seen: too dry") as raised:
        await eventually(predicate, deadline=0)
    assert str(raised.value.__cause__) == "too dry"


async def test_what_has_no_such_part_yet_is_waited_for() -> None:
    status: dict[str, str] = {}

    def predicate() -> str:
        return status["phase"]

    with pytest.raises(AssertionError, match=r"predicate: .* last seen: KeyError\('phase'\)"):
        await eventually(predicate, deadline=0)
    status["phase"] = "Open"
    assert await eventually(predicate) == "Open"


async def test_other_errors_end_the_wait_at_once() -> None:
    def predicate() -> bool:
        raise TypeError

    with pytest.raises(TypeError):
        await eventually(predicate)
