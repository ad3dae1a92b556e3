"""EdgeConfig: the settings of a gateway class.

Every field has a default that works on one machine, so that a first try needs none of them.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from controlplane.model.durations import Duration
from controlplane.model.meta import Model, Resource
from controlplane.model.rules import Broken, Rule, demand
from controlplane.model.scalars import ADDRESS, ENVIRONMENT_VARIABLE, PRINTABLE, PreciseHostname

FilePath = Annotated[str, Field(min_length=1, max_length=4096, pattern=PRINTABLE)]


class RedisTls(Model):
    """How the server of Redis is checked; `{}` checks it against the system's authorities."""

    server_name: PreciseHostname | None = Field(
        None, description="Name in the server's certificate; without it the host of `address`."
    )
    ca_file: FilePath | None = Field(
        None,
        description="File with the authorities to trust, on the machines of proxies and control "
        "plane; without it those of the system.",
    )
    insecure_skip_verify: bool = Field(
        default=False, description="Do not check the certificate at all. For trials only."
    )


class RedisSettings(Model):
    """Where the books are kept, seen from the proxies and from the control plane alike."""

    address: Annotated[str, Field(max_length=260, pattern=ADDRESS)] = Field(
        "127.0.0.1:6379", description="Host and port; IPv6 in brackets."
    )
    database: int = Field(
        0, ge=0, le=65535, description="Number of the database; only 0 with `via: Proxy`."
    )
    tls: RedisTls | None = Field(None, description="Speak TLS; without it, plain TCP.")
    username: Annotated[str, Field(max_length=256, pattern=PRINTABLE)] = Field(
        "", description="User of Redis's access lists; empty for the default user."
    )
    password_env: Annotated[
        str, Field(min_length=1, max_length=128, pattern=ENVIRONMENT_VARIABLE)
    ] = Field(
        "SLUICE_REDIS_PASSWORD",
        description="Variable of the environment of proxies and control plane that holds the "
        "password, so that no configuration shows it. Not set: no password.",
    )
    via: Literal["Direct", "Proxy"] = Field(
        "Direct",
        description="`Direct` to one server, or through Envoy's own `Proxy` to a Redis Cluster.",
    )
    timeout: Annotated[Duration, Field(ge=timedelta(milliseconds=1), le=timedelta(seconds=10))] = (
        Field(
            timedelta(milliseconds=100),
            description="Deadline of one decision; then the request is answered without Redis.",
        )
    )

    PORT: ClassVar = Rule(
        "must end in a port between 1 and 65535",
        "!self.address.matches(':[0-9]{1,5}$')"
        " || (int(self.address.substring(self.address.lastIndexOf(':') + 1)) >= 1"
        " && int(self.address.substring(self.address.lastIndexOf(':') + 1)) <= 65535)",
        "address",
    )
    ONLY_ZERO: ClassVar = Rule(
        "cannot be chosen with via Proxy, which knows only 0: remove it",
        "self.via != 'Proxy' || self.database == 0",
        "database",
    )

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        broken: list[Broken] = []
        if not 1 <= self.port <= 65535:  # noqa: PLR2004 the range of TCP ports
            broken.append(self.PORT.broken())
        if self.via == "Proxy" and self.database:
            # Envoy's Redis proxy would take every command to database 0, and say nothing.
            broken.append(self.ONLY_ZERO.broken())
        demand(broken)
        return self

    @property
    def host(self) -> str:
        """Host of the address, without the brackets of IPv6."""
        return self.address.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """Port of the address."""
        return int(self.address.rpartition(":")[2])


class FilterSettings(Model):
    """Where proxies get the Wasm code from."""

    source: Literal["Local", "Remote"] = Field(
        "Local",
        description="`Local`: files on the proxy's machine, named by their hash. `Remote`: from "
        "the control plane, checked by hash.",
    )
    directory: FilePath | None = Field(
        None,
        description="Folder of the files when `Local`; without it the one that the control plane "
        "was started with.",
    )

    LOCAL: ClassVar = Rule(
        "applies only to source Local: remove it",
        "self.source != 'Remote' || !has(self.directory)",
        "directory",
        "Forbidden",
    )

    @model_validator(mode="after")
    def _local_only(self) -> Self:
        if self.source == "Remote" and self.directory is not None:
            demand([self.LOCAL.broken()])
        return self


class ProxySettings(Model):
    """Limits of each proxy. All but `trustedHops` are in its bootstrap: changes need a restart."""

    workers: Annotated[int, Field(ge=1, le=256)] | None = Field(
        None, description="Worker threads, one Wasm VM each; without it one for each CPU."
    )
    max_connections: int = Field(
        50_000, ge=1, le=10_000_000, description="Client connections at most; more are refused."
    )
    max_heap_bytes: int = Field(
        2 * 1024**3,
        ge=64 * 1024**2,
        le=1024**4,
        description="Memory at which the proxy begins to refuse requests.",
    )
    trusted_hops: int = Field(
        0,
        ge=0,
        le=16,
        description="Proxies in front whose X-Forwarded-For is believed; the client's address "
        "is told by it.",
    )


class AccessLog(Model):
    """The log of requests."""

    path: FilePath = Field("/dev/stdout", description="File to append to.")
    format: Literal["Text", "Json"] = Field("Text", description="One line of text, or of JSON.")


class EdgeConfigSpec(Model):
    """Settings of all gateways of a class."""

    redis: RedisSettings = Field(
        default_factory=RedisSettings, description="Where the books are kept."
    )
    filters: FilterSettings = Field(
        default_factory=FilterSettings, description="Where proxies get the Wasm code from."
    )
    proxy: ProxySettings = Field(default_factory=ProxySettings, description="Limits of each proxy.")
    access_log: AccessLog | None = Field(
        None, description="Log every request; `{}` for the defaults. Without it, none."
    )


class EdgeConfig(Resource):
    """Settings of a gateway class, named by `GatewayClass.spec.parametersRef`."""

    API_VERSIONS: ClassVar[tuple[str, ...]] = ("sluice.dev/v1alpha1",)

    api_version: Literal["sluice.dev/v1alpha1"] = Field(
        "sluice.dev/v1alpha1", description="Group and version."
    )
    kind: Literal["EdgeConfig"] = Field("EdgeConfig", description="The kind.")
    spec: EdgeConfigSpec = Field(default_factory=EdgeConfigSpec, description="The settings.")
