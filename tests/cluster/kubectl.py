"""kubectl as somebody on an API server, without the settings of whoever runs the tests."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

from controlplane.local.errors import MissingBinaryError
from tests.cluster.api_server import ADMIN

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cluster.api_server import ApiServer

_DEADLINE = 90.0


class Kubectl:
    """Runs kubectl; `home` is a folder for what it keeps."""

    def __init__(self, server: ApiServer, home: Path) -> None:
        self.server = server
        self._home = home

    def kubectl(
        self, *arguments: str, text: str | None = None, user: str = ADMIN, token: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """One command, which may fail."""
        kubeconfig = self.server.kubeconfig(user, token=token)
        return subprocess.run(
            [_binary(), f"--kubeconfig={kubeconfig}", "--request-timeout=20s", *arguments],
            check=False,
            capture_output=True,
            text=True,
            input=text,
            timeout=_DEADLINE,
            env={"PATH": os.environ["PATH"], "HOME": str(self._home)},
        )

    def do(self, *arguments: str, text: str | None = None) -> str:
        """As the admin, and it must go well."""
        done = self.kubectl(*arguments, text=text)
        assert done.returncode == 0, done.stderr
        return done.stdout

    async def does(self, *arguments: str, text: str | None = None) -> str:
        """The same, while the event loop goes on with what the command may depend on."""
        return await asyncio.to_thread(self.do, *arguments, text=text)


def _binary() -> str:
    found = shutil.which("kubectl")
    if found is None:
        raise MissingBinaryError("kubectl is not on PATH: install it, 1.31 or newer")
    return found
