"""Asks a running control plane, and turns whatever goes wrong into one line."""

from __future__ import annotations

import json
import urllib.parse
from typing import TYPE_CHECKING, Any, Final, Self

import httpx

from controlplane import __version__
from controlplane.cli.errors import CommandError

if TYPE_CHECKING:
    from controlplane.cli.target import Target

TIMEOUT_SECONDS: Final = 15.0


class Client:
    """One control plane's API."""

    def __init__(self, target: Target) -> None:
        if urllib.parse.urlsplit(target.url).scheme not in {"http", "https"}:
            raise CommandError(f"--server {target.url!r} is no address: write http://HOST:PORT")
        self._target = target
        self._met = not target.in_cluster
        self._http = httpx.Client(
            headers={"x-sluice-client": f"sluice/{__version__}", "accept": "application/json"},
            timeout=TIMEOUT_SECONDS,
            # Proxies of the environment are for the world outside, not for this machine.
            trust_env=False,
            transport=target.transport(),
        )

    def get(self, path: str, **query: str | int) -> Any:
        """Read something."""
        return self._ask("GET", path, params=query)

    def post(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """Change something; a text of the command line that is not UTF-8 goes over as it is."""
        content = json.dumps(body or {}, ensure_ascii=True)
        return self._ask(
            "POST", path, content=content, headers={"content-type": "application/json"}
        )

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def __enter__(self) -> Self:
        """Keep one connection for several calls."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def _ask(self, method: str, path: str, **options: Any) -> Any:
        if method != "GET" and not self._met:
            # A change is sent once only, so it must not be what finds a pod dead.
            self._exchange("GET", "/healthz")
        answer = self._exchange(method, f"/api/v1{path}", **options)
        if answer.is_success:
            return self._read(answer)
        raise CommandError(self._complaint(answer))

    def _exchange(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            answer = self._send(method, f"{self._target.url}{path}", **options)
        except httpx.ConnectError as error:
            raise CommandError(
                f"no control plane answers at {self._target.name}: start one with `sluice serve`, "
                "or name it with --server or SLUICE_SERVER"
            ) from error
        except httpx.TimeoutException as error:
            raise CommandError(
                f"{self._target.name} gave no answer in {TIMEOUT_SECONDS:g} s"
            ) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            begun = isinstance(error, httpx.ReadError | httpx.RemoteProtocolError)
            hint = ": see whether it was done before you do it again"
            raise CommandError(
                f"{self._target.name} cannot be asked: {error}"
                f"{hint if begun and method != 'GET' else ''}"
            ) from error
        self._met = True
        return answer

    def _send(self, method: str, url: str, **options: Any) -> httpx.Response:
        """Send a request; a question that got no answer is put to another replica, once."""
        try:
            return self._http.request(method, url, **options)
        except (httpx.NetworkError, httpx.RemoteProtocolError):
            if method != "GET" or not self._target.turn_away():
                raise
        return self._http.request(method, url, **options)

    def _read(self, answer: httpx.Response) -> Any:
        try:
            return answer.json()
        except ValueError as error:
            raise CommandError(
                f"{self._target.name} is no control plane: its answer is no JSON"
            ) from error

    def _complaint(self, answer: httpx.Response) -> str:
        try:
            return str(answer.json()["error"]["message"])
        except (ValueError, KeyError, TypeError):
            return f"{self._target.name} answered {answer.status_code} {answer.reason_phrase}"


def sale_path(sale: str) -> str:
    """Give the path of a sale, for any text that a user may have typed."""
    return _path("sales", sale)


def quota_path(policy: str) -> str:
    """Give the path of a quota policy, likewise."""
    return _path("quotas", policy)


def _path(kind: str, given: str) -> str:
    namespace, _, name = given.partition("/")
    return f"/{kind}/{urllib.parse.quote(namespace, safe='')}/{urllib.parse.quote(name, safe='')}"
