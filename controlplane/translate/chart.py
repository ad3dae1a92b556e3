"""The bootstrap in the Helm chart: `python -m controlplane.translate.chart`, by `make generate`.

It is what `sluice bootstrap` prints, with Helm's expressions where a cluster decides, and with
three things that a pod needs: a port on which the kubelet and Prometheus see health and metrics
but nothing else of the admin page, and no readiness before the first configuration has come. A
copy, since a chart can only read files in its own folder; a test fails when it is stale.
"""

from __future__ import annotations

import json
import sys
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Final

from controlplane.translate.bootstrap import BootstrapOptions, bootstrap
from controlplane.translate.proxy_tls import ProxyTls, secret_files

FOLDER: Final = "manifests/chart/files"
_HEAD: Final = "{{/* Written by `make generate` from controlplane/translate/chart.py. */ -}}\n"
_XDS: Final = ("xds.example", 18000)
_FILTERS: Final = ("xds.example", 18081)
_GATEWAY: Final = "ns.example/gateway.example"
_WORKERS: Final = 251
_CONNECTIONS: Final = 9_999_991
_HEAP: Final = 999_999_999_989
_TLS: Final = ProxyTls(
    certificate=PurePosixPath("/etc/sluice/tls/tls.crt"),
    key=PurePosixPath("/etc/sluice/tls/tls.key"),
    ca=PurePosixPath("/etc/sluice/tls/ca.crt"),
    secrets=PurePosixPath("/etc/sluice/envoy"),
    server_name=_XDS[0],
)
_OPTIONS: Final = BootstrapOptions(
    gateway=_GATEWAY,
    node_id="overridden-by-service-node",
    workers=_WORKERS,
    xds=_XDS,
    web=_FILTERS,
    tls=_TLS,
    max_connections=_CONNECTIONS,
    max_heap_bytes=_HEAP,
)
#: What stands in the bootstrap -> what decides in a cluster. All is in the context of the chart.
_EXPRESSIONS: Final = {
    json.dumps(_GATEWAY): '{{ include "sluice.gatewayKey" . | quote }}',
    json.dumps(_XDS[0]): '{{ include "sluice.xdsHost" . | quote }}',
    f"workers: {_WORKERS}": "workers: {{ .Values.edge.workers }}",
    f"{_CONNECTIONS}": "{{ .Values.edge.maxConnections | int64 }}",
    f"{_HEAP}": "{{ .Values.edge.maxHeapBytes | int64 }}",
}
_DISCOVERY: Final = "{resource_api_version: V3, ads: {}}"
_PATIENT: Final = "{resource_api_version: V3, initial_fetch_timeout: 0s, ads: {}}"
_STATUS: Final = "chart_status.yaml.template"
_STATIC: Final = "static_resources:\n"
_CLUSTERS: Final = "  clusters:\n"


def files() -> dict[str, str]:
    """The files of the chart, by name."""
    text = bootstrap(_OPTIONS)
    for value, expression in _EXPRESSIONS.items():
        text = _replaced(text, value, expression)
    # Ready means configured, however long that takes.
    text = _replaced(text, _DISCOVERY, _PATIENT)
    status = resources.files(__package__).joinpath(_STATUS).read_text(encoding="utf-8")
    text = _replaced(text, _STATIC + _CLUSTERS, _STATIC + status)
    return {"envoy.yaml": _HEAD + text, **secret_files(_TLS)}


def _replaced(text: str, old: str, new: str) -> str:
    if old not in text:
        message = f"the bootstrap no longer has {old!r}: mend controlplane/translate/chart.py"
        raise LookupError(message)
    return text.replace(old, new)


def main(arguments: list[str]) -> None:
    """Write the files into a folder, the chart's unless another is named."""
    folder = Path(arguments[0] if arguments else FOLDER)
    for name, text in files().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
