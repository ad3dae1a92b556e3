"""The checked-in module is what the compiler makes of the proto file today."""

from __future__ import annotations

from pathlib import Path

import pytest

from controlplane import xds
from controlplane.xds import discovery_pb2
from controlplane.xds.generate import GENERATED, generate


def test_no_drift(tmp_path: Path) -> None:
    """After an edit of the proto file: make generate."""
    generate(tmp_path)
    for name in GENERATED:
        made = (tmp_path / "controlplane" / "xds" / name).read_text()
        assert made == (Path(xds.__file__).parent / name).read_text(), name


def test_names_of_our_own() -> None:
    """Other libraries register Envoy's names in the one pool of the process."""
    assert discovery_pb2.DESCRIPTOR.package == "sluice.xds.v1"


def test_parsing_is_done_by_native_code() -> None:
    """The pure-Python fallback would cost milliseconds a request."""
    from google.protobuf.internal import api_implementation  # noqa: PLC0415

    assert api_implementation.Type() == "upb"


def test_a_broken_proto_file_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controlplane.xds.generate._PROTO", "no/such.proto")
    with pytest.raises(RuntimeError, match=r"no/such\.proto"):
        generate(tmp_path)
