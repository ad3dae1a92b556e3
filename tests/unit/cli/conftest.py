"""Running commands as a user would, without a process for each."""

from __future__ import annotations

import asyncio
import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import pytest
import structlog

from controlplane.cli.main import run

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Result:
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Sluice(Protocol):
    """Runs one command."""

    def __call__(self, *arguments: str, stdin: str = "") -> Result: ...


class AsyncSluice(Protocol):
    """Runs one command beside the event loop."""

    async def __call__(self, *arguments: str, stdin: str = "") -> Result: ...


@pytest.fixture(autouse=True)
def _log() -> Iterator[None]:
    """Undo what a command set up for its log."""
    yield
    structlog.reset_defaults()


@pytest.fixture
def sluice(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Sluice:
    """Run a command; what it prints is caught."""

    def command(*arguments: str, stdin: str = "") -> Result:
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        capsys.readouterr()
        code = run(arguments)
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err
        if code:
            assert printed.err.count("\n") <= 1, printed.err
        return Result(code, printed.out, printed.err)

    return command


@pytest.fixture
def ask(sluice: Sluice) -> AsyncSluice:
    """The same in a thread, while the control plane runs in the test's event loop."""

    async def command(*arguments: str, stdin: str = "") -> Result:
        return await asyncio.to_thread(sluice, *arguments, stdin=stdin)

    return command
