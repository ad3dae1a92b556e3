"""Which control plane a command asks, and what the names on its command line mean there.

At an address, or in a cluster by kubeconfig. Where the command runs as kubectl's plug-in, a cluster
is meant unless --server says otherwise; SLUICE_SERVER, which was set for another purpose, does not.
"""

from __future__ import annotations

from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from click.core import ParameterSource

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

    from controlplane.cli.cluster import Cluster

PLUGIN: Final = "kubectl sluice"
DEFAULT_SERVER: Final = "http://127.0.0.1:18080"
IN_A_POD: Final = "http://127.0.0.1:18080"
"""The address for which a pod is asked: the API answers under names of its own host only."""


class Target:
    """A control plane that commands ask."""

    def __init__(self, server: str, cluster: Callable[[], Cluster] | None = None) -> None:
        self.url = server.rstrip("/") if cluster is None else IN_A_POD
        self._make = cluster
        self._made: Cluster | None = None

    @property
    def in_cluster(self) -> bool:
        """Tell whether it is asked through a cluster's API server."""
        return self._make is not None

    @property
    def name(self) -> str:
        """What is asked, for people."""
        return self.url if self._made is None else self._made.name

    @property
    def namespace(self) -> str | None:
        """The namespace that is meant when none is named, if any is."""
        cluster = self._cluster
        return None if cluster is None else cluster.namespace

    def transport(self) -> httpx.BaseTransport | None:
        """Give the way there; none means the usual one."""
        cluster = self._cluster
        if cluster is None:
            return None
        from controlplane.cli.transport import PodTransport  # noqa: PLC0415 - not without a cluster

        return PodTransport(cluster)

    def turn_away(self) -> bool:
        """Turn to another replica, since this one did not answer; tells whether there is one."""
        return self._made is not None and self._made.turn_away()

    def close(self) -> None:
        """End all connections."""
        if self._made is not None:
            self._made.close()
            self._made = None

    @property
    def _cluster(self) -> Cluster | None:
        if self._made is None and self._make is not None:
            self._made = self._make()
        return self._made


def target_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that say which control plane it asks, and that as `target`."""

    @wraps(function)
    def command(*args: Any, **given: Any) -> Any:
        ctx = click.get_current_context()
        names = ("server", "kubeconfig", "context", "control_plane")
        target = chosen(ctx, **{name: given.pop(name) for name in names})
        ctx.call_on_close(target.close)
        return function(*args, target=target, **given)

    options = (
        click.option(
            "--server",
            envvar="SLUICE_SERVER",
            default=DEFAULT_SERVER,
            show_default=f"{DEFAULT_SERVER}, with kubectl a cluster",
            show_envvar=True,
            metavar="URL",
            help="Web address of the control plane.",
        ),
        click.option(
            "--context", metavar="NAME", help="In the cluster of this context of the kubeconfig."
        ),
        click.option(
            "--kubeconfig",
            type=click.Path(path_type=Path),
            show_default="as kubectl finds it",
            help="In the cluster of this kubeconfig.",
        ),
        click.option(
            "--control-plane",
            metavar="NAMESPACE/NAME",
            callback=release,
            help="In a cluster: the chart's release, if there are several.",
        ),
    )
    for option in reversed(options):
        function_with = option(command)
    return function_with


def chosen(
    ctx: click.Context,
    server: str,
    kubeconfig: Path | None,
    context: str | None,
    control_plane: str | None,
) -> Target:
    """Make the target of what was given."""
    source = ctx.get_parameter_source("server")
    in_cluster = bool(kubeconfig or context or control_plane)
    if in_cluster and source is ParameterSource.COMMANDLINE:
        raise click.UsageError(
            "--server is an address, --kubeconfig, --context and --control-plane lead into a "
            "cluster: give one or the other",
            ctx,
        )
    if not in_cluster:
        in_cluster = is_plugin(ctx) and source is not ParameterSource.COMMANDLINE
    if not in_cluster:
        return Target(server)

    def make() -> Cluster:
        from controlplane.cli.cluster import Cluster  # noqa: PLC0415 - it loads Kubernetes' client

        return Cluster(kubeconfig, context, control_plane)

    return Target(server, make)


def is_plugin(ctx: click.Context) -> bool:
    """Tell whether kubectl has called."""
    return ctx.find_root().info_name == PLUGIN


def release(ctx: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Check the name of a release."""
    if value is not None and not all(part and "/" not in part for part in halves(value)):
        raise click.BadParameter(f"{value!r} is not NAMESPACE/NAME", ctx, parameter)
    return value


def namespace_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give the option --namespace of commands that list."""
    return click.option("-n", "--namespace", metavar="NAMESPACE", help="Only of this namespace.")(
        function
    )


def only_of(namespace: str | None, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Keep what is of a namespace, if one was named."""
    return [one for one in found if namespace in {None, one["namespace"]}]


def sale_argument(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give the argument SALE, the name of a sale; below `target_options`."""
    return _named("sale", "shop/laptop", function)


def policy_argument(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give the argument POLICY, the name of a quota policy; below `target_options`."""
    return _named("policy", "shop/model-api", function)


def _named(argument: str, example: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def command(*args: Any, target: Target, namespace: str | None, **given: Any) -> Any:
        given[argument] = qualified(given[argument], namespace, target, example)
        return function(*args, target=target, **given)

    option = click.option(
        "-n",
        "--namespace",
        metavar="NAMESPACE",
        show_default="in a cluster the context's",
        help="Of a NAME that stands alone.",
    )
    return click.argument(argument, metavar="NAMESPACE/NAME")(option(command))


def qualified(given: str, namespace: str | None, target: Target, example: str) -> str:
    """Give NAMESPACE/NAME for what was typed."""
    if given and "/" not in given and (namespace or target.in_cluster):
        return f"{namespace or target.namespace}/{given}"
    left, name = halves(given)
    if not left or not name or "/" in name:
        message = f"{given!r} is not NAMESPACE/NAME, such as {example}"
        raise click.BadParameter(message, click.get_current_context(), param_hint="NAMESPACE/NAME")
    if namespace not in {None, left}:
        raise click.UsageError(f"{given} is not of namespace {namespace}: give one or the other")
    return given


def halves(text: str) -> tuple[str, str]:
    """Split what is before the first slash from what is behind it."""
    before, _, behind = text.partition("/")
    return before, behind
