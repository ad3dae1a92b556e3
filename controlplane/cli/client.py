"""Asks a running control plane, and turns whatever goes wrong into one line."""

from __future__ import annotations

import json
import urllib.parse
from typing import TYPE_CHECKING, Any, Final, Self

import click
import httpx

from controlplane import __version__
from controlplane.cli.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Callable

DEFAULT_SERVER: Final = "http://127.0.0.1:18080"
TIMEOUT_SECONDS: Final = 15.0


def server_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give the option --server of commands that ask a control plane."""
    return click.option(
        "--server",
        envvar="SLUICE_SERVER",
        default=DEFAULT_SERVER,
        show_default=True,
        show_envvar=True,
        metavar="URL",
        help="Web address of the control plane.",
    )(function)


class Client:
    """One control plane's API."""

    def __init__(self, server: str) -> None:
        if urllib.parse.urlsplit(server).scheme not in {"http", "https"}:
            raise CommandError(f"--server {server!r} is no address: write http://HOST:PORT")
        self._server = server.rstrip("/")
        headers = {"x-sluice-client": f"sluice/{__version__}", "accept": "application/json"}
        # Proxies of the environment are for the world outside, not for this machine.
        self._http = httpx.Client(headers=headers, timeout=TIMEOUT_SECONDS, trust_env=False)

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
        try:
            answer = self._http.request(method, f"{self._server}/api/v1{path}", **options)
        except httpx.ConnectError as error:
            raise CommandError(
                f"no control plane answers at {self._server}: start one with `sluice serve`, or "
                "name it with --server or SLUICE_SERVER"
            ) from error
        except httpx.TimeoutException as error:
            raise CommandError(f"{self._server} gave no answer in {TIMEOUT_SECONDS:g} s") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise CommandError(f"{self._server} cannot be asked: {error}") from error
        if answer.is_success:
            return self._read(answer)
        raise CommandError(self._complaint(answer))

    def _read(self, answer: httpx.Response) -> Any:
        try:
            return answer.json()
        except ValueError as error:
            raise CommandError(
                f"{self._server} is no control plane: its answer is no JSON"
            ) from error

    def _complaint(self, answer: httpx.Response) -> str:
        try:
            return str(answer.json()["error"]["message"])
        except (ValueError, KeyError, TypeError):
            return f"{self._server} answered {answer.status_code} {answer.reason_phrase}"


def sale_path(sale: str) -> str:
    """Give the path of a sale, for any text that a user may have typed."""
    return _path("sales", sale)


def quota_path(policy: str) -> str:
    """Give the path of a quota policy, likewise."""
    return _path("quotas", policy)


def sale_argument(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give the argument SALE, the name of a sale."""
    return _named("sale", "shop/laptop")(function)


def policy_argument(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give the argument POLICY, the name of a quota policy."""
    return _named("policy", "shop/model-api")(function)


def _path(kind: str, given: str) -> str:
    namespace, _, name = given.partition("/")
    return f"/{kind}/{urllib.parse.quote(namespace, safe='')}/{urllib.parse.quote(name, safe='')}"


def _named(argument: str, example: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def check(ctx: click.Context, parameter: click.Parameter, value: str) -> str:
        namespace, slash, name = value.partition("/")
        if not (namespace and slash and name) or "/" in name:
            message = f"{value!r} is not NAMESPACE/NAME, such as {example}"
            raise click.BadParameter(message, ctx, parameter)
        return value

    return click.argument(argument, metavar="NAMESPACE/NAME", callback=check)
