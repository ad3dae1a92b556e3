"""What must not change unnoticed: filter parameters, Envoy resources and reports, in files.

Each case is a file of manifests with what was made of it beside it. After a wanted change, write
them anew and read the difference:

    .venv/bin/python -m tests.contract.envoy.golden
"""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from controlplane.translate import (
    BootstrapOptions,
    CodeRef,
    FilterCode,
    Options,
    ProxyTls,
    Translation,
    bootstrap,
    render,
    secret_files,
    translate,
)
from controlplane.translate.describe import describe
from controlplane.translate.parameters import to_text
from controlplane.translate.wire import message_class
from controlplane.xds import kinds
from tests.contract.envoy.proxy import GATEWAY, inventory

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
CASES = HERE / "cases"
SALES = "sluice.flash-sale"
QUOTAS = "sluice.quota"
PARAMETERS = {SALES: HERE.parent / "flash-sale", QUOTAS: HERE.parent / "quota"}
BOOTSTRAP = HERE.parents[2] / "envoy" / "bootstrap.yaml"
TLS_FOLDER = BOOTSTRAP.parent / "tls"
TLS = ProxyTls(
    certificate=PurePosixPath("/etc/sluice/tls/tls.crt"),
    key=PurePosixPath("/etc/sluice/tls/tls.key"),
    ca=PurePosixPath("/etc/sluice/tls/ca.crt"),
    secrets=PurePosixPath("/etc/sluice/envoy"),
    server_name="sluice.sluice-system.svc",
)
TLS_OPTIONS = BootstrapOptions(xds=(TLS.server_name, 18000), web=(TLS.server_name, 18081), tls=TLS)
HINT = "if this is wanted: .venv/bin/python -m tests.contract.envoy.golden, and read the diff"

OPTIONS = Options(
    FilterCode(
        flash_sale=CodeRef("f1" * 32, "/opt/sluice/flash-sale.wasm"),
        quota=CodeRef("a1" * 32, "/opt/sluice/quota.wasm"),
        redis_bridge=CodeRef("b1" * 32, "/opt/sluice/redis-bridge.wasm"),
    ),
    today=date(2027, 1, 10),
    workers=4,
    environment=frozenset({"SLUICE_REDIS_PASSWORD"}),
)


def translated(manifests: Path, options: Options = OPTIONS) -> Translation:
    """What the manifests of a case mean."""
    return translate(inventory(manifests.read_text()), options)


def parameters(translation: Translation, name: str = SALES) -> dict[str, Any]:
    """A filter's parameters in a translation, as the proxy gets them."""
    found = translation.snapshots[GATEWAY].get(kinds.EXTENSION, name)
    kind = message_class(kinds.EXTENSION)
    if found is None or kind is None:
        message = f"no extension {name} in the snapshot"
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
        if verdict.supported_kinds == ():
            where += " (serves no kind of route)"
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
    for name, folder in PARAMETERS.items():
        for manifests in sorted(folder.glob("*.yaml")):
            found = parameters(translated(manifests), name)
            yield manifests.with_suffix(".json"), to_text(found)
    yield BOOTSTRAP, bootstrap()
    yield TLS_FOLDER / "bootstrap.yaml", bootstrap(TLS_OPTIONS)
    for name, content in secret_files(TLS).items():
        yield TLS_FOLDER / name, content


if __name__ == "__main__":
    for path, content in expected():
        path.write_text(content)
