"""GatewayClass and Gateway of Gateway API v1: the edge's listeners.

Fields that the standard allows and Sluice does not act on are kept as `Unsupported`, so that
they can be reported on the object instead of being called a typo.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal, Self

from pydantic import Field, model_validator

from controlplane.model.meta import Model, Resource
from controlplane.model.rules import Broken, demand
from controlplane.model.scalars import (
    CONTROLLER,
    PROTOCOL,
    Annotations,
    Group,
    Hostname,
    Kind,
    Labels,
    Name,
    Namespace,
    Port,
    SectionName,
    Unsupported,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

GATEWAY_API: Final = "gateway.networking.k8s.io"
CONTROLLER_NAME: Final = "sluice.dev/controller"
"""`GatewayClass.spec.controllerName` of the classes that are ours."""

GatewayApiVersion = Literal["gateway.networking.k8s.io/v1", "gateway.networking.k8s.io/v1beta1"]
GATEWAY_API_VERSIONS: Final = (f"{GATEWAY_API}/v1", f"{GATEWAY_API}/v1beta1")
HTTP_PROTOCOLS: Final = frozenset({"HTTP", "HTTPS"})
_PLAIN: Final = frozenset({"HTTP", "TCP", "UDP"})


class ParametersReference(Model):
    """An object with settings, such as an EdgeConfig."""

    group: Group = Field(description="Group, `sluice.dev`.")
    kind: Kind = Field(description="Kind, `EdgeConfig`.")
    name: Name = Field(description="Name.")
    namespace: Namespace | None = Field(None, description="Namespace; without it `default`.")


class LocalParametersReference(Model):
    """An object with settings in the same namespace."""

    group: Group = Field(description="Group, `sluice.dev`.")
    kind: Kind = Field(description="Kind, `EdgeConfig`.")
    name: Name = Field(description="Name.")


class GatewayClassSpec(Model):
    """Whose gateways these are."""

    controller_name: str = Field(
        min_length=1,
        max_length=253,
        pattern=CONTROLLER,
        description="`sluice.dev/controller`; classes of other controllers are left alone.",
    )
    parameters_ref: ParametersReference | None = Field(
        None, description="An EdgeConfig; without it, defaults that work on one machine."
    )
    description: str = Field("", max_length=64, description="For people.")


class GatewayClass(Resource):
    """A class of gateways that share an EdgeConfig."""

    API_VERSIONS: ClassVar[tuple[str, ...]] = GATEWAY_API_VERSIONS
    NAMESPACED: ClassVar[bool] = False

    api_version: GatewayApiVersion = Field(
        "gateway.networking.k8s.io/v1", description="Group and version."
    )
    kind: Literal["GatewayClass"] = Field("GatewayClass", description="The kind.")
    spec: GatewayClassSpec = Field(description="What the operator wants.")


class LabelRequirement(Model):
    """One line of a label selector."""

    key: str = Field(min_length=1, max_length=317, description="Label.")
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"] = Field(description="Comparison.")
    values: tuple[str, ...] = Field((), max_length=256, description="Values to compare with.")

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether the labels fulfil this line, as Kubernetes reads it."""
        if self.operator == "Exists":
            return self.key in labels
        if self.operator == "DoesNotExist":
            return self.key not in labels
        found = labels.get(self.key) in self.values and self.key in labels
        return found if self.operator == "In" else not found


class LabelSelector(Model):
    """A choice of objects by label; an empty one chooses all."""

    match_labels: Labels = Field(default_factory=dict, description="Labels that must be equal.")
    match_expressions: tuple[LabelRequirement, ...] = Field(
        (), max_length=64, description="Further requirements."
    )

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether all requirements hold."""
        equal = all(labels.get(key) == value for key, value in self.match_labels.items())
        return equal and all(line.matches(labels) for line in self.match_expressions)


class RouteNamespaces(Model):
    """From which namespaces routes may attach."""

    from_: Literal["All", "Same", "Selector", "None"] = Field(
        "Same",
        validation_alias="from",
        serialization_alias="from",
        description="`Same` as the gateway, `All`, or by `Selector`.",
    )
    selector: LabelSelector | None = Field(None, description="Labels of the namespaces.")


class RouteGroupKind(Model):
    """A kind of route."""

    group: Group = Field(GATEWAY_API, description="Group.")
    kind: Kind = Field(description="Kind.")

    def as_json(self) -> dict[str, str]:
        """Write the kind as a status lists it."""
        return {"group": self.group, "kind": self.kind}


class AllowedRoutes(Model):
    """Which routes may attach to a listener."""

    namespaces: RouteNamespaces = Field(
        default_factory=RouteNamespaces, description="From which namespaces."
    )
    kinds: tuple[RouteGroupKind, ...] = Field(
        (), max_length=8, description="Of which kinds; only HTTPRoute is served."
    )


class SecretReference(Model):
    """A Secret with a certificate."""

    group: Group = Field("", description="Group, empty.")
    kind: Kind = Field("Secret", description="Kind.")
    name: Name = Field(description="Name of the Secret, of type kubernetes.io/tls.")
    namespace: Namespace | None = Field(None, description="Namespace; without it the gateway's.")


class ListenerTls(Model):
    """The certificate of a listener."""

    mode: Literal["Terminate", "Passthrough"] = Field(
        "Terminate", description="Only `Terminate` is served."
    )
    certificate_refs: tuple[SecretReference, ...] = Field(
        (), max_length=64, description="Secrets with the certificates."
    )
    options: Unsupported = Field(None, description="Options of other implementations.")
    frontend_validation: Unsupported = Field(None, description="Client certificates.")


class Listener(Model):
    """A port that is served, for one host name or for all."""

    name: SectionName = Field(description="Name, unique in the gateway.")
    hostname: Hostname | None = Field(None, description="Host served; without it, every host.")
    port: Port = Field(description="Port to listen on.")
    protocol: Annotated[str, Field(min_length=1, max_length=255, pattern=PROTOCOL)] = Field(
        description="`HTTP` or `HTTPS`; others are legal, and reported as unsupported."
    )
    tls: ListenerTls | None = Field(None, description="Certificate; for HTTPS only.")
    allowed_routes: AllowedRoutes = Field(
        default_factory=AllowedRoutes, description="Which routes may attach."
    )

    @property
    def speaks(self) -> str:
        """The protocol; Gateway API tells its own apart in any case: `http` is `HTTP`."""
        return self.protocol.upper()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.tls is not None and self.speaks in _PLAIN:
            message = f"cannot be given with protocol {self.protocol}: use HTTPS, or remove it"
            demand([(("tls",), message)])
        if self.speaks == "HTTPS" and self._has_no_certificate():
            demand([(("tls",), "needs certificateRefs with protocol HTTPS")])
        return self

    def _has_no_certificate(self) -> bool:
        tls = self.tls
        if tls is None:
            return True
        return tls.mode == "Terminate" and not tls.certificate_refs and tls.options is None


class Infrastructure(Model):
    """Settings of one gateway."""

    labels: Labels = Field(default_factory=dict, description="Labels for what is made.")
    annotations: Annotations = Field(default_factory=dict, description="Annotations, likewise.")
    parameters_ref: LocalParametersReference | None = Field(
        None, description="An EdgeConfig that replaces the one of the class."
    )


class GatewaySpec(Model):
    """What the edge listens on."""

    gateway_class_name: Name = Field(description="Name of the GatewayClass.")
    listeners: tuple[Listener, ...] = Field(
        min_length=1, max_length=64, description="Ports that are served."
    )
    infrastructure: Infrastructure | None = Field(None, description="Settings of this gateway.")
    addresses: Unsupported = Field(None, description="Addresses to ask for.")
    allowed_listeners: Unsupported = Field(None, description="Listeners of other objects.")
    backend_tls: Unsupported = Field(
        None,
        validation_alias="backendTLS",
        serialization_alias="backendTLS",
        description="Client certificate towards backends.",
    )
    tls: Unsupported = Field(None, description="TLS settings of the whole gateway.")
    default_scope: Unsupported = Field(None, description="Whether it is a default gateway.")

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        demand(self._broken())
        return self

    def _broken(self) -> list[Broken]:
        broken: list[Broken] = []
        names: set[str] = set()
        places: dict[tuple[int, str, str | None], str] = {}
        for index, listener in enumerate(self.listeners):
            if listener.name in names:
                broken.append((("listeners", index, "name"), f"{listener.name} is used twice"))
            names.add(listener.name)
            place = (listener.port, listener.protocol, listener.hostname)
            if place in places:
                message = f"has the port, protocol and hostname of {places[place]}: change one"
                broken.append((("listeners", index), message))
            places.setdefault(place, listener.name)
        return broken


class Gateway(Resource):
    """An edge: one configuration, served to every proxy that names it."""

    API_VERSIONS: ClassVar[tuple[str, ...]] = GATEWAY_API_VERSIONS

    api_version: GatewayApiVersion = Field(
        "gateway.networking.k8s.io/v1", description="Group and version."
    )
    kind: Literal["Gateway"] = Field("Gateway", description="The kind.")
    spec: GatewaySpec = Field(description="What the operator wants.")

    @property
    def key(self) -> str:
        """Name of the gateway to proxies (`node.cluster`): `shop/edge`."""
        return f"{self.namespace}/{self.name}"
