"""The same filter code from every replica of a control plane on a cluster.

Proxies get configuration from one replica and code from any. So a replica writes the code that it
serves to the shelf (see `code_shelf`) before it tells any proxy of it, and looks there for code
that it is asked for and does not have. There it also stands what somebody chose by hand; without a
choice each replica serves the code of its own image, so that an upgrade brings its code by itself.

The API server may be away, or refuse us: then what is in force stays, and a replica that has just
started serves its own code, as if it were alone.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import structlog

from controlplane.kube import KubeError, NotFoundError, UnavailableError
from controlplane.kube.backoff import Backoff
from controlplane.model.problems import Problem
from controlplane.web import code_objects
from controlplane.web.code_lookups import Lookups
from controlplane.web.code_objects import CHOICE
from controlplane.web.code_shelf import CodeShelf
from controlplane.web.errors import unavailable
from controlplane.web.filter_store import DIGITS, FEWEST_DIGITS, STEMS, FilterError, check
from controlplane.web.filters import described

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from controlplane.kube import Session
    from controlplane.web.filter_store import FilterStore
    from controlplane.web.filters import Chosen

log = structlog.get_logger(__name__)

PATIENCE: Final = 15.0
"""Seconds after a start in which a replica waits for the shelf before it goes by itself."""
MARK_EVERY: Final = timedelta(hours=1)
ROUND: Final = 600.0
"""Seconds until everything is looked at again, though nothing has changed."""
_YOUNG: Final = 3600.0
"""Seconds after a start in which nothing is deleted for its age: proxies are still coming."""


class SharedFilters:
    """What is in force here follows the shelf; what is served here is on it.

    Args:
        session: to the API server, in whose namespace the shelf is.
        store: the files of this replica.
        changed: called when other code is in force, or something is to be told.
        running: gives the code of each connected proxy, by filter.
        leading: tells whether this replica tidies up.
    """

    def __init__(
        self,
        session: Session,
        store: FilterStore,
        *,
        changed: Callable[[], None],
        running: Callable[[], Iterable[Mapping[str, str]]],
        leading: Callable[[], bool],
        patience: float = PATIENCE,
    ) -> None:
        self._shelf = CodeShelf(session)
        self._store = store
        self._changed = changed
        self._running = running
        self._leading = leading
        self._patience = patience
        self._lookups = Lookups(self._shelf, self._keep)
        self._storing = asyncio.Lock()
        self._rounds = asyncio.Lock()
        self._own: dict[str, str] = {}
        self._settled = False
        self._problems: dict[str, str] = {}
        self._wake = asyncio.Event()
        self._backoff = Backoff(0.5, 30.0)
        self._started = time.monotonic()

    @property
    def settled(self) -> bool:
        """Whether it is known what is in force, or was waited for in vain."""
        return self._settled

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What is not as it should be, for people."""
        return tuple(
            Problem(None, f"filter code: {message}", reason="FilterCode", severity="warning")
            for message in dict.fromkeys(self._problems.values())
        )

    # ------------------------------------------------------------------------ what is kept true
    async def run(self) -> None:
        """Follow the shelf, and keep what is served on it; ends when cancelled."""
        self._started = time.monotonic()
        for stem in STEMS:
            self._own[stem] = await self._keep(stem, None)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._shelf.follow(self._wake.set), name="shared filter code")
            group.create_task(self._lookups.run(), name="filter lookups")
            group.create_task(self._lose_patience(), name="filter patience")
            while True:
                self._wake.clear()
                nap = await self._round()
                with suppress(TimeoutError):
                    async with asyncio.timeout(nap):
                        await self._wake.wait()

    async def _lose_patience(self) -> None:
        await asyncio.sleep(self._patience)
        if not self._settled:
            log.warning("Filter code is not shared yet: serving what is here")
            self._settle()

    def _settle(self) -> None:
        if not self._settled:
            self._settled = True
            self._changed()

    async def _round(self) -> float:
        """Bring everything in order once; gives the seconds until the next time."""
        shelf = self._shelf
        # Of a server that is away, whoever follows the other objects tells.
        self._note("shelf", shelf.trouble if shelf.refused or not shelf.known else None)
        if not shelf.known:
            if shelf.refused:
                self._settle()
            return ROUND
        async with self._rounds:
            errors = [await self._attempt(stem, self._bring(stem)) for stem in STEMS]
            # What may be had in a moment is waited for: proxies would be sent back and forth.
            if not any(isinstance(error, UnavailableError) for error in errors):
                self._settle()
            errors.append(await self._attempt("upkeep", self._keep_up()))
        if any(errors):
            return self._backoff.delay()
        self._backoff.reset()
        return ROUND

    async def _attempt(self, what: str, work: Awaitable[None]) -> Exception | None:
        try:
            await work
        except (KubeError, FilterError, OSError) as error:
            self._note(what, error)
            return error
        self._note(what, None)
        return None

    def _note(self, what: str, error: Exception | None) -> None:
        """Tell of a trouble once, and of its end."""
        before = self._problems.pop(what, None)
        if error is not None:
            self._problems[what] = str(error)
        after = self._problems.get(what)
        if before == after:
            return
        if after is None:
            log.info("Filter code is in order again", what=what)
        else:
            log.warning("Filter code is not shared as it should be", what=what, error=after)
        self._changed()

    async def _bring(self, stem: str) -> None:
        """Put in force what was chosen, or our own; and have it on the shelf before."""
        choice = self._shelf.choices.get(stem)
        wanted = self._own[stem] if choice is None else choice.sha256
        trouble: Exception | None = None
        try:
            await self._have(stem, wanted)
        except (KubeError, FilterError) as error:
            # What is in force stays, and is to be had from everybody all the same.
            trouble, wanted = error, self._store.hashes[stem]
        if not self._settled:
            await self._use(stem, wanted)  # nobody is told before we settle
        await self._offer(stem, wanted)
        await self._use(stem, wanted)
        if trouble is not None:
            raise trouble

    async def _use(self, stem: str, sha256: str) -> None:
        async with self._storing:
            other = await asyncio.to_thread(self._store.use, stem, sha256)
        if other:
            log.info("Filter code in force", filter=stem, sha256=sha256)
            self._changed()

    async def _have(self, stem: str, sha256: str) -> None:
        """Get code into our store."""
        if not code_objects.is_digest(sha256):
            raise FilterError(f"ConfigMap {CHOICE}: {stem} is no SHA-256 in hex: {sha256[:80]!r}")
        if await asyncio.to_thread(self._store.path_of, stem, sha256) is not None:
            return
        if sha256 == self._own.get(stem) and await self._keep(stem, None) == sha256:
            return
        try:
            code = await self._shelf.fetch(stem, sha256)
        except NotFoundError as error:
            raise FilterError(
                f"{stem} {sha256[:DIGITS]} was chosen, and no ConfigMap holds it: choose other "
                "code, with `sluice filters reload`"
            ) from error
        await self._keep(stem, code)

    async def _keep(self, stem: str, code: bytes | None) -> str:
        async with self._storing:
            return await asyncio.to_thread(self._store.add, stem, code)

    async def _offer(self, stem: str, sha256: str) -> None:
        """Have code of our store on the shelf."""
        if self._shelf.has(stem, sha256):
            return
        path = await asyncio.to_thread(self._store.path_of, stem, sha256)
        if path is not None:
            await self._shelf.put(stem, await asyncio.to_thread(path.read_bytes))

    async def _keep_up(self) -> None:
        """Mark what is in use, and delete (one replica does) what has not been for long."""
        now = datetime.now(UTC)
        used = {*self._store.hashes.items()}
        used.update(item for codes in self._running() for item in codes.items())
        for code in self._shelf.codes:
            if (code.filter, code.sha256) in used and now - code.used >= MARK_EVERY:
                await self._shelf.mark(code)
        if not self._leading():
            return
        chosen = {one.sha256 for one in self._shelf.choices.values()}
        aged = time.monotonic() - self._started > _YOUNG
        for code in code_objects.expendable(self._shelf.codes, chosen, now, aged=aged):
            await self._shelf.delete(code)
            log.info("Old filter code deleted", filter=code.filter, sha256=code.sha256)

    # ------------------------------------------------------------------------- what is asked for
    async def find(self, sha256: str) -> Path | None:
        """Give the file of a code, if need be from the shelf."""
        if not code_objects.is_digest(sha256):
            return None
        found = await asyncio.to_thread(self._store.find, sha256)
        if found is None and await self._lookups.fetched(sha256):
            found = await asyncio.to_thread(self._store.find, sha256)
        return found

    async def reload(self, stems: Sequence[str], code: bytes | None) -> Chosen:
        """Have all replicas serve what was sent; or each the code of its own image again.

        Raises:
            FilterError: it is no filter, or too large.
            ApiError: the API server is away, or refuses it.
        """
        if code is None:
            for stem in stems:
                self._own[stem] = await self._keep(stem, None)
            await self._choose(dict.fromkeys(stems))
            return [(stem, self._own[stem]) for stem in stems]
        found = []
        for stem in stems:
            check(stem, code)
            with _answering():
                await self._shelf.put(stem, code)
            found.append((stem, await self._keep(stem, code)))
        await self._choose(dict(found))
        return found

    async def go_back(self, stems: Sequence[str], digits: str) -> Chosen:
        """Have all replicas serve older code.

        Raises:
            FilterError: no code, or more than one, has such a hash.
            ApiError: the API server is away, or refuses it.
        """
        found = [(stem, await self._match(stem, digits)) for stem in stems]
        for stem, sha256 in found:
            with _answering():
                await self._have(stem, sha256)
                await self._offer(stem, sha256)
        await self._choose(dict(found))
        return found

    async def _match(self, stem: str, digits: str) -> str:
        found = set(await asyncio.to_thread(self._store.match, stem, digits))
        shared = [one.sha256 for one in self._shelf.codes if one.filter == stem]
        found.update(one for one in shared if one.startswith(digits))
        if len(found) == 1 and len(digits) >= FEWEST_DIGITS:
            return found.pop()
        known = ", ".join(sorted({one[:DIGITS] for one in shared})) or "none"
        raise FilterError(f"{stem} {digits!r} names no single code; there: {known}")

    async def _choose(self, chosen: Mapping[str, str | None]) -> None:
        with _answering():
            await self._shelf.choose(chosen)
        async with self._rounds:
            for stem in chosen:
                await self._attempt(stem, self._bring(stem))

    # ------------------------------------------------------------------------- what is told
    async def listed(self) -> list[dict[str, Any]]:
        """Describe the code of our store and of the shelf, the newest of each filter first."""
        found = {
            (one.filter, one.sha256): {**described(one), "shared": False, "usedAt": None}
            for one in await asyncio.to_thread(self._store.stored)
        }
        for code in self._shelf.codes:
            new = {
                "filter": code.filter,
                "sha256": code.sha256,
                "size": code.size,
                "storedAt": code.made.timestamp(),
                "current": False,
            }
            one = found.setdefault((code.filter, code.sha256), new)
            one.update(shared=True, usedAt=code.used.timestamp())
        for (stem, sha256), one in found.items():
            one["image"] = self._own.get(stem) == sha256
            choice = self._shelf.choices.get(stem)
            one["chosen"] = choice is not None and choice.sha256 == sha256
        return sorted(found.values(), key=lambda one: (one["filter"], -one["storedAt"]))

    def in_force(self) -> list[dict[str, Any]]:
        """Describe the code in force here, and whether somebody chose it."""
        choices = self._shelf.choices
        return [
            {
                "filter": stem,
                "sha256": sha256,
                "image": self._own.get(stem, ""),
                "chosen": choices[stem].sha256 if stem in choices else None,
                "chosenAt": choices[stem].since if stem in choices else None,
                "problem": self._problems.get(stem, ""),
            }
            for stem, sha256 in self._store.hashes.items()
        ]


@contextmanager
def _answering() -> Iterator[None]:
    """Tell whoever asked what keeps replicas from sharing."""
    try:
        yield
    except KubeError as error:
        raise unavailable(f"replicas cannot share filter code now: {error}") from error
