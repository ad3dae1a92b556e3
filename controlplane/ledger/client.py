"""One Redis server as the ledger sees it: scripts in, plain replies out, a deadline on each.

The redis package would retry and reconnect behind our back; here both are switched off or counted,
because a new connection may mean another server process, and whoever keeps books has to know.
"""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from redis import exceptions
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from controlplane.ledger.errors import LedgerError, RedisRefusedError, RedisUnreachableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from controlplane.ledger.scripts import Script
    from controlplane.model.edge_config import RedisSettings

DEADLINE_SECONDS = 1.0
MAX_CONNECTIONS = 16


@dataclass(frozen=True, slots=True)
class Server:
    """Where a Redis is and how to log in; the password itself stays in the environment."""

    host: str
    port: int
    database: int = 0
    username: str = ""
    password_env: str = ""
    tls: bool = False
    ca_file: str = ""
    server_name: str = ""
    verify: bool = True

    @classmethod
    def of(cls, settings: RedisSettings) -> Server:
        """Read the settings that users write."""
        tls = settings.tls
        return cls(
            settings.host,
            settings.port,
            settings.database,
            settings.username,
            settings.password_env,
            tls=tls is not None,
            ca_file=(tls.ca_file or "") if tls else "",
            server_name=(tls.server_name or "") if tls else "",
            verify=tls is None or not tls.insecure_skip_verify,
        )

    def __str__(self) -> str:
        """Give the address as users write it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}" + (f"/{self.database}" if self.database else "")


class RedisClient:
    """Runs scripts and commands on one server. Opens no connection before the first call."""

    def __init__(
        self,
        server: Server,
        environ: Mapping[str, str],
        *,
        deadline: float = DEADLINE_SECONDS,
    ) -> None:
        self.server = server
        self.deadline = deadline
        #: Connections made so far. A change tells that the server may be another process now.
        self.connects = 0
        self._password = environ.get(server.password_env, "") if server.password_env else ""
        self._redis = Redis(connection_pool=self._pool())

    async def run(self, script: Script, keys: Sequence[str], args: Sequence[Any]) -> list[Any]:
        """Run a script by its SHA, and by its text where the server does not know it."""
        tail = (len(keys), *keys, *args)
        try:
            reply = await self._call("EVALSHA", script.sha, *tail)
        except exceptions.NoScriptError:
            reply = await self._call("EVAL", script.text, *tail)
        return list(reply)

    async def command(self, *words: Any) -> Any:
        """Run one plain command."""
        return await self._call(*words)

    async def transaction(self, *commands: Sequence[Any]) -> list[Any]:
        """Run commands as one atomic step; any error in one of them is raised."""
        async with self._guard():
            pipeline = self._redis.pipeline(transaction=True)
            for words in commands:
                pipeline.execute_command(*words)
            return list(await pipeline.execute())

    async def run_with(
        self,
        script: Script,
        keys: Sequence[str],
        args: Sequence[Any],
        extra: Sequence[Any],
    ) -> tuple[list[Any], Any]:
        """Run a script and one more command in one atomic step."""
        words = ("EVALSHA", script.sha, len(keys), *keys, *args)
        try:
            reply, more = await self.transaction(words, extra)
        except exceptions.NoScriptError:
            await self._call("SCRIPT", "LOAD", script.text)
            reply, more = await self.transaction(words, extra)
        return list(reply), more

    async def close(self) -> None:
        """Close all connections, waiting for the server no longer than one deadline."""
        try:
            async with asyncio.timeout(self.deadline):
                await self._redis.aclose()
                await self._redis.connection_pool.disconnect()
        except (TimeoutError, OSError, exceptions.RedisError):
            return  # the sockets are dropped all the same

    async def _call(self, *words: Any) -> Any:
        async with self._guard():
            return await self._redis.execute_command(*words)

    def _pool(self) -> BlockingConnectionPool:
        options: dict[str, Any] = {
            "host": self.server.host,
            "port": self.server.port,
            "db": self.server.database,
            "username": self.server.username or None,
            "password": self._password or None,
            "protocol": 2,
            "driver_info": None,
            # The deadline of the whole call is enough. With one of its own the package would use
            # asyncio.wait_for, which before Python 3.12 may swallow that the task was cancelled.
            "socket_timeout": None,
            "socket_connect_timeout": self.deadline,
            "retry": Retry(NoBackoff(), 0),
            "redis_connect_func": self._connected,
        }
        kind: type[AbstractConnection] = Connection
        if self.server.tls:
            kind = _Encrypted
            options |= {
                "ssl_ca_certs": self.server.ca_file or None,
                "ssl_cert_reqs": "required" if self.server.verify else "none",
                "ssl_check_hostname": self.server.verify,
                "server_name": self.server.server_name,
            }
        return BlockingConnectionPool(
            max_connections=MAX_CONNECTIONS,
            timeout=self.deadline,
            connection_class=kind,
            **options,
        )

    async def _connected(self, connection: AbstractConnection) -> None:
        await connection.on_connect()
        self.connects += 1

    @asynccontextmanager
    async def _guard(self) -> AsyncIterator[None]:
        """Put a deadline on a call, and turn what the package raises into our own errors."""
        try:
            async with asyncio.timeout(self.deadline):
                yield
        except exceptions.NoScriptError:
            raise
        except TimeoutError as error:
            raise RedisUnreachableError(f"Redis at {self.server} does not answer") from error
        except (exceptions.RedisError, OSError) as error:
            raise self._translate(error) from error

    def _translate(self, error: Exception) -> LedgerError:
        text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        if self._password:
            text = text.replace(self._password, "***")
        where = f"Redis at {self.server}"
        if isinstance(error, (exceptions.AuthenticationError, exceptions.NoPermissionError)):
            return RedisRefusedError(f"{where} refuses the log-in ({text}); {self._login_hint()}")
        if isinstance(error, exceptions.TimeoutError):
            return RedisUnreachableError(f"{where} does not answer")
        if isinstance(error, exceptions.BusyLoadingError):
            return RedisUnreachableError(f"{where} is still loading its data")
        if isinstance(error, (exceptions.ConnectionError, OSError)):
            return RedisUnreachableError(f"{where} cannot be reached ({_cause(error) or text})")
        if text.startswith(("NOAUTH", "WRONGPASS")):
            return RedisRefusedError(f"{where} refuses the log-in ({text}); {self._login_hint()}")
        return RedisRefusedError(f"{where} answers with an error ({text})")

    def _login_hint(self) -> str:
        if not self.server.password_env:
            return "name the variable that holds the password in EdgeConfig spec.redis.passwordEnv"
        state = "check" if self._password else "it is empty: set"
        return f"{state} the environment variable {self.server.password_env}"


def _cause(error: BaseException) -> str:
    """Give the system's own word for why a connection failed, out of what is wrapped around it."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, OSError) and found.errno:
            known = isinstance(found, socket.gaierror)
            return str(found.strerror) if known else os.strerror(found.errno)
        found = found.__cause__ or found.__context__
    return ""


class _Encrypted(SSLConnection):
    """TLS to a server whose certificate may bear another name than its address."""

    def __init__(self, *, server_name: str = "", **options: Any) -> None:
        super().__init__(**options)
        self._server_name = server_name

    def _connection_arguments(self) -> Mapping[str, Any]:
        arguments = dict(super()._connection_arguments())
        if self._server_name:
            arguments["server_hostname"] = self._server_name
        return arguments
