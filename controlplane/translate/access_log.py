"""The access log of an edge: where each request went, how it ended, and what a sale did to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from envoy_data_plane.envoy.config.accesslog.v3 import AccessLog as EnvoyLog
from envoy_data_plane.envoy.config.core.v3 import DataSource, SubstitutionFormatString
from envoy_data_plane.envoy.extensions.access_loggers.file.v3 import FileAccessLog
from envoy_data_plane.google.protobuf import Struct, Value

from controlplane.translate.wire import pack

if TYPE_CHECKING:
    from controlplane.model.edge_config import AccessLog

_FIELDS: Final = {
    "time": "%START_TIME%",
    "client": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    "method": "%REQ(:METHOD)%",
    "host": "%REQ(:AUTHORITY)%",
    # The query may hold anything, and what stands in a log is read by many.
    "path": "%PATH(NQ:ORIG_OR_PATH)%",
    "protocol": "%PROTOCOL%",
    "status": "%RESPONSE_CODE%",
    "flags": "%RESPONSE_FLAGS%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "received": "%BYTES_RECEIVED%",
    "sent": "%BYTES_SENT%",
    "duration_ms": "%DURATION%",
    "route": "%ROUTE_NAME%",
    "upstream": "%UPSTREAM_HOST%",
    "request_id": "%REQ(X-REQUEST-ID)%",
    "sale": "%REQ(X-SLUICE-SALE)%",
    "permit": "%REQ(X-SLUICE-PERMIT)%",
}
_LINE: Final = (
    '{time} {client} "{method} {host} {path} {protocol}" {status} {flags} {sent} '
    "{duration_ms}ms route={route} upstream={upstream} sale={sale} permit={permit} "
    "id={request_id}\n"
)


def loggers(settings: AccessLog | None) -> list[EnvoyLog]:
    """The loggers that the settings ask for: one, or none."""
    if settings is None:
        return []
    log = FileAccessLog(path=settings.path, log_format=_format(settings.format))
    return [EnvoyLog(name="envoy.access_loggers.file", typed_config=pack(log))]


def _format(form: str) -> SubstitutionFormatString:
    if form == "Text":
        line = _LINE.format(**_FIELDS)
        return SubstitutionFormatString(text_format_source=DataSource(inline_string=line))
    fields = {name: Value(string_value=command) for name, command in _FIELDS.items()}
    return SubstitutionFormatString(json_format=Struct(fields=fields))
