"""Which code proxies run: what was in force when the configuration was made that they confirmed.

A proxy confirms a version of its extensions, not a hash of code; here it is remembered which code
each version carried.
"""

from __future__ import annotations

from collections import OrderedDict
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from controlplane.web.filter_store import FLASH_SALE, QUOTA, REDIS_BRIDGE
from controlplane.xds.kinds import EXTENSION

if TYPE_CHECKING:
    from collections.abc import Mapping

    from controlplane.translate import FilterCode
    from controlplane.xds.snapshot import Snapshot
    from controlplane.xds.status import ProxyState

REMEMBERED: Final = 4096
_UNKNOWN: Final[Mapping[str, str]] = MappingProxyType({})


class Rollouts:
    """Remembers the code of each version of extensions."""

    def __init__(self) -> None:
        self._code: OrderedDict[str, Mapping[str, str]] = OrderedDict()

    def note(self, snapshot: Snapshot, code: FilterCode) -> None:
        """Remember that this snapshot carries this code."""
        version = snapshot.version_of(EXTENSION)
        self._code[version] = MappingProxyType(
            {
                FLASH_SALE: code.flash_sale.sha256,
                QUOTA: code.quota.sha256,
                REDIS_BRIDGE: code.redis_bridge.sha256,
            }
        )
        self._code.move_to_end(version)
        while len(self._code) > REMEMBERED:
            self._code.popitem(last=False)

    def code_of(self, proxy: ProxyState) -> Mapping[str, str]:
        """Give the hash of the code that a proxy runs, by filter; nothing when it is not known."""
        state = proxy.types.get(EXTENSION)
        return self._code.get(state.acked, _UNKNOWN) if state is not None else _UNKNOWN
