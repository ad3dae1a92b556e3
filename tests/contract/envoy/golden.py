"""What must not change unnoticed: filter parameters, Envoy resources and reports, in files.

Each case is a file of manifests with what was made of it beside it. After a wanted change, write
them anew and read the difference:

    .venv/bin/python -m tests.contract.envoy.golden
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from controlplane.translate import (
    CodeRef,
    FilterCode,
    Options,
    Translation,
    bootstrap,
    render,
    translate,
)
from controlplane.translate.describe import describe
from controlplane.translate.wire import message_class
from controlplane.xds import kinds
from tests.contract.envoy.proxy import GATEWAY, inventory

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
CASES = HERE / "cases"
PARAMETERS = HERE.parent / "flash-sale"
BOOTSTRAP = HERE.parents[2] / "envoy" / "bootstrap.yaml"
HINT = "if this is wanted: .venv/bin/python -m tests.contract.envoy.golden, and read the diff"

OPTIONS = Options(
    FilterCode(
        flash_sale=CodeRef("f1" * 32, "/opt/sluice/flash-sale.wasm"),
        redis_bridge=CodeRef("b1" * 32, "/opt/sluice/redis-bridge.wasm"),
    ),
    environment=frozenset({"SLUICE_REDIS_PASSWORD"}),
)


def translated(manifests: Path, options: Options = OPTIONS) -> Translation:
    """What the manifests of a case mean."""
    return translate(inventory(manifests.read_text()), options)


def parameters(translation: Translation) -> dict[str, Any]:
    """The flash-sale filter's parameters in a translation, as the proxy gets them."""
    found = translation.snapshots[GATEWAY].get(kinds.EXTENSION, "sluice.flash-sale")
    kind = message_class(kinds.EXTENSION)
    if found is None or kind is None:
        message = "no flash-sale extension in the snapshot"
        raise LookupError(message)
    extension = describe(kind, found.body)
    text = extension["typed_config"]["config"]["configuration"]["value"]
    parsed: dict[str, Any] = json.loads(text)
    return parsed


def report(translation: Translation) -> str:
    """Every condition, a line each."""
    lines = []
    for verdict in translation.report.verdicts:
        where = f"{verdict.ref} {verdict.place}".rstrip()
        if verdict.attached_routes is not None:
            where += f" (routes: {verdict.attached_routes})"
        lines.append(where)
        for found in verdict.conditions:
            message = f": {found.message}" if found.message else ""
            lines.append(f"  {found.type}={found.status} {found.reason}{message}")
    lines += [f"warning: {found}" for found in translation.report.warnings]
    return "\n".join(lines) + "\n"


def expected() -> Iterator[tuple[Path, str]]:
    """Every golden file and what should stand in it."""
    for manifests in sorted(CASES.glob("*.yaml")):
        translation = translated(manifests)
        yield manifests.with_suffix(".resources"), render(translation.snapshots[GATEWAY])
        yield manifests.with_suffix(".report"), report(translation)
    for manifests in sorted(PARAMETERS.glob("*.yaml")):
        found = parameters(translated(manifests))
        yield manifests.with_suffix(".json"), json.dumps(found, indent=2, ensure_ascii=False) + "\n"
    yield BOOTSTRAP, bootstrap()


if __name__ == "__main__":
    for path, content in expected():
        path.write_text(content)
