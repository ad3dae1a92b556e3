"""The composition root: the one place where all parts are known and put together.

Objects flow one way: manifests -> translation -> xDS store -> proxies, and the plans of sales to
the ledger. What comes back (confirmations, the books) becomes status. Nothing is served before the
manifests were read once, and nothing here stands in the path of a request: a proxy goes on with
what it has when this process ends.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from contextlib import AsyncExitStack, ExitStack, aclosing, contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import structlog

from controlplane import __version__
from controlplane.ledger.folder import FolderError, state_folder
from controlplane.ledger.ledger import Ledger
from controlplane.ledger.pace import Pace
from controlplane.ledger.presence import Connected, Presence
from controlplane.model import Inventory, Problem
from controlplane.model.durations import format_instant
from controlplane.serving import Serving
from controlplane.settings import StartError
from controlplane.sources import Directory
from controlplane.sources.dates import dates
from controlplane.status import Tracker
from controlplane.status.replicas import Fleet
from controlplane.status.terminal import TerminalWriter
from controlplane.status.tracker import Facts
from controlplane.translate import Fragments, Options, Translation, translate
from controlplane.translate.options import RETENTION
from controlplane.web import metrics
from controlplane.web.api import make_app
from controlplane.web.control import Control
from controlplane.web.filter_store import FilterError, FilterStore, built_folder
from controlplane.web.filters import OwnFilters
from controlplane.web.health import make_health
from controlplane.web.rollouts import Rollouts
from controlplane.xds.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from datetime import date

    from controlplane.settings import Settings
    from controlplane.sources import Source, Update
    from controlplane.status.kubernetes import ClusterStatus
    from controlplane.web.filters import Filters
    from controlplane.xds.status import ProxyState

log = structlog.get_logger(__name__)

#: Changes that come together make one status.
SETTLE_SECONDS: Final = 0.05
#: With thousands of objects a status takes a moment; then others have the loop, so many times that.
SETTLE_SHARE: Final = 5.0
LONGEST_NAP_SECONDS: Final = 3600.0


class App:
    """One control plane, from start to end."""

    def __init__(self, settings: Settings, environ: Mapping[str, str]) -> None:
        self.settings = settings
        self._environment = frozenset(environ)
        self._presence = Presence()
        self._store = Store()
        self._registry = metrics.registry()
        self._ledger = Ledger(
            settings.state_dir,
            environ,
            self._presence,
            retention_ms=RETENTION // timedelta(milliseconds=1),
        )
        self._filters = FilterStore(
            settings.state_dir / "filters", settings.built or built_folder()
        )
        self._code: Filters = OwnFilters(self._filters)
        self._serving = Serving(settings, self._store, self._registry)
        self._rollouts = Rollouts()
        self._tracker = Tracker()
        self._fleet = Fleet()
        self._terminal = TerminalWriter()
        self._fragments = Fragments()
        self._source: Source | None = None
        self._publisher: ClusterStatus | None = None
        self._update: Update | None = None
        self._translated = Inventory()
        self._translation = Translation()
        self._fault: tuple[Problem, ...] = ()
        self._today: date | None = None
        self._pace = Pace()
        self._to_translate = asyncio.Event()
        self._to_observe = asyncio.Event()

    async def run(
        self, stop: asyncio.Event, *, ready: Callable[[Mapping[str, Any]], None] | None = None
    ) -> None:
        """Run until `stop` is set; `ready` is told the addresses once everything listens.

        Raises:
            StartError: it cannot start.
        """
        async with AsyncExitStack() as stack:
            origin = await self._join(stack)
            stack.enter_context(self._prepared())
            about = {"manifests": origin, **await self._listen(stack)}
            try:
                await self._work(stop, about, ready)
            finally:
                await self._serving.stop_discovery()

    # -------------------------------------------------------------------------- beginning and end

    async def _join(self, stack: AsyncExitStack) -> str:
        """Find the place where objects are, and give its name; it may well be away."""
        manifests, cluster = self.settings.manifests, self.settings.cluster
        if cluster is None:
            if manifests is None or not manifests.exists():
                raise StartError(f"there is no file or folder {manifests}: check the path")
            self._source = Directory(manifests)
            return str(manifests)
        # Late, as it costs a moment and memory: those alone pay who have a cluster.
        from controlplane.cluster import join  # noqa: PLC0415

        joined = await join(
            cluster,
            stack,
            registry=self._registry,
            filters=self._filters,
            changed=self._to_translate.set,
            running=lambda: map(self._rollouts.code_of, self._store.proxies()),
        )
        self._source, self._publisher, self._code = joined.source, joined.publisher, joined.code
        return joined.origin

    @contextmanager
    def _prepared(self) -> Iterator[None]:
        with ExitStack() as stack:
            try:
                stack.enter_context(state_folder(self.settings.state_dir))
                self._filters.prepare()
            except (FolderError, FilterError) as error:
                raise StartError(str(error)) from error
            except OSError as error:
                raise StartError(f"cannot write to {error.filename}: {error.strerror}") from error
            yield

    async def _listen(self, stack: AsyncExitStack) -> dict[str, Any]:
        stack.callback(self._serving.close)
        addresses = await self._serving.listen()
        return {
            "version": __version__,
            "stateDir": str(self.settings.state_dir),
            "startedAt": format_instant(datetime.now(UTC).replace(microsecond=0)),
            **addresses,
            "pid": os.getpid(),
        }

    async def _work(
        self,
        stop: asyncio.Event,
        about: Mapping[str, Any],
        ready: Callable[[Mapping[str, Any]], None] | None,
    ) -> None:
        self._store.on_change(self._to_observe.set)
        self._ledger.board.on_change(self._to_observe.set)
        control = self._control(about)
        app, health = make_app(control, self._names()), make_health(control)
        async with asyncio.TaskGroup() as group:
            web = group.create_task(self._serving.run(app, health, self._code), name="web")
            others = [
                group.create_task(self._read(), name="source"),
                group.create_task(self._follow_dates(), name="date"),
                group.create_task(self._publish(), name="translation"),
                group.create_task(self._observe(), name="status"),
                group.create_task(self._ledger.run(), name="ledger"),
                group.create_task(self._code.run(), name="filter code"),
            ]
            if self._publisher is not None:
                self._publisher.replicas.on_change(self._to_observe.set)
                others.append(group.create_task(self._publisher.run(), name="cluster status"))
            if ready is not None:
                ready(about)
            stopped = group.create_task(stop.wait(), name="stop")
            await asyncio.wait((stopped, web), return_when=asyncio.FIRST_COMPLETED)
            log.info("Stopping")
            # The ledger first: that proxies leave us now is not to be taken for a loss of them.
            for task in (*others, stopped):
                task.cancel()
            await asyncio.wait(others)
            await self._serving.stop_discovery()
            self._serving.stop_web()
            await asyncio.wait((web,), timeout=self.settings.grace + 1)
            web.cancel()

    def _names(self) -> set[str]:
        wildcard = {"0.0.0.0", "::"}  # noqa: S104 - no name to be called by
        return {self.settings.web_host, *self.settings.web_names} - wildcard

    def _control(self, about: Mapping[str, Any]) -> Control:
        control = Control(
            status=lambda: self._tracker.status,
            store=self._store,
            ledger=self._ledger,
            filters=self._code,
            roll_out=self._to_translate.set,
            about=about,
            registry=self._registry,
            rollouts=self._rollouts,
            fleet=lambda: self._fleet,
        )
        self._registry.register(metrics.Parts(control))
        return control

    # ------------------------------------------------------------------------- objects to proxies

    async def _read(self) -> None:
        """Take each version of the objects; the newest counts."""
        if self._source is None:
            return
        async with aclosing(self._source.updates()) as updates:
            async for update in updates:
                self._update = update
                self._to_translate.set()

    async def _follow_dates(self) -> None:
        """Translate again on each new date: from it windows of the calendar are worked out."""
        async with aclosing(dates()) as days:
            async for day in days:
                self._today = day
                self._to_translate.set()

    async def _publish(self) -> None:
        """Translate the newest objects and hand them to proxies and books."""
        while True:
            await self._to_translate.wait()
            self._to_translate.clear()
            update, today = self._update, self._today
            if update is None or today is None:
                continue
            if not update.synced or not self._code.settled:
                self._to_observe.set()
                continue
            began = time.perf_counter()
            code = self._filters.code
            options = Options(
                filters=code,
                today=today,
                poll_ms=self._pace.poll_ms,
                workers=self._pace.workers,
                environment=self._environment,
            )
            # A thread of its own: encoding a route takes a millisecond, and streams must go on.
            made = await self._translate(update, options)
            if made is None:
                continue
            for gateway, snapshot in made.snapshots.items():
                self._rollouts.note(snapshot, code)
                self._store.set(gateway, snapshot)
            for gone in set(self._store.gateways()) - made.snapshots.keys() - set(made.held):
                self._store.remove(gone)
            self._translation, self._translated = made, update.inventory
            self._ledger.keep(made.sales, made.quotas, poll_ms=options.poll_ms)
            if not self._store.opened:
                self._store.open()
            log.debug("Translated", seconds=round(time.perf_counter() - began, 4))
            self._to_observe.set()

    async def _translate(self, update: Update, options: Options) -> Translation | None:
        """Translate, or say that it cannot be done and leave everything as it is."""
        try:
            made = await asyncio.to_thread(translate, update.inventory, options, self._fragments)
        except Exception as error:
            log.exception("Translation failed")
            message = (
                f"internal error ({type(error).__name__}): what was in force stays, see the log"
            )
            self._fault = (Problem(None, message, reason="Internal"),)
            self._fragments = Fragments()
            self._to_observe.set()
            return None
        self._fault = ()
        return made

    # -------------------------------------------------------------------------- what comes of them

    async def _observe(self) -> None:
        """Make a new status whenever something changed, or a window opens or closes."""
        nap, not_before = LONGEST_NAP_SECONDS, 0.0
        while True:
            try:
                async with asyncio.timeout(nap):
                    await self._to_observe.wait()
                    left = not_before - time.perf_counter()
                    await asyncio.sleep(max(SETTLE_SECONDS, left))
            except TimeoutError:
                pass
            began = time.perf_counter()
            self._to_observe.clear()
            own = self._store.proxies()
            if self._publisher is not None:
                self._fleet = self._publisher.fleet(own)
            self._count_proxies(own)
            facts = self._facts()
            if facts is None:
                continue
            status = self._tracker.observe(facts)
            self._terminal.write(status)
            if self._publisher is not None and self._store.opened and self._update is not None:
                problems = self._update.problems
                self._publisher.offer(status, facts, problems, self._store.proxies)
            change = self._tracker.seconds_to_next_change(facts)
            nap = min(LONGEST_NAP_SECONDS, max(0.0, change or LONGEST_NAP_SECONDS) + 0.01)
            ended = time.perf_counter()
            not_before = ended + SETTLE_SHARE * (ended - began)

    def _facts(self) -> Facts | None:
        if self._update is None:
            return None
        others = self._publisher.replicas.problems if self._publisher is not None else ()
        return Facts(
            # Not a newer one: of that nobody knows yet whether proxies run it.
            inventory=self._translated,
            problems=(*self._fault, *self._update.problems, *self._code.problems, *others),
            report=self._translation.report,
            plans=self._translation.sales,
            deliver=self._store.delivery,
            states=self._ledger.board.states,
            ready=self._update.synced,
            quotas=self._translation.quotas,
            troubles=self._ledger.board.troubles,
            fleet=self._fleet,
        )

    def _count_proxies(self, proxies: Iterable[ProxyState]) -> None:
        """Note who is there, at any replica, and let filters go by how many workers there are."""
        everybody = list(self._fleet.everybody(proxies))
        self._presence.update(
            Connected(one.node, gateway, one.fresh, one.since) for gateway, one in everybody
        )
        sales = Counter(key for plan in self._translation.sales for key in plan.gateways)
        if self._pace.count(((gateway, one.workers) for gateway, one in everybody), sales):
            log.info("Pace changed", poll_ms=self._pace.poll_ms, workers=self._pace.workers)
            self._to_translate.set()
