"""A replica that only stands for election; says on standard output when it leads and when not.

Run as `python -m tests.cluster.elector_process KUBECONFIG NAMESPACE IDENTITY`.
"""

from __future__ import annotations

import asyncio
import signal
import sys

from controlplane.kube import Elector, Session, Terms

TERMS = Terms(duration=3.0, renew_deadline=2.0, retry=0.3)
NAME = "sluice"


async def main(kubeconfig: str, namespace: str, identity: str) -> None:
    """Stands for election until SIGTERM."""

    async def lead() -> None:
        _say(f"{identity} leads")
        try:
            await asyncio.Event().wait()
        finally:
            _say(f"{identity} has stopped")

    async with await Session.open(kubeconfig) as session:
        elector = Elector(session, (namespace, NAME), identity, terms=TERMS)
        running = asyncio.ensure_future(elector.run(lead))
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
        await asyncio.wait([running])
        _say(f"{identity} ends")


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - the test reads it


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
