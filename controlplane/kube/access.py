"""Where the API server is, and who we are to it: from a pod's ServiceAccount or a kubeconfig.

The order is the one that controllers have: what was named, then KUBECONFIG, then the pod we run
in, then ~/.kube/config. The client's own loaders read the files; their defaults are not used,
since those depend on the environment of the first import and may rewrite the user's kubeconfig.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml
from kubernetes.aio.client import Configuration
from kubernetes.aio.config import ConfigException, load_kube_config
from kubernetes.aio.config.incluster_config import InClusterConfigLoader

from controlplane.kube.errors import ConfigurationError, one_line

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

POD: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod finds its token, its namespace and the cluster's CA."""
_DEADLINE: Final = 30.0
"""Seconds for a kubeconfig's credential plug-in to answer."""
_MISREAD: Final = (
    ConfigException,
    OSError,
    yaml.YAMLError,
    # What the loader stumbles over in a file of another shape.
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True, slots=True)
class Access:
    """A client configuration, and where it came from."""

    configuration: Any
    namespace: str
    """The namespace that is meant when none is named."""
    origin: str
    """For people: "the pod's ServiceAccount" or the kubeconfig's path."""
    load: Callable[[], Awaitable[tuple[Any, str]]]

    async def refresh(self) -> None:
        """Read token files and ask plug-ins again, because the server refused what we have.

        Raises:
            ConfigurationError: they cannot be read.
        """
        fresh, _ = await self.load()
        self.configuration.api_key = fresh.api_key
        self.configuration.refresh_api_key_hook = fresh.refresh_api_key_hook


async def find_access(
    kubeconfig: str | Path | None = None,
    context: str | None = None,
    *,
    environ: Mapping[str, str] = os.environ,
    pod: Path = POD,
) -> Access:
    """Find the API server. `kubeconfig` may be several paths, as in KUBECONFIG.

    Raises:
        ConfigurationError: there is nothing to find it by, or it cannot be read.
    """
    named = str(kubeconfig or environ.get("KUBECONFIG") or "")
    if not named and not context and environ.get("KUBERNETES_SERVICE_HOST"):
        origin = "the pod's ServiceAccount"

        async def load() -> tuple[Any, str]:
            return await asyncio.to_thread(_of_pod, environ, pod)
    else:
        paths = named or str(Path.home() / ".kube" / "config")
        origin = f"kubeconfig {paths}" + (f", context {context}" if context else "")

        async def load() -> tuple[Any, str]:
            return await _of_kubeconfig(paths, context, origin)

    configuration, namespace = await load()
    return Access(configuration, namespace, origin, load)


def _of_pod(environ: Mapping[str, str], pod: Path) -> tuple[Any, str]:
    configuration = _empty()
    loader = InClusterConfigLoader(
        token_filename=str(pod / "token"), cert_filename=str(pod / "ca.crt"), environ=environ
    )
    try:
        loader.load_and_set(configuration)
        namespace = (pod / "namespace").read_text().strip()
    except _MISREAD as error:
        raise ConfigurationError(
            f"cannot use the pod's ServiceAccount ({one_line(error)}): "
            "is automountServiceAccountToken off?"
        ) from error
    return configuration, namespace or "default"


async def _of_kubeconfig(paths: str, context: str | None, origin: str) -> tuple[Any, str]:
    if not await asyncio.to_thread(_any_exists, paths):
        raise ConfigurationError(
            f"no kubeconfig at {paths}: name one (--kubeconfig, KUBECONFIG), or run in a pod"
        )
    configuration = _empty()
    try:
        async with asyncio.timeout(_DEADLINE):
            loader = await load_kube_config(
                paths, context, client_configuration=configuration, persist_config=False
            )
        namespace = loader.current_context["context"].get("namespace")
    except TimeoutError as error:
        raise ConfigurationError(
            f"{origin}: its credential plug-in did not answer within {_DEADLINE:g} s"
        ) from error
    except _MISREAD as error:
        raise ConfigurationError(f"{origin} cannot be used: {one_line(error)}") from error
    return configuration, namespace or "default"


def _any_exists(paths: str) -> bool:
    return any(Path(path).expanduser().exists() for path in paths.split(os.pathsep) if path)


def _empty() -> Any:
    configuration = Configuration()
    # As every Go client does: Python 3.13's extra rules refuse the CAs of real clusters, which
    # lack the key identifiers. Chain and host name are verified all the same.
    configuration.disable_strict_ssl_verification = True
    return configuration
