"""The key ring: one identity key for ever, and up to four signing keys for passes.

Redis holds it, so that every edge finds it and no config dump ever shows it. The control plane
makes it once, keeps a copy on disk (readable by its owner only), and writes it back when Redis lost
it: with another identity key nobody who was let in would be known any more.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from controlplane.ledger.books import raw, text
from controlplane.ledger.disk import replace_file
from controlplane.ledger.errors import CopyDamagedError
from controlplane.ledger.keys import KEYRING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from controlplane.ledger.client import RedisClient

KEEP = 4
RECHECK_SECONDS = 30.0
KEY_BYTES = 32


@dataclass(frozen=True, slots=True, repr=False)
class Ring:
    """What the ring holds. It has no repr, so that no log line and no traceback can show a key."""

    identity: bytes
    version: int
    keys: Mapping[int, bytes]

    @property
    def numbers(self) -> tuple[int, ...]:
        """Numbers of the signing keys, oldest first; the last one signs, all verify."""
        return tuple(sorted(self.keys))


class Keyring:
    """The ring in one Redis, with its copy at `path`."""

    def __init__(
        self,
        client: RedisClient,
        path: Path,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        warn: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._client = client
        self._path = path
        self._monotonic = monotonic
        self._warn = warn
        self._ring: Ring | None = None
        self._checked: tuple[int, float] = (-1, 0.0)
        self._lock = asyncio.Lock()

    async def ensure(self, *, again: bool = False) -> Ring:
        """Give the ring, made or put back into Redis if need be.

        Redis is asked again after every new connection, every half minute, and when `again`.
        """
        async with self._lock:
            connects, when = self._checked
            fresh = connects == self._client.connects
            recent = self._monotonic() - when < RECHECK_SECONDS
            if self._ring is not None and fresh and recent and not again:
                return self._ring
            self._ring = await self._settle()
            self._checked = (self._client.connects, self._monotonic())
            return self._ring

    async def rotate(self) -> Ring:
        """Add a signing key, which signs from now on; the oldest beyond four verifies no more."""
        ring = await self.ensure(again=True)
        async with self._lock:
            version = ring.version + 1
            keys = {**ring.keys, version: secrets.token_bytes(KEY_BYTES)}
            kept = {number: keys[number] for number in sorted(keys)[-KEEP:]}
            commands: list[tuple[Any, ...]] = [
                ("HSET", KEYRING, field(version), keys[version].hex(), "version", version),
            ]
            gone = [field(number) for number in keys if number not in kept]
            if gone:
                commands.append(("HDEL", KEYRING, *gone))
            self._ring = Ring(ring.identity, version, kept)
            # First to disk: a key that signs must not be lost together with Redis.
            await asyncio.to_thread(self._write, self._ring)
            await self._client.transaction(*commands)
            return self._ring

    async def _settle(self) -> Ring:
        stored = await self._read_redis()
        copy = await asyncio.to_thread(self._read)
        if stored.identity and copy and stored.identity != copy.identity:
            self._warn(
                f"The key ring in Redis at {self._client.server} is not the one kept in "
                f"{self._path}: the one in Redis counts; users let in under the other are unknown"
            )
            copy = None
        ring = merge(stored, copy)
        await self._write_redis(stored, ring)
        settled = merge(await self._read_redis(), None)  # another control plane may have been first
        if settled != copy:
            await asyncio.to_thread(self._write, settled)
        return settled

    async def _read_redis(self) -> Ring:
        reply = await self._client.command("HGETALL", KEYRING)
        pairs = (
            reply.items() if isinstance(reply, dict) else zip(reply[::2], reply[1::2], strict=True)
        )
        fields = {text(name): text(value) for name, value in pairs}
        return parse(fields)

    async def _write_redis(self, stored: Ring, ring: Ring) -> None:
        commands: list[tuple[Any, ...]] = []
        if not stored.identity:
            commands.append(("HSETNX", KEYRING, "identity", ring.identity.hex()))
        commands += [
            ("HSETNX", KEYRING, field(number), key.hex())
            for number, key in ring.keys.items()
            if number not in stored.keys
        ]
        if stored.version < ring.version:
            commands.append(("HSET", KEYRING, "version", ring.version))
        if commands:
            await self._client.transaction(*commands)

    def _read(self) -> Ring | None:
        try:
            fields = json.loads(self._path.read_text(encoding="ascii"))
            ring = parse(fields)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, AttributeError) as error:
            raise CopyDamagedError(
                f"the key ring's copy {self._path} cannot be read: mend it, or remove it if the "
                "ring in Redis is the right one"
            ) from error
        return ring if ring.identity else None

    def _write(self, ring: Ring) -> None:
        fields = {"identity": ring.identity.hex(), "version": str(ring.version)}
        fields |= {field(number): ring.keys[number].hex() for number in ring.numbers}
        replace_file(self._path, json.dumps(fields, indent=1).encode() + b"\n", mode=0o600)


def merge(stored: Ring, copy: Ring | None) -> Ring:
    """Give the ring that should stand: what Redis has, completed from the copy, or a new one."""
    known = copy or Ring(b"", 0, {})
    keys = {**known.keys, **stored.keys} or {1: secrets.token_bytes(KEY_BYTES)}
    keys = {number: keys[number] for number in sorted(keys)[-KEEP:]}
    identity = stored.identity or known.identity or secrets.token_bytes(KEY_BYTES)
    return Ring(identity, max(keys), keys)


def parse(fields: Mapping[str, str]) -> Ring:
    """Read a ring from its fields; ValueError when one is not hexadecimal."""
    prefix = "key:"
    return Ring(
        bytes.fromhex(fields.get("identity", "")),
        int(fields.get("version", "0")),
        {
            int(name.removeprefix(prefix)): bytes.fromhex(value)
            for name, value in fields.items()
            if name.startswith(prefix)
        },
    )


def field(number: int) -> str:
    """Name the field of a signing key."""
    return f"key:{number}"


def hash_user(identity: bytes, user: str) -> str:
    """Give the user as Redis has it: a keyed hash of the raw id, 32 hexadecimal digits."""
    return hashlib.blake2s(raw(user), key=identity, digest_size=16).hexdigest()


def file_name(server: str) -> str:
    """Name the copy of the ring kept for this server's address."""
    return f"keyring-{hashlib.sha256(os.fsencode(server)).hexdigest()[:12]}.json"
