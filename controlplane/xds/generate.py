"""Makes `discovery_pb2` from `discovery.proto` again: ``python -m controlplane.xds.generate``.

The generated module is checked in, so that nobody needs a compiler to run the control plane; a
test compares it with what the compiler says today. Needs grpcio-tools (a development dependency).
"""

from __future__ import annotations

import sys
from pathlib import Path

_HERE = Path(__file__).parent
_ROOT = _HERE.parent.parent
_PROTO = "controlplane/xds/discovery.proto"
GENERATED = ("discovery_pb2.py", "discovery_pb2.pyi")


def generate(target: Path) -> None:
    """Writes the generated modules below `target`, under the same path as in the repository.

    Raises:
        RuntimeError: the compiler refused the file; its reasons are on standard error.
    """
    # Not a dependency of the control plane itself.
    import grpc_tools  # noqa: PLC0415
    from grpc_tools import protoc  # noqa: PLC0415

    well_known = Path(grpc_tools.__file__).parent / "_proto"
    status = protoc.main(
        [
            "protoc",
            f"--proto_path={_ROOT}",
            f"--proto_path={well_known}",
            f"--python_out={target}",
            f"--pyi_out={target}",
            _PROTO,
        ]
    )
    if status != 0:
        message = f"protoc refused {_PROTO} with status {status}: see its message above"
        raise RuntimeError(message)


def main() -> int:
    """Writes the modules beside the proto file."""
    generate(_ROOT)
    return 0


if __name__ == "__main__":
    sys.exit(main())
