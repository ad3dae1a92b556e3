"""What can go wrong with the API server, in words that an operator can act on.

The client raises its own kind, aiohttp a dozen more, and a watch tells of errors in its stream.
Callers here need one family. Texts are one line and hold nothing of a body except the `message`
of a Status, so that nothing secret ends up in a log.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import aiohttp

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST_MESSAGE: Final = 512
"""Characters of the server's own words in an error; a rejected object can give thousands."""
LONGEST_RETRY_AFTER: Final = 60.0
"""Seconds that a server may make us wait, whatever it asks for."""


class KubeError(Exception):
    """Base of all that this package raises; `str()` is one line fit for a user."""


class ConfigurationError(KubeError):
    """It cannot be told where the API server is, or who we are to it."""


class NotFoundError(KubeError):
    """There is no such object, or no such kind: its CRD is not installed."""


class ConflictError(KubeError):
    """The object has changed since it was read, or the field is somebody else's."""


class AlreadyExistsError(ConflictError):
    """An object of that name stands there already."""


class ForbiddenError(KubeError):
    """RBAC, or an admission policy, does not allow it."""


class UnauthorizedError(KubeError):
    """The server does not take our token or certificate."""


class InvalidError(KubeError):
    """The server understood the object and will not have it. Trying again changes nothing."""


class GoneError(KubeError):
    """The resourceVersion is too old (or from another time): list again."""


class UnavailableError(KubeError):
    """No answer, or none that helps. Trying again later is right."""

    def __init__(self, message: str, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = min(max(retry_after, 0.0), LONGEST_RETRY_AFTER)
        """Seconds to wait at the least; 0 when the server asked for none."""


class SilentError(UnavailableError):
    """A stream has said nothing for long. It may be dead, or there was nothing to say."""


class TooManyRequestsError(UnavailableError):
    """The server is busy and says when to come back."""


_BY_CODE: Final[Mapping[int, type[KubeError]]] = {
    HTTPStatus.UNAUTHORIZED: UnauthorizedError,
    HTTPStatus.FORBIDDEN: ForbiddenError,
    HTTPStatus.NOT_FOUND: NotFoundError,
    HTTPStatus.CONFLICT: ConflictError,
    HTTPStatus.GONE: GoneError,
}
_ADVICE: Final[Mapping[type[KubeError], str]] = {
    ForbiddenError: " (a Role or ClusterRole has to grant it)",
    UnauthorizedError: " (look at the token or certificate that is used)",
}


def from_response(
    what: str, code: int, body: bytes, headers: Mapping[str, str] | None = None
) -> KubeError:
    """Name the error of an HTTP response; `what` was to be done, as in "list services"."""
    try:
        status = json.loads(body)
    except ValueError:
        status = None
    if not isinstance(status, dict) or status.get("kind") != "Status":
        status = {}
    return from_status(what, {**status, "code": code}, (headers or {}).get("Retry-After"))


def from_status(what: str, status: Mapping[str, Any], retry_after: object = None) -> KubeError:
    """Name the error that a Status tells of, in a response or in a watch."""
    code = _number(status.get("code")) or HTTPStatus.INTERNAL_SERVER_ERROR
    text = f"cannot {what}: {one_line(status.get('message')) or f'HTTP status {int(code)}'}"
    details = status.get("details")
    if retry_after is None and isinstance(details, dict):
        retry_after = details.get("retryAfterSeconds")
    if code == HTTPStatus.TOO_MANY_REQUESTS:
        return TooManyRequestsError(text, _number(retry_after))
    if code == HTTPStatus.CONFLICT and status.get("reason") == "AlreadyExists":
        return AlreadyExistsError(text)
    kind = _BY_CODE.get(int(code))
    if kind is not None:
        return kind(text + _ADVICE.get(kind, ""))
    if HTTPStatus.BAD_REQUEST <= code < HTTPStatus.INTERNAL_SERVER_ERROR:
        return InvalidError(text)
    return UnavailableError(text, _number(retry_after))


def from_transport(what: str, server: str, error: Exception) -> UnavailableError:
    """Name what went wrong below HTTP."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        why = f"its certificate is not trusted: {one_line(error.certificate_error)}"
    elif isinstance(error, aiohttp.ClientConnectorError):
        why = f"no connection: {one_line(error.os_error)}"
    elif isinstance(error, TimeoutError):
        why = "it did not answer in time"
    else:
        why = one_line(error) or type(error).__name__
    return UnavailableError(f"cannot {what}: the API server at {server} is away: {why}")


def one_line(value: object) -> str:
    """Write anything as one line that is not too long."""
    text = " ".join(str(value or "").split())
    return text if len(text) <= LONGEST_MESSAGE else text[: LONGEST_MESSAGE - 3] + "..."


def _number(value: object) -> float:
    try:
        return float(str(value))
    except ValueError:  # Retry-After may be a date, which no API server sends
        return 0.0
