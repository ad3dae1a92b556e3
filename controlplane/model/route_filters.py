"""Filters of an HTTPRoute: changes to requests and responses on their way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from controlplane.model.meta import Model
from controlplane.model.rules import Broken, demand
from controlplane.model.scalars import (
    URL_PATH,
    HeaderName,
    HeaderValue,
    Port,
    PreciseHostname,
    Unsupported,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

FilterType = Literal[
    "RequestHeaderModifier",
    "ResponseHeaderModifier",
    "RequestMirror",
    "RequestRedirect",
    "URLRewrite",
    "ExtensionRef",
    "CORS",
    "ExternalAuth",
]
_FIELDS: Final[dict[FilterType, str]] = {
    "RequestHeaderModifier": "requestHeaderModifier",
    "ResponseHeaderModifier": "responseHeaderModifier",
    "RequestMirror": "requestMirror",
    "RequestRedirect": "requestRedirect",
    "URLRewrite": "urlRewrite",
    "ExtensionRef": "extensionRef",
    "CORS": "cors",
    "ExternalAuth": "externalAuth",
}
SUPPORTED_FILTERS: Final[frozenset[FilterType]] = frozenset(
    {"RequestHeaderModifier", "ResponseHeaderModifier", "RequestRedirect", "URLRewrite"}
)
_REPEATABLE: Final[frozenset[FilterType]] = frozenset({"RequestMirror", "ExtensionRef"})

PathText = Annotated[str, Field(max_length=1024, pattern=URL_PATH)]


class HTTPHeader(Model):
    """A header and its value."""

    name: HeaderName = Field(description="Name, in any case.")
    value: HeaderValue = Field(description="Value.")


class HeaderModifier(Model):
    """Headers to set, add and remove."""

    set: tuple[HTTPHeader, ...] = Field((), max_length=16, description="Replace the values.")
    add: tuple[HTTPHeader, ...] = Field((), max_length=16, description="Append to the values.")
    remove: tuple[HeaderName, ...] = Field((), max_length=16, description="Take away.")


class PathModifier(Model):
    """A new path."""

    type: Literal["ReplaceFullPath", "ReplacePrefixMatch"] = Field(description="How much of it.")
    replace_full_path: PathText | None = Field(None, description="The whole new path.")
    replace_prefix_match: PathText | None = Field(
        None, description="What stands in place of the matched prefix."
    )

    @model_validator(mode="after")
    def _given(self) -> Self:
        full, prefix = self.replace_full_path, self.replace_prefix_match
        if self.type == "ReplaceFullPath":
            demand(_exactly("replaceFullPath", full, "replacePrefixMatch", prefix, self.type))
        else:
            demand(_exactly("replacePrefixMatch", prefix, "replaceFullPath", full, self.type))
        return self


def _exactly(
    wanted: str, value: str | None, other: str, other_value: str | None, kind: str
) -> list[Broken]:
    broken: list[Broken] = []
    if value is None:
        broken.append(((wanted,), f"is required with type {kind}"))
    if other_value is not None:
        broken.append(((other,), f"cannot be given with type {kind}: remove it"))
    return broken


class RequestRedirect(Model):
    """Send the client elsewhere."""

    scheme: Literal["http", "https"] | None = Field(None, description="New scheme.")
    hostname: PreciseHostname | None = Field(None, description="New host.")
    path: PathModifier | None = Field(None, description="New path.")
    port: Port | None = Field(None, description="New port.")
    status_code: Literal[301, 302, 303, 307, 308] = Field(302, description="Status of the answer.")


class URLRewrite(Model):
    """Change what the backend gets to see of the URL."""

    hostname: PreciseHostname | None = Field(None, description="New Host header.")
    path: PathModifier | None = Field(None, description="New path.")


class HTTPRouteFilter(Model):
    """One change; the field that belongs to `type` is given, and no other."""

    type: FilterType = Field(description="Which change.")
    request_header_modifier: HeaderModifier | None = Field(
        None, description="Headers on the way to the backend."
    )
    response_header_modifier: HeaderModifier | None = Field(
        None, description="Headers on the way to the client."
    )
    request_redirect: RequestRedirect | None = Field(None, description="Send elsewhere.")
    url_rewrite: URLRewrite | None = Field(None, description="Change the URL.")
    request_mirror: Unsupported = Field(None, description="Copy requests.")
    extension_ref: Unsupported = Field(None, description="Filters of other implementations.")
    cors: Unsupported = Field(None, description="Cross-origin rules.")
    external_auth: Unsupported = Field(None, description="Ask a service.")

    @model_validator(mode="after")
    def _matches_type(self) -> Self:
        broken: list[Broken] = []
        values = {
            field.validation_alias: getattr(self, name)
            for name, field in type(self).model_fields.items()
        }
        for kind, field in _FIELDS.items():
            given = values[field] is not None
            if given and kind != self.type:
                broken.append(((field,), f"cannot be given with type {self.type}: remove it"))
            elif not given and kind == self.type:
                broken.append(((field,), f"is required with type {self.type}"))
        demand(broken)
        return self

    @property
    def is_supported(self) -> bool:
        """Whether Sluice acts on it."""
        return self.type in SUPPORTED_FILTERS

    @property
    def replaces_prefix(self) -> bool:
        """Whether it needs to know which prefix was matched."""
        changed = self.request_redirect or self.url_rewrite
        path = changed.path if changed is not None else None
        return path is not None and path.type == "ReplacePrefixMatch"


def filter_conflicts(filters: Iterable[HTTPRouteFilter]) -> list[Broken]:
    """Filters that Gateway API does not allow together."""
    broken: list[Broken] = []
    seen: set[FilterType] = set()
    for index, item in enumerate(filters):
        if item.type in seen and item.type not in _REPEATABLE:
            broken.append((("filters", index), f"a second {item.type} is not allowed"))
        seen.add(item.type)
        if {"RequestRedirect", "URLRewrite"} <= seen and item.type in {
            "RequestRedirect",
            "URLRewrite",
        }:
            message = "RequestRedirect and URLRewrite cannot stand together: remove one"
            broken.append((("filters", index), message))
    return broken
