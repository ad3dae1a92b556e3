"""From a document (a mapping, however it was read) to a resource, or to all that is wrong.

Documents that are simply not for Sluice (a Deployment in the same folder) are told apart from
mistakes: a misspelled kind of a group that we do read is an error, another group is a warning.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, NoReturn

from pydantic import ValidationError

from controlplane.model.kinds import KINDS
from controlplane.model.meta import CLUSTER_SCOPE, ObjectRef
from controlplane.model.problems import Invalid, Location, Problem
from controlplane.model.wording import explain, listing, show_path, suggest

if TYPE_CHECKING:
    from controlplane.model.meta import Resource
    from controlplane.model.problems import Severity, Step

OWN_GROUP: Final = "sluice.dev"
_FOREIGN_KINDS: Final[Mapping[str, frozenset[str]]] = {
    "": frozenset(
        {
            "ConfigMap", "Endpoints", "Event", "LimitRange", "Node",
            "PersistentVolume", "PersistentVolumeClaim", "Pod", "PodTemplate",
            "ReplicationController", "ResourceQuota", "ServiceAccount",
        }
    ),
    "gateway.networking.k8s.io": frozenset(
        {
            "BackendTLSPolicy", "GRPCRoute", "ListenerSet", "TCPRoute",
            "TLSRoute", "UDPRoute",
        }
    ),
}  # fmt: skip
"""Groups that we read from, and their kinds that mean nothing to us."""
_ROUNDS: Final = 8
"""How often fields are left out and the rest tried again; a second look finds more only rarely."""
_SAME_VERSION: Final = 0.85
"""How alike a version must be to count as misspelled: Istio has a kind Gateway too."""


def parse(document: Mapping[str, Any], *, source: Location | None = None) -> Resource:
    """Make a resource; `Invalid` carries every problem of the document, not only the first."""
    location = source or Location()
    model = _model(document, location)
    try:
        return model.model_validate(document, by_alias=True, by_name=False)
    except ValidationError as error:
        raise Invalid(_problems(model, document, error, location)) from None


def parse_served(document: Mapping[str, Any]) -> tuple[Resource, tuple[Problem, ...]]:
    """Make a resource of what an API server gave, which has checked the names of fields already.

    A field that we do not know belongs to a newer version of the kind. In core kinds it is read
    past; in kinds of Gateway API too, but told as a warning. Our own kinds stay strict: whoever
    writes a newer field of a sale means it, and the last good version stays in force. Problems
    that come with a resource are warnings; `Invalid` carries all others.
    """
    model = _model(document, Location())
    pruned = document
    read_past: set[tuple[Step, ...]] = set()
    for _ in range(_ROUNDS):
        try:
            resource = model.model_validate(pruned, by_alias=True, by_name=False)
        except ValidationError as error:
            unknown = set(_unknown_fields(model, error))
            if not unknown:
                raise Invalid(_problems(model, document, error, Location())) from None
            read_past |= unknown
            pruned = _without(document, read_past)
        else:
            return resource, tuple(_read_past(resource, sorted(map(show_path, read_past))))
    return parse(pruned), ()


def _unknown_fields(model: type[Resource], error: ValidationError) -> Iterable[tuple[Step, ...]]:
    strict = _group(model.API_VERSIONS[0]) == OWN_GROUP
    for found in error.errors(include_url=False, include_input=False, include_context=False):
        path = found["loc"]
        if found["type"] == "extra_forbidden" and not (strict and path[0] != "metadata"):
            yield path


def _without(value: Any, paths: Iterable[tuple[Step, ...]]) -> Any:
    """Copy a document without some fields."""
    gone = {path[0] for path in paths if len(path) == 1}
    inside: dict[Step, list[tuple[Step, ...]]] = {}
    for path in paths:
        if len(path) > 1:
            inside.setdefault(path[0], []).append(path[1:])
    if isinstance(value, Mapping):
        return {
            key: _without(item, inside[key]) if key in inside else item
            for key, item in value.items()
            if key not in gone
        }
    if isinstance(value, list):
        return [
            _without(item, inside[index]) if index in inside else item
            for index, item in enumerate(value)
        ]
    return value


def _read_past(resource: Resource, fields: Iterable[str]) -> Iterable[Problem]:
    if _group(resource.API_VERSIONS[0]) != "gateway.networking.k8s.io":
        return
    for field in fields:
        message = "is not known to this version of Sluice: it has no effect"
        yield Problem(resource.ref, message, "NoEffect", field=field, severity="warning")


def identify(document: object) -> ObjectRef | None:
    """Which object a document is about, as far as that can be told from a broken one."""
    if not isinstance(document, Mapping):
        return None
    kind, metadata = document.get("kind"), document.get("metadata")
    if not isinstance(kind, str) or not isinstance(metadata, Mapping):
        return None
    name, namespace = metadata.get("name"), metadata.get("namespace")
    if not isinstance(name, str) or not name:
        return None
    model = KINDS.get(kind)
    if model is not None and not model.NAMESPACED and namespace is None:
        return ObjectRef(kind, CLUSTER_SCOPE, name)
    return ObjectRef(kind, namespace if isinstance(namespace, str) else "default", name)


def _problems(
    model: type[Resource], document: Mapping[str, Any], error: ValidationError, location: Location
) -> Iterable[Problem]:
    ref = identify(document)
    complaints = explain(model, error.errors(include_url=False), sensitive=model.SENSITIVE)
    found = [
        Problem(
            ref,
            complaint.message if ref else f"{complaint.message} (in a {model.__name__})",
            field=show_path(complaint.path),
            file=location.file,
            line=location.line(complaint.path),
        )
        for complaint in complaints
    ]
    return sorted(found, key=lambda problem: problem.line)


def _model(document: Mapping[str, Any], location: Location) -> type[Resource]:
    """The class of the document's kind, or why there is none."""
    if not isinstance(document, Mapping):
        _refuse(document, location, (), "must be a mapping with apiVersion, kind and metadata")
    for key in ("apiVersion", "kind"):
        value = document.get(key)
        if value is None or value == "":
            _refuse(document, location, (key,), "is required")
        if not isinstance(value, str):
            _refuse(document, location, (key,), "must be text")
    version, kind = document["apiVersion"], document["kind"]
    model = KINDS.get(kind)
    if model is not None and version in model.API_VERSIONS:
        return model
    return _not_ours(document, location, version, kind)


def _not_ours(document: Mapping[str, Any], location: Location, version: str, kind: str) -> NoReturn:
    mistake = _mistake(version, kind)
    if mistake is not None:
        key, message = mistake
        _refuse(document, location, (key,), message)
    message = f"{version} {kind} means nothing to Sluice: skipped"
    _refuse(document, location, (), message, reason="Skipped", severity="warning")


def _mistake(version: str, kind: str) -> tuple[str, str] | None:
    """The field to change when a document was meant for us, and what is wrong with it."""
    group, model = _group(version), KINDS.get(kind)
    if model is not None:
        known = model.API_VERSIONS
        ours = {_group(item) for item in known}
        if ours & {group, OWN_GROUP} or suggest(version, known, alike=_SAME_VERSION):
            return "apiVersion", f"must be {known[0]} for kind {kind}, not {version}"
        return None
    if kind in _FOREIGN_KINDS.get(group, ()):
        return None
    here = [name for name, cls in KINDS.items() if group in map(_group, cls.API_VERSIONS)]
    near = suggest(kind, here)
    if near is not None:
        return "kind", f"{version} has no kind {kind}: did you mean {near}?"
    if group == OWN_GROUP:
        return "kind", f"{version} has no kind {kind}: known are {listing(sorted(here))}"
    return None


def _group(version: str) -> str:
    return version.rpartition("/")[0]


def _refuse(
    document: object,
    location: Location,
    path: tuple[Step, ...],
    message: str,
    *,
    reason: str = "Invalid",
    severity: Severity = "error",
) -> NoReturn:
    problem = Problem(
        identify(document),
        message,
        reason=reason,
        field=show_path(path),
        file=location.file,
        line=location.line(path),
        severity=severity,
    )
    raise Invalid([problem])
