"""The keeper: one task per sale that opens its books, copies them, and brings them back when lost.

Books that are missing are never taken for a fresh sale. The keeper reopens them under a new
incarnation and teaches them its copy, while every edge teaches them what it knows. That union lacks
nothing, unless a proxy ended between the last complete copy and the end of healing: whoever it let
in during that time is known to nobody. Then the books stay closed (`BooksLost`) until that proxy
goes on with its stream, or an operator decides with `sale restore` or `sale reset`.

Redis that restarts with its data heals the same way. There the doubt counts only if the books
really turned out to lack something: a restart that lost nothing must not stop a sale.
"""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from controlplane.ledger.books import Opening
from controlplane.ledger.errors import CopyDamagedError, LedgerError
from controlplane.ledger.follower import named
from controlplane.ledger.pace import POLL_MS, heal_window_ms
from controlplane.ledger.rest import Hearing, Rest
from controlplane.ledger.state import BOOKS_LOST, NOBODY, Board, Closure, SaleState

if TYPE_CHECKING:
    from collections.abc import Callable

    from controlplane.ledger.copy import CopyState
    from controlplane.ledger.follower import Follower, Look
    from controlplane.ledger.glance import Glance
    from controlplane.ledger.keyring import Keyring
    from controlplane.ledger.presence import Presence
    from controlplane.ledger.state import Place
    from controlplane.translate import SalePlan

log = structlog.get_logger(__name__)

LOOK_SECONDS = 0.2
HEALING_LOOK_SECONDS = 0.1
RETRY_SECONDS = 0.5
CLOCK_JITTER_MS = 20
REFRESH_SECONDS = 30.0
#: Of very many sales, each is opened again only after so many glances at all of them.
REFRESH_GLANCES = 150
RETRY_GLANCES = 2.5
EXPIRED_LOOK_SECONDS = 60.0
#: How long all proxies must have been back before a closure is lifted: their links to Redis need a
#: moment to be made again, and what they know a moment to be taught.
LIFT_AFTER_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Clock:
    """The two clocks, so that a test can bring its own."""

    wall: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic


class Keeper:
    """Keeps the books of one sale. `run` never returns; `update` brings a changed plan."""

    def __init__(
        self,
        plan: SalePlan,
        follower: Follower,
        keyring: Keyring,
        presence: Presence,
        board: Board,
        glance: Glance,
        *,
        clock: Clock | None = None,
    ) -> None:
        self._plan = plan
        self._follower = follower
        self._books = follower.books
        self._copy = follower.copy
        self._keyring = keyring
        self._presence = presence
        self._board = board
        self._glance = glance
        self._clock = clock or Clock()
        self._heal_ms = heal_window_ms(POLL_MS)
        self._state = SaleState(name_of(plan), plan.tag, limit=plan.limit)
        self._opened: tuple[object, ...] = ()
        self._opened_at = 0.0
        self._offset_ms = 0
        self._missing = False
        self._lacked = False
        self._sure_since = self._clock.monotonic()
        self._whole_since: float | None = None
        self._rest = Rest(self._books.keys.meta, Hearing(self._places, self._whole, self._fail))

    def update(self, plan: SalePlan, *, poll_ms: int = POLL_MS) -> None:
        """Take a changed plan; it is acted on at once."""
        heal_ms = heal_window_ms(poll_ms)
        if (plan, heal_ms) != (self._plan, self._heal_ms):
            self._plan, self._heal_ms = plan, heal_ms
            self._rest.wake()

    def poke(self) -> None:
        """Look at the books now: something was changed by hand."""
        self._opened_at = -REFRESH_SECONDS
        self._rest.wake()

    def accept(self) -> None:
        """Take the books as they are now for whole: an operator has said so."""
        self._sure_since, self._lacked, self._copy.damaged = self._clock.monotonic(), False, False
        self.poke()

    async def run(self) -> None:
        """Keep the books until cancelled; every failure is shown and tried again."""
        await self._load()
        self._glance.add(self._rest)
        try:
            while True:
                async with self._glance.turns:
                    delay = await self._turn()
                await self._rest.pause(delay)
        finally:
            self._glance.remove(self._rest)
            await self._follower.on_disk(self._copy.close)

    async def _turn(self) -> float:
        """Do one round; gives the seconds until the next."""
        try:
            if self._expired():
                return await self._let_go()
            await self._open_if_due()
            return await self._look()
        except LedgerError as error:
            self._fail(str(error))
        except OSError as error:
            self._fail(f"the copy {self._copy.path} cannot be written: {error.strerror}")
        # Sooner when the glance finds that it works again.
        return max(RETRY_SECONDS, self._glance.seconds * RETRY_GLANCES)

    async def _load(self) -> None:
        try:
            await self._follower.on_disk(self._copy.load)
        except (CopyDamagedError, OSError, ValueError) as error:
            log.warning("Copy of the books set aside", sale=self._state.sale, problem=str(error))
            await self._follower.on_disk(self._copy.set_aside)
        known = (name.partition(" ") for name in self._copy.state.proxies)
        self._presence.recall((gateway, node_id) for gateway, _, node_id in known)

    # ------------------------------------------------------------------------------------ opening

    async def _open_if_due(self) -> None:
        now = self._clock.monotonic()
        ring = await self._keyring.ensure(again=self._missing)
        wanted = (self._plan, self._heal_ms, ring.version, self._books.client.connects)
        recent = now - self._opened_at < REFRESH_SECONDS
        if wanted == self._opened and recent and not self._missing:
            return
        opened = await self._books.open(self._opening(ring.version))
        if opened.created and self._copy.exists:
            self._lacked = True
            log.warning("Books were gone and are open again", sale=self._state.sale)
        elif opened.created:
            log.info("Books opened", sale=self._state.sale, limit=self._plan.limit)
        connects = self._books.client.connects
        self._opened = (self._plan, self._heal_ms, ring.version, connects)
        self._opened_at, self._missing = now, False

    def _opening(self, ring: int) -> Opening:
        known = self._copy.state
        unsure = self._copy.exists and self._unsure()
        return Opening(
            limit=self._plan.limit,
            heal_ms=self._heal_ms,
            expire_at_ms=self._keys_expire_at_ms(),
            ring=ring,
            copy_incarnation=known.incarnation,
            copy_generation=known.generation,
            copy_seq=known.seq,
            override=known.override,
            suspended=known.suspended,
            closed=str(Closure.without(self._lost())) if unsure else known.closed,
        )

    # ------------------------------------------------------------------------------------ looking

    async def _look(self) -> float:
        began, wall = self._clock.monotonic(), self._clock.wall()
        places = self._rest.version
        look = await self._follower.look(self._described())
        self._note_clock(look.page.time_us, wall)
        if look.missing:
            again = self._missing
            self._missing = True
            return LOOK_SECONDS if again else 0.0
        self._lacked = self._lacked or look.lacked
        await self._judge(look, began)
        self._show(look)
        if not look.complete:
            return 0.0
        if look.page.heal_left_ms:
            return max(HEALING_LOOK_SECONDS, self._glance.seconds / 2)
        if look.marks.closed or self._lacked:
            return LOOK_SECONDS
        self._rest.settle(look.mark, places)
        return max(REFRESH_SECONDS, self._glance.seconds * REFRESH_GLANCES)

    async def _judge(self, look: Look, began: float) -> None:
        """Close books that cannot be trusted, and open them again once they can."""
        closed = look.marks.closed
        if closed:
            await self._lift_if_whole(look)
        elif self._lacked and self._unsure() and look.page.heal_left_ms:
            await self._books.adjust(closed=str(Closure.without(self._lost())))
            log.error("Sale closed, books are not complete", sale=self._state.sale)
        elif look.complete and not look.page.heal_left_ms:
            # Either nothing was in doubt, or an operator has decided (`sale restore|reset`).
            self._sure_since, self._lacked, self._copy.damaged = began, False, False

    async def _lift_if_whole(self, look: Look) -> None:
        """Undo a closure when every proxy that was missed, here or elsewhere, goes on."""
        now = self._clock.monotonic()
        closure = Closure.parse(look.marks.closed)
        sure = look.complete and not self._unsure() and not self._missed(closure)
        if closure.reason != BOOKS_LOST or not sure:
            self._whole_since = None
        elif self._whole_since is None:
            self._whole_since = now
        elif now - self._whole_since >= LIFT_AFTER_SECONDS and not look.page.heal_left_ms:
            await self._books.adjust(closed="")
            log.info("Sale goes on, all proxies are back", sale=self._state.sale)

    def _unsure(self) -> bool:
        """Whether somebody may have been let in who is known to nobody any more."""
        if not self._copy.entries and self._now_ms() < self._plan.start_ms:
            return False  # nobody can have been
        return self._copy.damaged or self._copy.state.damaged or bool(self._lost())

    def _places(self) -> int:
        return self._presence.version(self._plan.gateways)

    def _whole(self, until: float) -> None:
        self._sure_since = until

    def _lost(self) -> tuple[Place, ...]:
        return self._presence.lost_since(self._plan.gateways, self._sure_since)

    def _missed(self, closure: Closure) -> set[Place]:
        """Give the proxies that were missed when books were closed, and do not go on yet."""
        return {place for place in closure.missed if not self._presence.goes_on(place)}

    def _described(self) -> CopyState:
        """Give what the copy should say besides what the books tell."""
        names = {*self._presence.connected(self._plan.gateways), *self._lost()}
        closed = bool(self._copy.state.closed)
        return dataclasses.replace(
            self._copy.state,
            limit=self._plan.limit,
            expire_at_ms=self._expire_at_ms(),
            damaged=self._copy.damaged or (closed and self._copy.state.damaged),
            proxies=named(map(" ".join, sorted(names))),
        )

    # --------------------------------------------------------------------------------------- end

    def _expire_at_ms(self) -> int:
        end = self._plan.end_ms
        return 0 if end is None else end + self._plan.retention_ms

    def _keys_expire_at_ms(self) -> int:
        """When Redis drops the keys; a sale without an end keeps them for as long as it is kept.

        Opening is repeated every `REFRESH_SECONDS`, so the time moves on while the sale exists, and
        runs out some time after it was deleted.
        """
        return self._expire_at_ms() or self._now_ms() + self._plan.retention_ms

    def _expired(self) -> bool:
        end = self._expire_at_ms()
        return 0 < end <= self._now_ms()

    def _now_ms(self) -> int:
        """Redis's time, as far as it is known."""
        return int(self._clock.wall() * 1000) + self._offset_ms

    async def _let_go(self) -> float:
        """The time of these books is over: Redis drops its keys, we drop the copy."""
        if not self._state.expired:
            await self._follower.on_disk(self._copy.remove)
            self._publish(dataclasses.replace(self._state, open=False, expired=True, error=""))
        return EXPIRED_LOOK_SECONDS

    # ------------------------------------------------------------------------------------ showing

    def _note_clock(self, time_us: int, asked_at: float) -> None:
        """Learn by how much Redis's clock is ahead of ours; the answer was made half-way."""
        answered_at = self._clock.wall()
        offset = time_us // 1000 - int((asked_at + answered_at) * 500)
        # Nobody knows when the answer was made on its way. Small differences are no news.
        unsure = (answered_at - asked_at) * 500
        if abs(offset - self._offset_ms) >= CLOCK_JITTER_MS + unsure:
            self._offset_ms = offset

    def _show(self, look: Look) -> None:
        page = look.page
        closure = Closure.parse(look.marks.closed)
        missed = sorted({*self._lost(), *self._missed(closure)} - {NOBODY}) if closure else ()
        self._publish(
            SaleState(
                sale=self._state.sale,
                tag=self._plan.tag,
                open=True,
                admitted=page.count,
                limit=page.limit,
                override=look.marks.override,
                suspended=page.suspended,
                generation=page.generation,
                incarnation=page.incarnation,
                healing=page.heal_left_ms > 0,
                closed=closure.reason,
                lost_proxies=tuple(node_id for _, node_id in missed),
                clock_offset_ms=self._offset_ms,
            )
        )

    def _fail(self, problem: str) -> None:
        self._rest.disturb()
        if self._state.error != problem:
            log.warning("Books cannot be kept", sale=self._state.sale, problem=problem)
        self._publish(dataclasses.replace(self._state, error=problem))

    def _publish(self, state: SaleState) -> None:
        if self._state.error and not state.error:
            log.info("Books are kept again", sale=state.sale)
        self._state = state
        self._board.publish(state)


def name_of(plan: SalePlan) -> str:
    """Name the sale as users do."""
    return f"{plan.ref.namespace}/{plan.ref.name}"
