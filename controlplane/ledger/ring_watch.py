"""Sees to it that a Redis has the key ring, for as long as quotas count there.

Filters cannot name a consumer without the identity key, and look for it each second while it is
missing. A sale's keeper puts the ring back with the books; where there are only quotas, this does.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from controlplane.ledger.errors import LedgerError
from controlplane.ledger.keys import KEYRING

if TYPE_CHECKING:
    from collections.abc import Callable

    from controlplane.ledger.client import RedisClient
    from controlplane.ledger.keyring import Keyring

LOOK_SECONDS: Final = 1.0


class RingWatch:
    """Looks at one Redis again and again; `tell` hears each time what is wrong, if anything."""

    def __init__(self, client: RedisClient, keyring: Keyring, tell: Callable[[str], None]) -> None:
        self._client = client
        self._keyring = keyring
        self._tell = tell

    async def run(self) -> None:
        """Go on until cancelled; every failure is told and tried again."""
        while True:
            self._tell(await self._look())
            await asyncio.sleep(LOOK_SECONDS)

    async def _look(self) -> str:
        try:
            there = await self._client.command("HEXISTS", KEYRING, "identity")
            await self._keyring.ensure(again=not there)
        except LedgerError as error:
            return str(error)
        except OSError as error:
            return f"the copy of the key ring cannot be written: {error.strerror}"
        except ValueError:
            return f"Redis at {self._client.server}: {KEYRING} is no key ring: remove the key there"
        return ""
