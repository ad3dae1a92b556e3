"""Which of several replicas leads: held in a Lease, renewed in time, given back on the way out.

The client's own elector cannot make its Lease, compares clocks of different machines, and leaves
its work running when the lease is lost. Here the work lives in a task group with the renewal:
whichever ends first ends the other, and nobody leads who could not renew in time. Times of others
are never compared with our clock: a lease has run out when it has not *changed* for its duration.
"""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import structlog

from controlplane.kube.errors import ConflictError, KubeError, NotFoundError
from controlplane.kube.resources import Key, Object, ResourceType
from controlplane.kube.times import micro_time, now

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from controlplane.kube.session import Session

log = structlog.get_logger(__name__)
LEASES: Final = ResourceType("coordination.k8s.io", "v1", "leases", "Lease")
_JITTER: Final = 0.2
_RELEASE_DEADLINE: Final = 3.0


@dataclass(frozen=True, slots=True)
class Terms:
    """Seconds; the defaults are those of controllers everywhere."""

    duration: float = 15.0
    """Others wait this long after the last renewal before they take over."""
    renew_deadline: float = 10.0
    """Whoever could not renew for this long stops leading, well before others begin."""
    retry: float = 2.0
    """Between two attempts."""

    def __post_init__(self) -> None:
        if not self.duration > self.renew_deadline > self.retry > 0:
            raise ValueError(
                "a lease's duration must be longer than its renew deadline, and that longer than "
                f"its retry period: {self.duration:g}, {self.renew_deadline:g}, {self.retry:g}"
            )


NORMAL: Final = Terms()


def new_identity(host: str) -> str:
    """Name this process; a restarted one is another, even under the same host name."""
    return f"{host}_{uuid.uuid4()}"


class LeaseView:
    """A Lease as last seen, and when it last changed by our own clock. No I/O."""

    def __init__(self, key: Key, identity: str, terms: Terms) -> None:
        self._key = key
        self._identity = identity
        self._terms = terms
        self._lease: Object | None = None
        self._changed_at = 0.0

    @property
    def holder(self) -> str:
        """Who holds the lease; empty when nobody does."""
        return str(self._spec.get("holderIdentity") or "")

    @property
    def ours(self) -> bool:
        """Whether we hold it, by what was last seen."""
        return self.holder == self._identity

    @property
    def exists(self) -> bool:
        """Whether there is a Lease at all."""
        return self._lease is not None

    @property
    def _spec(self) -> dict[str, Any]:
        return (self._lease or {}).get("spec") or {}

    def see(self, lease: Object | None, at: float) -> None:
        """Take what the server has, at a monotonic time before it was asked or after."""
        before = self._spec
        self._lease = lease
        if self._spec != before:
            self._changed_at = at

    def free(self, at: float) -> bool:
        """Whether we may take or keep it."""
        if not self.holder or self.ours:
            return True
        duration = float(self._spec.get("leaseDurationSeconds") or self._terms.duration)
        return at >= self._changed_at + duration

    def claim(self, at: datetime) -> Object:
        """Write the Lease that makes it ours, or ours for longer."""
        spec = self._spec
        since = spec.get("acquireTime") if self.ours else None
        changed_hands = 0 if self.ours or not self.exists else 1
        return self._with(
            {
                "holderIdentity": self._identity,
                "leaseDurationSeconds": max(1, round(self._terms.duration)),
                "acquireTime": since or micro_time(at),
                "renewTime": micro_time(at),
                "leaseTransitions": int(spec.get("leaseTransitions") or 0) + changed_hands,
            }
        )

    def release(self, at: datetime) -> Object:
        """Write the Lease that lets anybody else take it at once."""
        return self._with(
            {
                "holderIdentity": "",
                "leaseDurationSeconds": 1,
                "acquireTime": micro_time(at),
                "renewTime": micro_time(at),
                "leaseTransitions": int(self._spec.get("leaseTransitions") or 0),
            }
        )

    def _with(self, spec: dict[str, Any]) -> Object:
        namespace, name = self._key
        metadata = {"namespace": namespace, "name": name}
        # Labels and annotations of others stay, and the version makes the write a bet: it is
        # taken only if nobody wrote since.
        metadata = dict((self._lease or {}).get("metadata") or metadata)
        metadata.pop("managedFields", None)
        return {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.kind,
            "metadata": metadata,
            "spec": {**self._spec, **spec},
        }


class Elector:
    """Waits for a lease, leads while it holds it, and waits again when it is lost."""

    def __init__(
        self,
        session: Session,
        key: Key,
        identity: str,
        *,
        terms: Terms = NORMAL,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._session = session
        self._key = key
        self._terms = terms
        self._clock = clock
        self._view = LeaseView(key, identity, terms)
        self._until = 0.0
        self._log = log.bind(lease="/".join(key), identity=identity)

    @property
    def leading(self) -> bool:
        """Whether we lead now; false the moment the renewal is overdue. Ask before each write."""
        return self._clock() < self._until

    @property
    def holder(self) -> str:
        """Who leads, by what was last seen; empty when nobody is known."""
        return self._view.holder

    async def run(self, lead: Callable[[], Awaitable[None]]) -> None:
        """Call `lead` each time that the lease is ours; it is cancelled when the lease is lost.

        Returns when `lead` does, raises what it raises (in a group), and gives the lease back in
        either case and when cancelled; by then `lead` has ended.
        """
        while True:
            await self._acquire()
            self._log.info("Became the leader")
            if await self._led(lead):
                return

    async def _acquire(self) -> None:
        last = ""
        while True:
            sent = self._clock()
            try:
                # Within half of the deadline, so that a lease is never old when it is had.
                async with asyncio.timeout(self._terms.renew_deadline / 2):
                    if await self._attempt():
                        self._until = sent + self._terms.renew_deadline
                        return
                last = ""
            except (KubeError, TimeoutError) as error:
                why = str(error) or "no answer"
                if why != last:
                    self._log.warning("Could not ask for the lease", error=why)
                last = why
            jitter = random.random() * _JITTER  # noqa: S311 - spreads load, no secret
            await asyncio.sleep(self._terms.retry * (1 + jitter))

    async def _led(self, lead: Callable[[], Awaitable[None]]) -> bool:
        """Lead until the work ends (true) or the lease is lost (false)."""
        try:
            async with asyncio.TaskGroup() as group:
                work = group.create_task(_call(lead), name="lead")
                renewal = group.create_task(self._renew_for(work), name="renew lease")
                work.add_done_callback(lambda _: renewal.cancel())
        finally:
            held, self._until = self._until > 0, 0.0
            if held:
                await self._release()
        return held or not work.cancelled()

    async def _renew_for(self, work: asyncio.Task[None]) -> None:
        # No exception tells of the loss: a group in which one is raised may, until Python 3.13,
        # swallow that all of this shall end.
        why = await self._renew()
        self._until = 0.0
        self._log.warning("Lost the lease", reason=why)
        work.cancel()

    async def _renew(self) -> str:
        """Renew the lease for as long as that works; gives the reason why it did not."""
        while True:
            left = self._until - self._clock()
            await asyncio.sleep(min(self._terms.retry, max(0.0, left)))
            sent = self._clock()
            if sent >= self._until:
                return f"not renewed within {self._terms.renew_deadline:g} s"
            # Half of the time there is: one connection that hangs must not use up all of it.
            share = min(self._until - sent, self._terms.renew_deadline / 2)
            try:
                async with asyncio.timeout(share):
                    kept = await self._attempt()
            except (KubeError, TimeoutError) as error:
                self._log.warning("Could not renew the lease", error=str(error) or "no answer")
                continue
            if not kept:
                return f"{self.holder or 'nobody'} holds it now"
            self._until = sent + self._terms.renew_deadline

    async def _attempt(self) -> bool:
        """Take the lease or keep it, once; false when it is somebody else's."""
        if not self._view.ours:
            await self._look()
        for _ in range(2):
            if not self._view.free(self._clock()):
                return False
            claim = self._view.claim(now())
            write = self._session.replace if self._view.exists else self._session.create
            try:
                lease = await write(LEASES, claim)
            except (ConflictError, NotFoundError):
                # Somebody was quicker, or changed a label of it, or deleted it: look, and only
                # go on if it is still ours.
                await self._look()
                if not self._view.ours and self._view.exists:
                    return False
            else:
                self._view.see(lease, self._clock())
                return True
        return False

    async def _look(self) -> None:
        namespace, name = self._key
        try:
            lease = await self._session.get(LEASES, name, namespace)
        except NotFoundError as error:
            self._log.debug("No lease yet", error=str(error))
            self._view.see(None, self._clock())
        else:
            self._view.see(lease, self._clock())

    async def _release(self) -> None:
        """Give the lease back, if it is ours; others else wait until it has run out."""
        try:
            async with asyncio.timeout(_RELEASE_DEADLINE):
                while self._view.ours and not await self._released():
                    await self._look()
        except (KubeError, TimeoutError) as error:
            self._log.warning("Could not give the lease back", error=str(error) or "no answer")

    async def _released(self) -> bool:
        """Whether the lease could be given back; not when it was written since it was seen."""
        try:
            lease = await self._session.replace(LEASES, self._view.release(now()))
        except ConflictError as error:
            self._log.debug("The lease has changed", error=str(error))
            return False
        self._view.see(lease, self._clock())
        self._log.info("Gave the lease back")
        return True


async def _call(lead: Callable[[], Awaitable[None]]) -> None:
    await lead()
