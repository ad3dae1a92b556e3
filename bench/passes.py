"""Users with a pass: signed with the real key ring, for users that no permit log knows."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path

    from redis.asyncio import Redis

_TAG = "bench/pass/1"
_LIFE = 1700
"""Seconds: more than half of the sale's 30 minutes, so that no answer renews the pass."""


@dataclass(slots=True)
class Passes:
    """Makes passes, each for a user of its own.

    A worker remembers whom it has verified once, so nobody may come twice if the signature is to be
    verified every time.
    """

    folder: Path
    identity: bytes
    version: int
    key: bytes
    generation: int
    made: int = 0

    @classmethod
    async def open(cls, redis: Redis, folder: Path) -> Self:
        """Takes the keys out of Redis.

        Raises:
            LookupError: they are not there.
        """
        ring = await _hash(redis, "sluice:keyring")
        meta = await _hash(redis, f"sluice:{{{_TAG}}}:meta")
        version = int(ring["version"])
        identity, key = bytes.fromhex(ring["identity"]), bytes.fromhex(ring[f"key:{version}"])
        return cls(folder, identity, version, key, int(meta["generation"]))

    async def write(self, count: int) -> dict[str, Path]:
        """Writes new users, and their passes, to two files whose lines belong together."""
        return await asyncio.to_thread(self._write, count)

    def _write(self, count: int) -> dict[str, Path]:
        expiry = int(time.time()) + _LIFE
        users, passes = [], []
        for number in range(self.made + 1, self.made + count + 1):
            user = f"holder-{number}"
            users.append(user)
            passes.append(self._sign(user, f"{self.version}.{expiry}.{self.generation}.{number}"))
        self.made += count
        return {
            "user": write_lines(self.folder / "holders", users),
            "pass": write_lines(self.folder / "passes", passes),
        }

    def _sign(self, user: str, claims: str) -> str:
        who = hashlib.blake2s(user.encode(), key=self.identity, digest_size=16).hexdigest()
        of_sale = hmac.digest(self.key, f"sluice-pass\n{_TAG}".encode(), hashlib.sha256)
        mac = hmac.digest(of_sale, f"{who}\n{claims}".encode(), hashlib.sha256)
        return f"1.{claims}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"


def write_lines(path: Path, lines: list[str]) -> Path:
    """Writes a file for `--values`."""
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


async def _hash(redis: Redis, key: str) -> dict[str, str]:
    fields = await redis.hgetall(key)
    if not fields:
        message = f"Redis has no {key}: the control plane has not opened the books"
        raise LookupError(message)
    return {str(name): str(value) for name, value in fields.items()}
