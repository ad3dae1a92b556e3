"""The server's side of mutual TLS: certificate, key, and whom it takes for a proxy.

The files are read again on every handshake, since they are rotated while the server runs; a
connection that lives keeps what it was made with. What does not fit together (a key that is no
longer that of the certificate, half a file) is never used: what was good before stays in force, and
the log says so.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import grpc
import structlog

if TYPE_CHECKING:
    from pathlib import Path

log = structlog.get_logger(__name__)

_LOOK_SECONDS: Final = 30.0
_ATTEMPTS: Final = 3


class CredentialsError(Exception):
    """The files cannot be used; the message names the file, in one line."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Where the PEM files lie: the server's certificate chain, its key, and the CA of proxies."""

    certificate: Path
    key: Path
    client_ca: Path


@dataclass(frozen=True, slots=True)
class Loaded:
    """Files that fit together. Not shown in logs: one of them is a key."""

    certificate: bytes
    key: bytes
    client_ca: bytes
    context: ssl.SSLContext

    def __repr__(self) -> str:
        return "Loaded(...)"


class ServerCredentials:
    """What the files hold now, or held when they last were good.

    It is asked from gRPC's own threads too.

    Raises:
        CredentialsError: at the start the files must be good.
    """

    def __init__(self, files: TlsFiles) -> None:
        self.files = files
        self._lock = threading.Lock()
        self._loaded = _load(files)
        self._complaint = ""

    def current(self) -> Loaded:
        """Give the newest good content, reading the files again."""
        with self._lock:
            try:
                self._refresh()
            except CredentialsError as error:
                if str(error) != self._complaint:
                    self._complaint = str(error)
                    log.warning("TLS files not usable, the former stay in force", reason=str(error))
            return self._loaded

    def _refresh(self) -> None:
        held = self._loaded
        if _read_all(self.files) != (held.certificate, held.key, held.client_ca):
            self._loaded = _load(self.files)
            log.info("TLS files read again", certificate=str(self.files.certificate))
        self._complaint = ""

    async def watch(self) -> None:
        """Look at the files now and then, so that bad ones are known before a proxy comes."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            await asyncio.to_thread(self.current)

    def for_grpc(self) -> grpc.ServerCredentials:
        """Give credentials that ask for the newest content on every handshake."""
        made: grpc.ServerCredentials = grpc.dynamic_ssl_server_credentials(
            self._configuration(), self._configuration, require_client_authentication=True
        )
        return made

    def _configuration(self) -> Any:
        # Given anew each time, also when nothing changed: gRPC then makes a new context, and no
        # session is ever resumed. Resumption would let in a certificate that has since expired.
        now = self.current()
        return grpc.ssl_server_certificate_configuration(
            [(now.key, now.certificate)], root_certificates=now.client_ca
        )

    def for_asyncio(self) -> ssl.SSLContext:
        """Give a context of which each new connection gets the newest content."""
        context = _NewestContext(ssl.PROTOCOL_TLS_SERVER)
        context.credentials = self
        return context


class _NewestContext(ssl.SSLContext):
    """Hands every connection on to a context of the newest files; holds nothing itself."""

    credentials: ServerCredentials

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        """Begin a connection; asyncio calls this for each."""
        return self.credentials.current().context.wrap_bio(*args, **kwargs)


def _load(files: TlsFiles) -> Loaded:
    """Read the files until they are the same before and after they were checked."""
    content = _read_all(files)
    for _ in range(_ATTEMPTS):
        error = None
        try:
            context = _checked(files)
        except CredentialsError as problem:
            error = problem
        before, content = content, _read_all(files)
        if content == before:
            if error is not None:
                raise error
            return Loaded(*content, context)
    raise CredentialsError(f"{files.certificate} and its key keep changing while they are read")


def _read_all(files: TlsFiles) -> tuple[bytes, bytes, bytes]:
    return _read(files.certificate), _read(files.key), _read(files.client_ca)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CredentialsError(f"cannot read {path}: {error.strerror}") from error


def _checked(files: TlsFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    # No resumption, as above.
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    try:
        # Without a password OpenSSL would ask for one on the terminal.
        context.load_cert_chain(files.certificate, files.key, password=lambda: "")
    except (ssl.SSLError, OSError) as error:
        raise CredentialsError(
            f"{files.certificate} and {files.key} are no certificate and its key without a "
            f"password, in PEM: {_reason(error)}"
        ) from error
    try:
        context.load_verify_locations(cafile=files.client_ca)
    except (ssl.SSLError, OSError) as error:
        raise CredentialsError(
            f"{files.client_ca} holds no CA certificate in PEM: {_reason(error)}"
        ) from error
    return context


def _reason(error: OSError) -> str:
    reason = getattr(error, "reason", None) or error.strerror or str(error)
    return str(reason).lower().replace("_", " ")
