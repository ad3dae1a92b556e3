"""Service, EndpointSlice and Secret: the core kinds that routes and listeners lead to.

They come from real clusters, full of fields that mean nothing to an edge; those are read past.
A Secret's content never shows in a message, a representation or an error.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from controlplane.model.meta import Model, Resource
from controlplane.model.rules import Broken, demand, fail
from controlplane.model.scalars import Labels, Port, PortName, PreciseHostname

if TYPE_CHECKING:
    from collections.abc import Mapping

SERVICE_NAME_LABEL: Final = "kubernetes.io/service-name"
"""Label by which an EndpointSlice names its Service."""
TLS_SECRET: Final = "kubernetes.io/tls"  # noqa: S105 the type of a Secret, not one
MAX_SECRET_BYTES: Final = 1024 * 1024

Protocol = Literal["TCP", "UDP", "SCTP"]


def _target_port(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise fail("must be a port, by number or name")
    if isinstance(value, int) and not 1 <= value <= 65535:  # noqa: PLR2004 the range of TCP ports
        raise fail("must be at least 1 and at most 65535")
    if isinstance(value, str) and not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?", value):
        raise fail("must be a port name: at most 15 lower-case letters, digits and '-'")
    return value


TargetPort = Annotated[int | str, BeforeValidator(_target_port)]


class ServicePort(Model):
    """A port of a Service, and the port of the endpoints behind it."""

    ignored: ClassVar[frozenset[str]] = frozenset({"nodePort"})

    name: PortName = Field("", description="Name; needed when there is more than one port.")
    port: Port = Field(description="Port that routes name.")
    target_port: TargetPort | None = Field(
        None, description="Port of the endpoints, by number or name; without it `port`."
    )
    protocol: Protocol = Field("TCP", description="Only TCP is served.")
    app_protocol: str | None = Field(
        None, max_length=317, description="`kubernetes.io/h2c` for HTTP/2 without TLS."
    )


class ServiceSpec(Model):
    """Where a Service leads."""

    ignored: ClassVar[frozenset[str]] = frozenset(
        {
            "allocateLoadBalancerNodePorts",
            "clusterIPs",
            "externalIPs",
            "externalTrafficPolicy",
            "healthCheckNodePort",
            "internalTrafficPolicy",
            "ipFamilies",
            "ipFamilyPolicy",
            "loadBalancerClass",
            "loadBalancerIP",
            "loadBalancerSourceRanges",
            "publishNotReadyAddresses",
            "sessionAffinity",
            "sessionAffinityConfig",
            "topologyKeys",
            "trafficDistribution",
        }
    )

    type: Literal["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"] = Field(
        "ClusterIP",
        description="`ExternalName` leads to a name in DNS, all others to EndpointSlices.",
    )
    ports: tuple[ServicePort, ...] = Field((), max_length=256, description="Ports.")
    cluster_ip: str | None = Field(
        None,
        validation_alias="clusterIP",
        serialization_alias="clusterIP",
        max_length=64,
        description="Not used; with `None` (a headless Service) there may be no ports.",
    )
    selector: Labels = Field(default_factory=dict, description="Pods behind it; not used here.")
    external_name: PreciseHostname | None = Field(
        None, description="Name in DNS, for type ExternalName."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        demand(self._broken())
        return self

    def _broken(self) -> list[Broken]:
        broken: list[Broken] = []
        if self.type == "ExternalName":
            if self.external_name is None:
                broken.append((("externalName",), "is required with type ExternalName"))
        elif not self.ports and self.cluster_ip != "None":
            broken.append((("ports",), "needs at least one port"))
        names: set[str] = set()
        for index, port in enumerate(self.ports):
            if len(self.ports) > 1 and not port.name:
                broken.append((("ports", index, "name"), "is required with more than one port"))
            elif port.name in names:
                broken.append((("ports", index, "name"), f"{port.name} is used twice"))
            names.add(port.name)
        return broken


class Service(Resource):
    """A backend, by name."""

    API_VERSIONS: ClassVar[tuple[str, ...]] = ("v1",)

    api_version: Literal["v1"] = Field("v1", description="Group and version.")
    kind: Literal["Service"] = Field("Service", description="The kind.")
    spec: ServiceSpec = Field(description="Where it leads.")

    def port(self, number: int) -> ServicePort | None:
        """The port with this number, as a route names it."""
        return next((port for port in self.spec.ports if port.port == number), None)


class EndpointConditions(Model):
    """The state of an endpoint; not told means ready."""

    ready: bool = Field(default=True, description="Takes new requests.")
    serving: bool = Field(default=True, description="Answers.")
    terminating: bool = Field(default=False, description="Is being shut down.")


class Endpoint(Model):
    """One server, by its addresses."""

    ignored: ClassVar[frozenset[str]] = frozenset(
        {"deprecatedTopology", "hints", "hostname", "nodeName", "targetRef"}
    )

    addresses: tuple[Annotated[str, Field(min_length=1, max_length=253)], ...] = Field(
        min_length=1, max_length=100, description="Addresses; they mean the same server."
    )
    conditions: EndpointConditions = Field(
        default_factory=EndpointConditions, description="State; only ready ones get requests."
    )
    zone: str | None = Field(None, max_length=253, description="Zone.")


class EndpointPort(Model):
    """A port of all endpoints of a slice."""

    name: PortName = Field("", description="Name of the port of the Service.")
    port: Port | None = Field(None, description="Port.")
    protocol: Protocol = Field("TCP", description="Only TCP is served.")
    app_protocol: str | None = Field(None, max_length=317, description="Not used.")


class EndpointSlice(Resource):
    """Servers behind a Service, which the label `kubernetes.io/service-name` names."""

    API_VERSIONS: ClassVar[tuple[str, ...]] = ("discovery.k8s.io/v1",)

    api_version: Literal["discovery.k8s.io/v1"] = Field(
        "discovery.k8s.io/v1", description="Group and version."
    )
    kind: Literal["EndpointSlice"] = Field("EndpointSlice", description="The kind.")
    address_type: Literal["IPv4", "IPv6", "FQDN"] = Field(description="Form of the addresses.")
    endpoints: tuple[Endpoint, ...] = Field((), max_length=1000, description="The servers.")
    ports: tuple[EndpointPort, ...] = Field((), max_length=100, description="Their ports.")

    @property
    def service_name(self) -> str | None:
        """Name of the Service, in the namespace of the slice."""
        return self.metadata.labels.get(SERVICE_NAME_LABEL)


def _decoded(value: Any) -> Any:
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise fail("must be text in base64; plain text belongs under stringData")
    try:
        return base64.b64decode("".join(value.split()), validate=True)
    except (binascii.Error, ValueError):
        raise fail("must be base64; plain text belongs under stringData") from None


SecretBytes = Annotated[bytes, BeforeValidator(_decoded), Field(max_length=MAX_SECRET_BYTES)]


class Secret(Resource):
    """A certificate and its key. Other secrets parse, and are not used."""

    API_VERSIONS: ClassVar[tuple[str, ...]] = ("v1",)
    SENSITIVE: ClassVar[bool] = True
    ignored: ClassVar[frozenset[str]] = frozenset({"immutable", "status"})

    api_version: Literal["v1"] = Field("v1", description="Group and version.")
    kind: Literal["Secret"] = Field("Secret", description="The kind.")
    type: str = Field("Opaque", max_length=317, description="`kubernetes.io/tls` for listeners.")
    data: dict[str, SecretBytes] = Field(
        default_factory=dict, repr=False, max_length=1024, description="Values in base64."
    )
    string_data: dict[str, str] = Field(
        default_factory=dict,
        repr=False,
        exclude=True,
        max_length=1024,
        description="Values as plain text; they stand in front of `data`.",
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.type == TLS_SECRET:
            demand(
                (("data", key), f"is required with type {TLS_SECRET}")
                for key in ("tls.crt", "tls.key")
                if not self.values.get(key)
            )
        return self

    @property
    def values(self) -> Mapping[str, bytes]:
        """Content by key, `stringData` merged into `data`."""
        return {**self.data, **{key: text.encode() for key, text in self.string_data.items()}}

    @property
    def certificate(self) -> bytes | None:
        """The certificate chain in PEM (`tls.crt`)."""
        return self.values.get("tls.crt")

    @property
    def private_key(self) -> bytes | None:
        """The private key in PEM (`tls.key`)."""
        return self.values.get("tls.key")
