"""The metrics of the control plane, read from its parts when somebody asks for them.

Bounded in number: one set per sale, per gateway and per Redis, never one per user or per proxy.
The filters count requests themselves; Envoy's own metrics page tells those.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from controlplane import __version__
from controlplane.status.objects import ObjectStatus, SalePhase, SaleStatus
from controlplane.web.proxies import in_sync

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from controlplane.web.control import Control

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST


def registry() -> CollectorRegistry:
    """Give a registry with what the process itself tells; the parts add their own."""
    made = CollectorRegistry(auto_describe=False)
    ProcessCollector(registry=made)
    PlatformCollector(registry=made)
    return made


def exposition(source: CollectorRegistry) -> bytes:
    """Give all metrics as text."""
    return generate_latest(source)


class Parts(Collector):
    """Reads sales, proxies and input of a control plane."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def collect(self) -> Iterator[Metric]:
        """Give every metric of ours."""
        about = GaugeMetricFamily("sluice_build_info", "Version.", labels=["version"])
        about.add_metric([__version__], 1)
        yield about
        yield from self._sales()
        yield from self._proxies()
        yield from self._input()

    def _sales(self) -> Iterator[Metric]:
        sales = self._control.status().of_kind("FlashSale")
        yield _per_sale("admitted", "Users let in.", sales, lambda sale: sale.admitted)
        yield _per_sale("remaining", "Permits left.", sales, lambda sale: sale.remaining)
        yield _per_sale("limit", "Users let in at most.", sales, lambda sale: sale.limit)
        yield _per_sale("healing", "1 while books heal.", sales, lambda sale: sale.healing)
        yield _per_sale(
            "closed", "1 while books are closed (BooksLost).", sales, lambda sale: bool(sale.closed)
        )
        yield _per_sale(
            "books_error", "1 while books cannot be kept.", sales, lambda sale: bool(sale.error)
        )
        states = GaugeMetricFamily(
            "sluice_sale_state", "1 for the state of a sale.", labels=["sale", "state"]
        )
        for one in sales:
            for phase in SalePhase:
                is_now = one.sale is not None and one.sale.state is phase
                states.add_metric([one.name, phase.value], int(is_now))
        yield states

    def _proxies(self) -> Iterator[Metric]:
        total: Counter[str] = Counter()
        synced: Counter[str] = Counter()
        refusing: Counter[str] = Counter()
        for proxy in self._control.store.proxies():
            total[proxy.gateway] += 1
            synced[proxy.gateway] += in_sync(proxy)
            refusing[proxy.gateway] += any(state.nacked for state in proxy.types.values())
        for gateway in self._control.store.gateways():
            total[gateway] += 0
        for name, text, counted in (
            ("connected", "Proxies connected.", total),
            ("in_sync", "Proxies with the newest configuration.", synced),
            ("refusing", "Proxies that refuse something (NACK).", refusing),
        ):
            family = GaugeMetricFamily(f"sluice_proxies_{name}", text, labels=["gateway"])
            for gateway in sorted(total):
                family.add_metric([gateway], counted[gateway])
            yield family

    def _input(self) -> Iterator[Metric]:
        status = self._control.status()
        counted = Counter(problem.severity for problem in status.problems)
        family = GaugeMetricFamily("sluice_problems", "Problems in manifests.", labels=["severity"])
        for severity in ("error", "warning"):
            family.add_metric([severity], counted[severity])
        yield family
        yield GaugeMetricFamily(
            "sluice_ready", "1 once proxies are served.", value=int(self._control.store.opened)
        )


def _per_sale(
    name: str, text: str, sales: Iterable[ObjectStatus], value: Callable[[SaleStatus], int]
) -> Metric:
    family = GaugeMetricFamily(f"sluice_sale_{name}", text, labels=["sale"])
    for one in sales:
        if one.sale is not None:
            family.add_metric([one.name], int(value(one.sale)))
    return family
