"""The samples, and how one of them becomes what this machine needs.

Only what cannot be otherwise here is changed: ports, the Redis, where the backend is, and the times
of a sale, which move so that it starts when the demo wants it. All else stays as it was written,
comments included, so that what is seen is what the sample does.
"""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from controlplane.local.demo.place import TIMEOUT, Place, moment
from controlplane.local.errors import LocalError
from controlplane.local.ports import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Iterator

_BETWEEN: Final = re.compile(r"^---[ \t]*\n", re.MULTILINE)
_HEAD: Final = re.compile(r"\A(?:#[^\n]*\n)+")
_COMMENT: Final = re.compile(r"[ \t]+#[^\n]*")
_EACH: Final = "*"
_EDGE: Final = {"name": "edge", "namespace": "shop"}
_SAYS: Final = """\
# The sample {name}, with the ports, the Redis and the times that this machine needs.
# Edit it while the demo runs: each change is in force a moment after it is saved.
"""


def names() -> list[str]:
    """List the samples."""
    return sorted(path.name for path in folder().iterdir() if path.is_dir())


def read(name: str) -> str:
    """Read a sample, all its files in one text. LocalError when it cannot be read."""
    path = folder() / name
    # What is for any place comes first, then what is for this one only.
    files = sorted(path.rglob("*.yaml"), key=lambda file: (len(file.parts), file))
    if not files:
        raise LocalError(f"the sample {path} cannot be read: there is none")
    try:
        texts = [file.read_text(encoding="utf-8") for file in files]
    except OSError as error:
        raise LocalError(f"the sample {path} cannot be read: {error.strerror}") from error
    # The head of each file tells of that file; here they are one.
    return "---\n".join(_HEAD.sub("", text, count=1) for text in texts)


def folder() -> Path:
    """Find the samples: in the package when installed from a wheel, else in the checkout."""
    package = Path(__file__).resolve().parents[2]
    packaged = package / "samples"
    return packaged if packaged.is_dir() else package.parent / "manifests" / "samples"


def adapt(name: str, text: str, place: Place, start: datetime) -> str:
    """Give a sample's text as this machine needs it, with sales that start then."""
    documents = _BETWEEN.split(text)
    kinds = {document["kind"] for document in map(yaml.safe_load, documents)}
    own = "EdgeConfig" in kinds
    adapted = [_adapted(document, place, start, own=own) for document in documents]
    if not own:
        adapted.insert(0, _dump(_edge_config({}, place)))
    return _SAYS.format(name=name) + "---\n".join(adapted)


def _adapted(text: str, place: Place, start: datetime, *, own: bool) -> str:
    document = yaml.safe_load(text)
    match document["kind"]:
        case "EdgeConfig":
            return _dump(_edge_config(document, place))
        case "GatewayClass" if not own:
            reference = {"group": "sluice.dev", "kind": "EdgeConfig", **_EDGE}
            return _dump({**document, "spec": {**document["spec"], "parametersRef": reference}})
        case "Gateway":
            return _replaced(text, {("spec", "listeners", _EACH, "port"): str(place.port)})
        case "EndpointSlice":
            backend = {
                ("ports", _EACH, "port"): str(place.shop),
                ("endpoints", _EACH, "addresses", _EACH): LOOPBACK,
            }
            return _replaced(text, backend)
        case "FlashSale":
            return _replaced(text, _times(document["spec"]["schedule"], start))
    return text


def _edge_config(document: dict[str, Any], place: Place) -> dict[str, Any]:
    """Keep what is asked of proxies; Redis is here, without TLS or users, and so are filters."""
    spec = {key: value for key, value in document.get("spec", {}).items() if key != "filters"}
    return {
        "apiVersion": "sluice.dev/v1alpha1",
        "kind": "EdgeConfig",
        "metadata": document.get("metadata", _EDGE),
        "spec": {
            **spec,
            "redis": {"address": place.redis, "timeout": TIMEOUT},
            "proxy": {**spec.get("proxy", {}), "workers": place.workers},
        },
    }


def _times(schedule: dict[str, str], start: datetime) -> dict[tuple[str, ...], str]:
    """Move the schedule; what has an end lasts as long as before."""
    times: dict[tuple[str, ...], str] = {("spec", "schedule", "startTime"): f'"{moment(start)}"'}
    if "endTime" in schedule:
        first, last = (datetime.fromisoformat(schedule[key]) for key in ("startTime", "endTime"))
        times["spec", "schedule", "endTime"] = f'"{moment(start + (last - first))}"'
    return times


def _replaced(text: str, values: dict[tuple[str, ...], str]) -> str:
    """Give a document's text with other scalars; a comment behind one goes with the old value."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    found = [
        (node.start_mark.index, node.end_mark.index, value)
        for path, value in values.items()
        for node in _nodes(root, path)
    ]
    for start, end, value in sorted(found, reverse=True):
        comment = _COMMENT.match(text, end)
        text = text[:start] + value + text[comment.end() if comment else end :]
    return text


def _nodes(node: yaml.Node | None, path: tuple[str, ...]) -> Iterator[yaml.Node]:
    """Find the scalars at a path; `*` stands for each item of a list."""
    if not path:
        if isinstance(node, yaml.ScalarNode):
            yield node
        return
    if isinstance(node, yaml.SequenceNode) and path[0] == _EACH:
        for item in node.value:
            yield from _nodes(item, path[1:])
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == path[0]:
                yield from _nodes(value, path[1:])


def _dump(document: dict[str, Any]) -> str:
    return str(yaml.safe_dump(document, sort_keys=False))
