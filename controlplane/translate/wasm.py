"""The Wasm filters as Envoy extensions: code by content hash, parameters as JSON.

Parameters go into extension discovery and nowhere else, so that an edited sale is one small
resource and no listener ever drains for it.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from envoy_data_plane.envoy.config.core.v3 import (
    AsyncDataSource,
    BackoffStrategy,
    DataSource,
    HttpUri,
    RemoteDataSource,
    RetryPolicy,
    TypedExtensionConfig,
)
from envoy_data_plane.envoy.extensions.filters.http.wasm.v3 import Wasm
from envoy_data_plane.envoy.extensions.wasm.v3 import (
    EnvironmentVariables,
    FailurePolicy,
    PluginConfig,
    VmConfig,
)
from envoy_data_plane.google.protobuf import StringValue

from controlplane.translate import names
from controlplane.translate.wire import pack

if TYPE_CHECKING:
    from controlplane.translate.options import Code

_RUNTIME = "envoy.wasm.runtime.v8"
_FETCH_TIMEOUT = timedelta(seconds=10)
_FETCH_RETRIES = 10
_FETCH_BACKOFF = BackoffStrategy(
    base_interval=timedelta(seconds=1), max_interval=timedelta(seconds=30)
)


def extension(
    name: str,
    code: Code,
    *,
    parameters: str = "",
    environment: tuple[str, ...] = (),
    opening: bool = False,
) -> TypedExtensionConfig:
    """A filter for extension discovery.

    `environment` names the variables of the proxy's own environment that the filter may read:
    that is how a password reaches it without standing in any config dump. `opening` is for a proxy
    that has just started, and whose listeners wait for code that it has to fetch.
    """
    variables = EnvironmentVariables(host_env_keys=list(environment)) if environment else None
    plugin = PluginConfig(
        name=name,
        root_id=name,
        vm_config=VmConfig(
            vm_id=name,
            runtime=_RUNTIME,
            code=_source(code),
            environment_variables=variables,
            # Else Envoy takes code that it does not have yet for good, and runs no filter.
            nack_on_code_cache_miss=bool(code.uri) and not opening,
        ),
        configuration=pack(StringValue(value=parameters)) if parameters else None,
        failure_policy=FailurePolicy.FAIL_RELOAD,
    )
    return TypedExtensionConfig(name=name, typed_config=pack(Wasm(config=plugin)))


def _source(code: Code) -> AsyncDataSource:
    if code.path:
        return AsyncDataSource(local=DataSource(filename=code.path))
    return AsyncDataSource(
        remote=RemoteDataSource(
            http_uri=HttpUri(uri=code.uri, cluster=names.WEB_CLUSTER, timeout=_FETCH_TIMEOUT),
            sha256=code.sha256,
            retry_policy=RetryPolicy(num_retries=_FETCH_RETRIES, retry_back_off=_FETCH_BACKOFF),
        )
    )
